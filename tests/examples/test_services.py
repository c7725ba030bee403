"""examples/services: the story comes true, and reads as the README shows it."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "examples.services"]

# What differs from run to run: times, and a token's first letters.
MASKS = (
    (r"\d+\.\d s$", "SECONDS"),
    (r"\d+\.\d ms later", "TIME later"),
    (r"in \d+ ms$", "in TIME"),
    (r"eyJ[A-Za-z0-9_-]+…", "TOKEN"),
)

pytestmark = [pytest.mark.slow, pytest.mark.timed]


def masked(text: str) -> str:
    for pattern, mask in MASKS:
        text = re.sub(pattern, mask, text, flags=re.MULTILINE)
    return text.strip()


def environment(folder: Path) -> dict[str, str]:
    """Where the example leaves its files; and what another Watchword would be told."""
    return {**os.environ, "TMPDIR": str(folder), "WATCHWORD_FIRST_PARTY_CLIENT_ID": "other"}


def left_in(folder: Path) -> list[str]:
    """Files and processes that are left of a run in the folder."""
    left = [str(path) for path in folder.iterdir()]
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(folder).encode() in told:
                left.append(entry.name)
    return left


def test_it_tells_what_the_readme_shows_and_leaves_nothing(tmp_path: Path) -> None:
    ran = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    (shown,) = re.findall(r"```text\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert masked(ran.stdout) == masked(shown)
    milliseconds = [float(it) for it in re.findall(r"(\d+\.\d) ms later", ran.stdout)]
    assert len(milliseconds) == 6
    assert max(milliseconds) < 2000
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_it_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    process = subprocess.Popen(
        COMMAND,
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("14"):
            break
    if number == signal.SIGINT:  # Ctrl-C reaches all that the terminal shows
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, complaint = process.communicate(timeout=60)
    assert (process.returncode, complaint) == (1, "stopped\n")
    deadline = time.monotonic() + 10
    while left := left_in(tmp_path):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
