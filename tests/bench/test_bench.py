"""python -m bench: small runs of what takes minutes, and what it says to a slip of the pen."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *arguments]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.mark.parametrize("arguments", [["storag"], ["storage", "many"], ["storage", "0"]])
def test_a_slip_is_told(arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: python -m bench ")
    assert repr(arguments[-1]) in done.stderr or "0 is not in the range" in done.stderr
    assert "Traceback" not in done.stderr


def test_sizes_before_and_after_rotations() -> None:
    done = run("storage", "4000", "100")
    assert done.returncode == 0, done.stderr
    sizes = re.findall(r"^(?:table|indexes), KiB +(\d+) +(\d+)$", done.stdout, re.MULTILINE)
    assert len(sizes) == 2
    assert re.search(r"^rotations +4000 +\d+ HOT; 100 sessions, ", done.stdout, re.MULTILINE)


def test_rotations_among_more_sessions_are_set_beside_those_among_few() -> None:
    done = run("many-sessions", "20000", "2000")
    assert done.returncode == 0, done.stderr
    rows = done.stdout.splitlines()[1:]
    assert [row.split("  ")[0] for row in rows] == ["rotation, time", "rotation, CPU of PostgreSQL"]
    assert all("; 20000 sessions, 4 connections" in row for row in rows)
