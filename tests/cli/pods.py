"""Pods as child processes, by the very command that an operator runs."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.faults.failover_support import Pod

ROOT = Path(__file__).parents[2]


def start(
    command: list[str], environment: Mapping[str, str], log: Path, *, cwd: Path = ROOT
) -> subprocess.Popen[bytes]:
    """`watchword` as a child process in a group of its own, all that it says in a file."""
    with log.open("wb") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "service", *command],
            cwd=cwd,
            env={"PATH": os.defpath, "PYTHONPATH": str(ROOT), **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )


@contextmanager
def serve(environment: Mapping[str, str], folder: Path) -> Iterator[Pod]:
    """`watchword serve` on the first of its addresses, not waited for."""
    log = folder / f"pod-{len(list(folder.glob('pod-*.log')))}.log"
    url = f"http://{environment['WATCHWORD_LISTEN'].split(',')[0]}"
    pod = Pod(start(["serve"], environment, log), url, log)
    try:
        yield pod
    finally:
        pod.stop()
