"""All that runs in the example, each part a process on this machine, on any free ports."""

import asyncio
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import httpx

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis

ROOT = Path(__file__).parents[2]
SHOP = "https://shop.example"

# What each client may do at the shop's API: three programs with secrets, one app for people.
CLIENTS = {
    "orders": ("billing:write",),
    "billing": ("orders:read",),
    "reports": ("orders:read", "billing:read"),
    "shop": ("orders:read", "orders:write", "billing:read"),
}
_START_SECONDS = 30.0


class Site:
    """One pod of Watchword with its servers, and the two services that trust it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self.issuer, self.orders, self.billing = (_free_url() for _ in range(3))
        self.clients: dict[str, tuple[str, str]] = {}
        self._settings: dict[str, str] = {}

    def start_watchword(self) -> None:
        """PostgreSQL, Redis and a pod."""
        postgres = self._stack.enter_context(EmbeddedPostgres(self._folder / "postgres"))
        redis = self._stack.enter_context(EmbeddedRedis(self._folder / "redis"))
        self._settings = {
            "WATCHWORD_ISSUER": self.issuer,
            "WATCHWORD_LISTEN": self.issuer.removeprefix("http://"),
            "WATCHWORD_DATABASE_URL": postgres.url(),
            "WATCHWORD_REDIS_URL": redis.url,
            "WATCHWORD_KEYS_DIR": str(self._folder / "keys"),
            "WATCHWORD_DRAIN": "0s",
        }
        self.watchword("keys", "init")
        self.watchword("migrate")
        self._start("watchword", "service", "serve")
        self._wait("watchword", self.issuer)

    def register_clients(self) -> None:
        """All of them, each with the shop's API as its audience."""
        with ThreadPoolExecutor() as pool:
            list(pool.map(self._register, CLIENTS))

    def start_services(self) -> None:
        """Orders and billing, as anybody runs them."""
        for name in ("orders", "billing"):
            client_id, secret = self.clients[name]
            port = self.url(name).rpartition(":")[2]
            self._start(
                name,
                "uvicorn",
                f"examples.services.{name}:app",
                f"--port={port}",
                CLIENT_ID=client_id,
                CLIENT_SECRET=secret,
                ORDERS_URL=self.orders,
                BILLING_URL=self.billing,
            )
        for name in ("orders", "billing"):
            self._wait(name, self.url(name))

    def url(self, service: str) -> str:
        """Where a service answers."""
        return {"orders": self.orders, "billing": self.billing}[service]

    def watchword(self, *words: str) -> str:
        """What the command line `watchword` prints."""
        ran = subprocess.run(  # noqa: S603 (our own words)
            self._command(*words),
            env=self._environment(),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        if ran.returncode:
            raise SystemExit(f"watchword {' '.join(words)}: {ran.stderr}")
        return ran.stdout

    async def lines(self, *words: str) -> AsyncIterator[str]:
        """The lines that the command line `watchword` prints, each as it comes."""
        with subprocess.Popen(  # noqa: S603, ASYNC220 (our own words; begun in a moment)
            self._command(*words),
            env=self._environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                while process.stdout and (line := await asyncio.to_thread(process.stdout.readline)):
                    yield line.rstrip()
            except BaseException:  # stopped in the middle: the thread reads to the end
                process.kill()
                raise

    def _register(self, name: str) -> None:
        options = ["--audience", SHOP]
        for scope in CLIENTS[name]:
            options += ["--scope", scope]
        if name == "shop":
            options += ["--first-party", "--refresh-delivery", "body"]
        printed = self.watchword("clients", "create", name, *options)
        secret = re.search(r"^client_secret +(\S+)$", printed, re.MULTILINE)
        self.clients[name] = (name, secret[1] if secret else "")

    def _start(self, name: str, *words: str, **environment: str) -> None:
        with (self._folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 (our own words)
                [sys.executable, "-m", *words],
                env={**self._environment(), **environment},
                cwd=ROOT,
                stdout=log,
                stderr=log,
            )
        self._stack.callback(_stop, process)

    def _wait(self, name: str, url: str) -> None:
        """Until it is ready, or SystemExit with the end of its log."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError):
                if httpx.get(f"{url}/readyz").is_success:
                    return
            time.sleep(0.02)
        log = (self._folder / f"{name}.log").read_text().splitlines()
        raise SystemExit("\n".join([f"{name} did not start:", *log[-20:]]))

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "service", *words]

    def _environment(self) -> dict[str, str]:
        """This process's, with the settings of this Watchword and of no other."""
        others = {k: v for k, v in os.environ.items() if not k.startswith("WATCHWORD_")}
        return {**others, **self._settings}


def _free_url() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def _stop(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
