"""The pod under measurement: real PostgreSQL, real Redis, `watchword serve` as a process."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis

PORT = 8911
ISSUER = f"http://localhost:{PORT}"
AUDIENCE = "https://orders.example"
APP = "bench-app"
WEB_APP = "bench-web"
CALLBACK = "https://app.example/callback"
# More than one: a user has at most 100 sessions.
USERNAMES = ("bench-0", "bench-1", "bench-2", "bench-3")
PASSWORD = "a bench's own long passphrase"  # noqa: S105 (of nobody)
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Pod:
    """A running pod; `started_in` is the time from its start to ready, seconds."""

    pid: int
    client_id: str
    client_secret: str
    web_secret: str
    started_in: float
    database_url: str
    postmaster: int
    redis_url: str
    keys_dir: Path

    @property
    def issuer(self) -> str:
        """The `iss` of its tokens, and where it answers."""
        return ISSUER

    def cpu_seconds(self) -> float:
        """CPU time of the process so far, user and system."""
        return _cpu_seconds(self.pid)

    def postgres_seconds(self) -> float:
        """CPU time so far of PostgreSQL's processes that live, user and system."""
        return family_seconds(self.postmaster)

    def resident_mib(self) -> float:
        """Resident memory of the process."""
        return _status_kib(self.pid, "VmRSS:") / 1024


def family_seconds(pid: int) -> float:
    """CPU time so far of a process and its children that live, user and system."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return sum(map(_cpu_seconds, (pid, *map(int, children.split()))))


def _cpu_seconds(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:  # a process that has ended meanwhile
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _status_kib(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])


@contextmanager
def running_pod() -> Iterator[Pod]:
    """A pod on loopback, with one client, gone when the block ends."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="watchword-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        redis = stack.enter_context(EmbeddedRedis(folder / "redis"))
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("WATCHWORD_")},
            "WATCHWORD_ISSUER": ISSUER,
            "WATCHWORD_LISTEN": f"127.0.0.1:{PORT}",
            "WATCHWORD_DATABASE_URL": postgres.url(),
            "WATCHWORD_REDIS_URL": redis.url,
            "WATCHWORD_KEYS_DIR": str(folder / "keys"),
            "WATCHWORD_DRAIN": "0s",
            "WATCHWORD_CODES_PER_USER": "1000000",
        }
        _watchword(environment, "keys", "init")
        _watchword(environment, "migrate")
        with _serving(environment, folder):
            pass  # the first start makes signing keys, which no later start does
        secret = _watchword(
            environment,
            *("clients", "create", "bench", "--audience", AUDIENCE),
            *("--scope", "orders:read", "--serves", AUDIENCE),
        ).split()[-1]
        _watchword(
            environment,
            *("clients", "create", APP, "--public", "--first-party", "--refresh-delivery", "body"),
            *("--audience", AUDIENCE, "--scope", "orders:read", "--grant", "refresh_token"),
        )
        web_secret = _watchword(
            environment,
            *("clients", "create", WEB_APP, "--audience", AUDIENCE, "--redirect-uri", CALLBACK),
            *("--grant", "authorization_code", "--grant", "refresh_token", "--consent", "skip"),
            *("--scope", "orders:read", "--scope", "openid"),
        ).split()[-1]
        for name in USERNAMES:
            _watchword(
                environment,
                *("users", "create", name, "--email", f"{name}@example.com"),
                *("--full-name", "Bench", "--password-stdin"),
                stdin=PASSWORD,
            )
        with _serving(environment, folder) as (pid, started_in):
            yield Pod(
                pid,
                "bench",
                secret,
                web_secret,
                started_in,
                postgres.url(),
                postgres.pid,
                redis.url,
                folder / "keys",
            )


def _watchword(environment: dict[str, str], *arguments: str, stdin: str = "") -> str:
    command = [sys.executable, "-m", "service", *arguments]
    return subprocess.run(
        command, env=environment, check=True, input=stdin, stdout=subprocess.PIPE, text=True
    ).stdout


@contextmanager
def _serving(environment: dict[str, str], folder: Path) -> Iterator[tuple[int, float]]:
    began = time.monotonic()
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "service", "serve"], env=environment, stdout=log
        )
        try:
            while not _is_ready():
                if process.poll() is not None:
                    raise SystemExit((folder / "serve.log").read_text())
                time.sleep(0.01)
            yield process.pid, time.monotonic() - began
        finally:
            process.terminate()
            process.wait()


def _is_ready() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=1) as answer:
            return json.load(answer)["status"] == "ready"
    except (OSError, urllib.error.URLError):
        return False
