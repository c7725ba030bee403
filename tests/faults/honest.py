"""Honest clients with sessions: each keeps only what it received, and sends again what it lost."""

import asyncio
import math
import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import jwt

from service.embedded.postgres import EmbeddedPostgres
from service.keys.master_keys import read_master_keys
from service.oauth.refresh_token import RefreshToken, RefreshTokens
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, sql, until
from tests.faults.processes import Answer, Deployment

APP = "app"
_AJAX = {"x-requested-with": "test"}
# A walwriter that sleeps: what commits asynchronously is lost in a crash, unless somebody waits.
_SLEEPY = """
    ALTER SYSTEM SET wal_writer_delay = '10s';
    ALTER SYSTEM SET wal_writer_flush_after = '64MB'
"""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """What the client of a session holds: its newest string first of all.

    `strings` are all that it received, `refusal` is what ended it, `received_at` monotonic.
    """

    strings: list[str]
    access: str
    refusal: str | None = None
    received_at: float = field(default_factory=time.monotonic)

    @property
    def token(self) -> str:
        return self.strings[-1]

    @property
    def claims(self) -> dict[str, Any]:
        return jwt.decode(self.access, options={"verify_signature": False})

    @property
    def id(self) -> UUID:
        return UUID(self.claims["sid"])

    def receive(self, answer: httpx.Response) -> None:
        body = answer.json()
        self.access, self.received_at = body["access_token"], time.monotonic()
        if body["refresh_token"] != self.token:
            self.strings.append(body["refresh_token"])

    def go_on(self, pod: Pod, times: int = 1) -> None:
        """Refresh, and succeed each time."""
        for _ in range(times):
            answer = present(pod, self.token)
            assert answer.status_code == 200, answer.text
            self.receive(answer)


def make_app(site: Deployment, database_url: str, *people: str) -> dict[str, str]:
    """The first-party client, and people; their passwords."""
    options = ["--first-party", "--refresh-delivery", "body", "--grant", "refresh_token"]
    options += ["--audience", AUDIENCE, "--scope", "orders:read"]

    def make(name: str) -> str:
        if name == APP:
            return site.run(database_url, "clients", "create", APP, *options)
        about = ["--email", f"{name}@example.com", "--full-name", f"The {name}", "--generate"]
        return site.run(database_url, "users", "create", name, *about).split()[-1]

    with ThreadPoolExecutor(2) as pool:
        _, *passwords = pool.map(make, (APP, *people))
    return dict(zip(people, passwords, strict=True))


def alive(site: Deployment) -> list[Pod]:
    """The pods that nobody has killed."""
    return [pod for pod in site.pods if pod.process.poll() is None]


def let_commits_sleep(server: EmbeddedPostgres) -> None:
    """From here on a crash loses what was committed without waiting for the disk."""
    for statement in _SLEEPY.split(";"):
        sql(server, statement)
    sql(server, "SELECT pg_reload_conf()")


def log_in(pod: Pod, name: str, password: str) -> Session:
    body = {"client_id": APP, "username": name, "password": password}
    answer = pod.http.post("/api/login", json=body, headers=_AJAX)
    assert answer.status_code == 200, answer.text
    members = answer.json()
    return Session(strings=[members["refresh_token"]], access=members["access_token"])


def log_in_often(pods: Sequence[Pod], name: str, password: str, count: int) -> list[Session]:
    """As many sessions, begun by the pods in turn."""
    return [log_in(pods[number % len(pods)], name, password) for number in range(count)]


def log_out(pod: Pod, session: Session) -> None:
    body = {"client_id": APP, "refresh_token": session.token}
    answer = pod.http.post("/api/logout", json=body, headers=_AJAX)
    assert answer.status_code == 204, answer.text


def revoke(pod: Pod, session: Session) -> None:
    answer = pod.http.post("/revoke", data={"client_id": APP, "token": session.token})
    assert answer.status_code == 200, answer.text


def present(pod: Pod, token: str) -> httpx.Response:
    return pod.http.post("/token", data=_form(token))


def _form(token: str) -> dict[str, str]:
    return {"grant_type": "refresh_token", "client_id": APP, "refresh_token": token}


def is_refused(pods: Sequence[Pod], session: Session) -> bool:
    """Whether every pod says that the session is over, once it knows that PostgreSQL is back."""
    answers: list[httpx.Response] = []
    for pod in pods:
        until(lambda pod=pod: answers.append(present(pod, session.token)) or _decided(answers[-1]))
    found = [answer for answer in answers if _decided(answer)]
    return {(it.status_code, it.json().get("error")) for it in found} == {(400, "invalid_grant")}


def _decided(answer: httpx.Response) -> bool:
    assert answer.status_code in {200, 400, 503}, answer.text
    return answer.status_code != 503


def read_strings(site: Deployment) -> RefreshTokens:
    """Reads and writes refresh tokens, under the real master keys."""
    return RefreshTokens(site.issuer, read_master_keys(site.folder / "keys").refresh)


def read(strings: RefreshTokens, text: str) -> RefreshToken:
    found = strings.read(text)
    assert found is not None
    return found


class Honest:
    """Refreshes one after the other in each session, however many are under way at once.

    An answer that never came, and one of `losing` (0 to 1) of those that did, is lost: the client
    sends the same string again, to the next pod.
    """

    def __init__(
        self, urls: Sequence[str], sessions: Sequence[Session], *, pause: float, losing: float
    ) -> None:
        self.answers: list[Answer] = []
        self.successors: dict[str, set[str]] = {}
        self.sessions = sessions
        self.lost = 0
        self.stopping = False
        self._urls, self._pause, self._losing = urls, pause, losing

    async def run(self) -> None:
        async with httpx.AsyncClient(timeout=10) as http, asyncio.TaskGroup() as tasks:
            for number, session in enumerate(self.sessions):
                tasks.create_task(self._go_on(http, session, number))

    async def _go_on(self, http: httpx.AsyncClient, session: Session, turn: int) -> None:
        while not self.stopping and session.refusal is None:
            answer = await self._present(http, self._urls[turn % len(self._urls)], session.token)
            status = 0 if answer is None else answer.status_code
            if answer is None or status >= 500:
                turn += 1
            elif status != 200:
                session.refusal = answer.text
            elif random.random() < self._losing:  # noqa: S311 (a network's whim)
                turn, self.lost = turn + 1, self.lost + 1
                continue
            else:
                session.receive(answer)
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 (the same)

    async def _present(
        self, http: httpx.AsyncClient, url: str, token: str
    ) -> httpx.Response | None:
        began = time.monotonic()
        try:
            answer = await http.post(f"{url}/token", data=_form(token))
        except httpx.TransportError:
            self.answers.append(Answer(url, 0, time.monotonic() - began, began, None))
            return None
        retry_after = answer.headers.get("retry-after")
        seconds = time.monotonic() - began
        self.answers.append(Answer(url, answer.status_code, seconds, began, retry_after))
        if answer.status_code == 200:
            self.successors.setdefault(token, set()).add(answer.json()["refresh_token"])
        return answer

    def since(self, began: float, *, until: float = float("inf")) -> list[Answer]:
        """The answers to what was sent in a time."""
        return [it for it in self.answers if began <= it.at < until]

    def all_go_on(self) -> float:
        """Wait until every session has had an answer since now; the seconds that it took."""
        began = time.monotonic()
        return until(lambda: self._received_since(began))

    def _received_since(self, began: float) -> bool:
        self.nobody_was_logged_out()
        return all(session.received_at > began for session in self.sessions)

    def nobody_was_logged_out(self) -> None:
        """And no string had two successors."""
        assert [it.refusal for it in self.sessions if it.refusal] == []
        assert [token for token, after in self.successors.items() if len(after) > 1] == []


@contextmanager
def honest(
    urls: Sequence[str],
    sessions: Sequence[Session],
    *,
    pause: float = 0.1,
    losing: float = 0.0,
) -> Iterator[Honest]:
    """The sessions go on until the end of the block; then nobody may have been logged out."""
    load = Honest(urls, sessions, pause=pause, losing=losing)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(lambda: asyncio.run(load.run()))
        try:
            load.all_go_on()
            yield load
        finally:
            load.stopping = True
            running.result()
    load.nobody_was_logged_out()


def p99(answers: Sequence[Answer]) -> float:
    """Seconds."""
    times = sorted(answer.seconds for answer in answers)
    return times[math.ceil(len(times) * 0.99) - 1]
