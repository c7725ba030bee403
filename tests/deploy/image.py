"""The image without a container engine: its install step, and what it makes, run as in a container.

A mount namespace stands in for the container: everything read-only, user 65532, no capabilities.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_INTERPRETER: str = sys._base_executable  # pyright: ignore[reportAttributeAccessIssue]

_NAMESPACE = """
set -eu
mount --make-rprivate /
mount --bind "$BASE" "$FOLDER/python"
if [ "$WRITABLE" = no ]; then
    for each in / /tmp /var /run /home /dev/shm; do
        ! mountpoint -q "$each" || mount -o remount,bind,ro "$each"
    done
    exec setpriv --reuid 65532 --regid 65532 --clear-groups --no-new-privs \
        --bounding-set=-all --inh-caps=-all -- "$@"
fi
exec "$@"
"""


def can_stand_in() -> bool:
    """Whether this machine lets us make a mount namespace (root on Linux)."""
    if os.geteuid() != 0 or not (shutil.which("unshare") and shutil.which("setpriv")):
        return False
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False)
    return tried.returncode == 0


@dataclass(frozen=True, slots=True)
class Image:
    """The installed tree; the interpreter is this one, at a place that everybody may enter."""

    folder: Path

    @property
    def bin(self) -> Path:
        return self.folder / "opt/watchword/bin"

    def install(self) -> None:
        """The build stage's step."""
        (self.folder / "python").mkdir()
        python = self.folder / "python/bin" / Path(_INTERPRETER).name
        script = ROOT / "deploy/image/install.sh"
        environment = {"PYTHON": str(python)}
        self.run_as_root(script, self.folder / "opt/watchword", environment=environment)

    def start(self, *command: str | Path, environment: Mapping[str, str]) -> subprocess.Popen[str]:
        """A command as the container runs it; its output is one pipe."""
        return subprocess.Popen(
            self._command(command, environment, writable="no"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command: str | Path, environment: Mapping[str, str]) -> tuple[int, str]:
        """A command in the container to its end: exit code and output."""
        process = self.start(*command, environment=environment)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def run_as_root(self, *command: str | Path, environment: Mapping[str, str]) -> None:
        """A command of whoever builds or prepares."""
        whole = self._command(command, environment, writable="yes")
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr

    def _command(
        self, command: Sequence[str | Path], environment: Mapping[str, str], *, writable: str
    ) -> list[str]:
        given = {
            "PATH": f"{self.bin}:/usr/bin:/bin:/usr/sbin:/sbin",
            "LD_LIBRARY_PATH": f"{self.folder}/python/lib",  # where it is a shared library
            "PYTHONDONTWRITEBYTECODE": "1",
            **environment,
            "BASE": str(Path(_INTERPRETER).parents[1]),
            "FOLDER": str(self.folder),
            "WRITABLE": writable,
        }
        settings = [f"{name}={value}" for name, value in given.items()]
        script = ["unshare", "--mount", "sh", "-c", _NAMESPACE, "container"]
        return ["env", "-i", *settings, *script, *map(str, command)]
