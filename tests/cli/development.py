"""`watchword dev` as a child process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Development:
    """A development server in a folder of its own."""

    def __init__(self, folder: Path, port: int, **settings: str) -> None:
        self.folder = folder
        self.port = port
        self.issuer = f"http://localhost:{port}"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("WATCHWORD_")}
        self.log = folder / f"dev-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", "dev", "--port", str(port)],
                cwd=folder,
                env={**environment, **settings, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        self.wait_until_ready()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGTERM)

    def wait_until_ready(self, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.is_ready():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.issuer}/readyz", timeout=2) as answer:  # noqa: S310
                return json.load(answer)["status"] == "ready"
        except (OSError, urllib.error.URLError):
            return False

    def stop(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)

    @property
    def demo(self) -> dict[str, Any]:
        return json.loads((self.folder / ".watchword/demo.json").read_text())

    def wait_until_said(self, text: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.log.read_text():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.005)

    def bash(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run lines as pasted into a terminal in the folder, the tour's variables at hand."""
        return subprocess.run(
            ["bash", "-u", "-c", f". .watchword/env\n{script}"],
            cwd=self.folder,
            env={"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parents[2])},
            capture_output=True,
            text=True,
            check=False,
        )

    def left_at_last(self, seconds: float = 20) -> list[str]:
        """What is left once initdb's own children have seen that it is gone."""
        deadline = time.monotonic() + seconds
        while self.servers_left() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self.servers_left()

    def servers_left(self) -> list[str]:
        """Command lines of processes that still work in the folder, or on it."""
        left: list[str] = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                try:
                    line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    works_in = str((entry / "cwd").readlink())
                except OSError:
                    continue
                if str(self.folder) in line or str(self.folder) in works_in:
                    left.append(f"{line} in {works_in}")
        return left
