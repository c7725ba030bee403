"""Pods of any release behind a proxy, replaced one by one as Kubernetes does it."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import AUDIENCE
from tests.deploy.image import ROOT
from tests.deploy.proxies import Proxy
from tests.faults.failover_support import Pod, free_port, until
from tests.faults.honest import APP


@dataclass(slots=True)
class Fleet:
    """Pods over one database, and the folder of the release that the next one runs."""

    folder: Path
    settings: Mapping[str, str]
    proxy: Proxy
    pods: list[Pod] = field(default_factory=list)
    gone: list[Pod] = field(default_factory=list)
    code: Path = ROOT

    def environment(self) -> dict[str, str]:
        named = {f"WATCHWORD_{name}": value for name, value in self.settings.items()}
        return {"PATH": os.defpath, "PYTHONPATH": str(self.code), **named}

    def run(self, *command: str) -> str:
        """What `watchword` of the present release prints; it has to succeed."""
        whole = [sys.executable, "-m", "service", *command]
        done = subprocess.run(
            whole,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, address: str) -> Pod:
        """A pod of the present release, not waited for."""
        log = self.folder / f"pod-{len(self.pods) + len(self.gone)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                cwd=self.folder,
                env={**self.environment(), "WATCHWORD_LISTEN": address},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        url = f"http://{address}"
        self.pods.append(Pod(process, url, log))
        return self.pods[-1]

    def roll(self, address: str, while_both_run: Callable[[], object] = lambda: None) -> None:
        """A new pod beside the old ones; when it is ready, the oldest is told to stop."""
        new, old = self.start(address), self.pods[0]
        until(new.is_ready)
        while_both_run()
        old.process.terminate()
        self.pods.remove(old)
        self.gone.append(old)

    def stop(self) -> None:
        for pod in [*self.pods, *self.gone]:
            pod.stop()

    def make_people(self) -> tuple[tuple[str, str], str]:
        """A program that asks about its own tokens, and anna's password at the app."""
        options = ["--audience", AUDIENCE, "--scope", "orders:read"]
        app = ["--first-party", "--refresh-delivery", "body", "--grant", "refresh_token"]
        about = ["--email", "anna@example.com", "--full-name", "Anna Lee", "--generate"]
        commands = [
            ["clients", "create", "orders", *options],
            ["clients", "create", APP, *app, *options],
            ["users", "create", "anna", *about],
        ]
        with ThreadPoolExecutor(2) as pool:
            program, _, anna = pool.map(lambda command: self.run(*command), commands)
        return ("orders", program.split()[-1]), anna.split()[-1]


def free_addresses(count: int) -> list[str]:
    return [f"127.0.0.1:{free_port()}" for _ in range(count)]


def served_while_draining(pod: Pod) -> int:
    """How many requests a pod answered after SIGTERM."""
    whole = pod.log.read_bytes()
    return whole[whole.index(b'"event":"draining"') :].count(b'"event":"request"')
