"""Deployments of real processes, a steady load on them, and the documented check of their feed."""

import asyncio
import json
import math
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
import jwt
from redis import Redis

from service.embedded.redis import EmbeddedRedis
from service.keys.master_keys import create_master_keys
from tests.faults.failover_support import Pod, Site, free_port, sql

ROOT = Path(__file__).parents[2]
VERIFY = ROOT / "docs/reference/verify_feed.py"

Client = tuple[str, str]
_Site = TypeVar("_Site", bound="Deployment")


class Deployment(Site):
    """A site whose issuer is the address of its first pod."""

    issuer = ""

    def environment(self, database_url: str) -> dict[str, str]:
        return {**super().environment(database_url), "WATCHWORD_ISSUER": self.issuer}

    @property
    def database_url(self) -> str:
        return self.servers[0].url()

    def start_pod(self, database_url: str = "", *, url: str = "") -> Pod:
        """A pod, not waited for; at the issuer's address, or at another one."""
        url, log = url or self.issuer, self.folder / f"pod-{len(self.pods)}.log"
        environment = self.environment(database_url or self.database_url)
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                cwd=ROOT,
                env={**environment, "WATCHWORD_LISTEN": url.removeprefix("http://")},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.pods.append(Pod(process, url, log))
        return self.pods[-1]

    def start_pods(self, count: int) -> list[Pod]:
        """Pods, each ready, the first at the issuer's address."""
        urls = [self.issuer, *(free_url() for _ in range(count - 1))]
        pods = [self.start_pod(url=url) for url in urls]
        until(lambda: all(pod.is_ready() for pod in pods))
        return pods

    def query(self, text: str, *args: object) -> Any:
        """The first value of a statement's answer."""
        return sql(self.servers[0], text, *args)

    def head(self) -> tuple[str, int]:
        """The epoch and the head in PostgreSQL; later ones are greater."""
        epoch, head = self.query("SELECT epoch || ' ' || head FROM feed").split()
        return epoch, int(head)

    def check(self, prefix: str = "ww") -> dict[str, Any] | str:
        """What the documented check prints, or the fault that it ends with."""
        result = subprocess.run(
            [sys.executable, VERIFY, self.issuer, self.redis_server.url, prefix],
            env={},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        if result.returncode == 0:
            return json.loads(result.stdout)
        assert result.stderr.startswith("fault: "), result.stderr
        return result.stderr.strip()

    def checked(self, seconds: float = 30.0) -> dict[str, Any]:
        """What the check prints once it succeeds up to PostgreSQL's head, which may move on."""
        deadline = time.monotonic() + seconds
        while True:
            before, found, after = self.head(), self.check(), self.head()
            if isinstance(found, dict) and before <= (found["epoch"], found["head"]) <= after:
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


@contextmanager
def open_deployment(folder: Path, kind: type[_Site] = Deployment) -> Iterator[_Site]:
    """PostgreSQL with an empty database, Redis and master keys."""
    create_master_keys(folder / "keys")
    with EmbeddedRedis(folder / "redis") as server:
        redis = Redis.from_url(server.url, decode_responses=True)
        site = kind(folder, server, redis)
        site.issuer = free_url()
        try:
            site.start_server()
            yield site
        finally:
            for pod in site.pods:
                pod.stop()
            for each in site.servers:
                each.kill()
            redis.close()


def free_url() -> str:
    return f"http://127.0.0.1:{free_port()}"


def until(statement: Any, seconds: float = 30.0) -> float:
    """Wait for a statement to come true, looking again and again; the seconds that it took."""
    began = time.monotonic()
    while not statement():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.01)
    return time.monotonic() - began


def metric(pod: Pod, name: str) -> float:
    """A metric's value, its label included in the name; 0 before it was first counted."""
    lines = pod.http.get("/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def subjects(check: dict[str, Any], kind: str = "jti") -> list[str]:
    """Who the facts of a checked feed are about."""
    return [fact[kind] for fact in check["facts"] if kind in fact]


def jti(token: str) -> str:
    return jwt.decode(token, options={"verify_signature": False})["jti"]


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of the load: its kind, the status (0: none came), and the seconds it took."""

    kind: str
    status: int
    seconds: float
    at: float
    retry_after: str | None


class Load:
    """Requests at a steady rate, however long the answers take, to several pods in turn."""

    KINDS = ("token", "introspect", "revoke", "failure")

    def __init__(self, urls: Sequence[str], client: Client, rate: float) -> None:
        self.answers: list[Answer] = []
        self.revoked: list[str] = []
        self.stopping = False
        self._urls, self._client, self._pause = urls, client, 1 / rate
        self._tokens: list[str] = []

    async def run(self) -> None:
        """Send until told to stop, then wait for the answers."""
        async with httpx.AsyncClient(timeout=10) as self._http, asyncio.TaskGroup() as tasks:
            number, due = 0, time.monotonic()
            while not self.stopping:
                url = self._urls[number // len(self.KINDS) % len(self._urls)]
                kind = self.KINDS[number % len(self.KINDS)]
                tasks.create_task(self._send(url, kind))
                number, due = number + 1, due + self._pause
                await asyncio.sleep(max(0, due - time.monotonic()))

    async def _send(self, url: str, kind: str) -> None:
        auth = (self._client[0], "wrong") if kind == "failure" else self._client
        if kind == "revoke" and len(self._tokens) <= 1:
            return  # the others ask about the first, and a word that is no token is no test
        token = self._tokens.pop() if kind == "revoke" else next(iter(self._tokens), "none")
        endpoint = "token" if kind in {"token", "failure"} else kind
        form = {"grant_type": "client_credentials"} if endpoint == "token" else {"token": token}
        began, answer = time.monotonic(), None
        with suppress(httpx.TransportError):
            answer = await self._http.post(f"{url}/{endpoint}", data=form, auth=auth)
        status = answer.status_code if answer is not None else 0
        seconds = time.monotonic() - began
        retry_after = answer.headers.get("retry-after") if answer is not None else None
        self.answers.append(Answer(kind, status, seconds, began, retry_after))
        if answer is not None and status == 200 and kind == "token":
            self._tokens.append(answer.json()["access_token"])
        if status == 200 and kind == "revoke":
            self.revoked.append(jti(token))

    def since(self, began: float, *kinds: str) -> list[Answer]:
        """The answers to requests sent since a moment, of all kinds or some."""
        return [it for it in self.answers if it.at >= began and it.kind in (kinds or self.KINDS)]


@contextmanager
def steady_load(pods: Sequence[Pod], client: Client, *, rate: float = 20) -> Iterator[Load]:
    """A load, from before the first answers of each kind came until the end of the block."""
    load = Load([pod.url for pod in pods], client, rate)
    thread = threading.Thread(target=lambda: asyncio.run(load.run()))
    thread.start()
    try:
        until(lambda: {it.kind for it in load.answers} == set(Load.KINDS) and load.revoked)
        yield load
    finally:
        load.stopping = True
        thread.join()


def statuses(answers: Iterable[Answer]) -> dict[str, set[int]]:
    """Which statuses each kind of request was answered with."""
    found: dict[str, set[int]] = {}
    for answer in answers:
        found.setdefault(answer.kind, set()).add(answer.status)
    return found


def tell(what: str, answers: Sequence[Answer]) -> None:
    """Write p50, p99 and the slowest answer, for who reads the output (pytest -rP)."""
    times = sorted(answer.seconds * 1000 for answer in answers)
    at = {p: times[min(len(times) - 1, math.ceil(len(times) * p) - 1)] for p in (0.5, 0.99)}
    counts = dict(Counter(answer.status for answer in answers))
    figures = f"p50 {at[0.5]:.1f} ms, p99 {at[0.99]:.1f} ms, slowest {times[-1]:.1f} ms"
    sys.stdout.write(f"{what}: {len(times)} answers {counts}, {figures}\n")
