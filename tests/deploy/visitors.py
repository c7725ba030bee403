"""Independent clients, each with a kept connection of its own, that never stop asking."""

import asyncio
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.faults.honest import APP

AJAX = {"x-requested-with": "test"}


@dataclass(frozen=True, slots=True)
class Asked:
    """One request: its kind, when it was sent, and what was wrong with the answer, if anything."""

    kind: str
    at: float
    fault: str | None


@dataclass(slots=True, eq=False)
class Visitor:
    """A client with one connection, kept open until the other side closes it."""

    http: httpx.AsyncClient
    asked: list[Asked]

    async def ask(self, kind: str, path: str, want: int = 200, **options: Any) -> dict[str, Any]:
        """The JSON of an answer, which has to have the wanted status; none after a fault."""
        at, fault, body = time.monotonic(), None, {}
        method = "POST" if "data" in options or "json" in options else "GET"
        try:
            answer = await self.http.request(method, path, **options)
        except httpx.TransportError as error:
            fault = repr(error)
        else:
            if answer.status_code != want:
                fault = f"{answer.status_code} {answer.text}"
            elif want == 200:
                body = answer.json()
        self.asked.append(Asked(kind, at, fault))
        return body


@dataclass(slots=True)
class Visitors:
    """All of them: programs, people with a session each, newcomers, and who reads the keys."""

    url: str
    trust: ssl.SSLContext
    client: tuple[str, str]
    password: str
    asked: list[Asked] = field(default_factory=list)
    sessions: list[dict[str, Any]] = field(default_factory=list)
    stopping: bool = False

    PROGRAMS, PEOPLE, NEWCOMERS, READERS = 3, 6, 2, 2

    async def run(self) -> None:
        """Until told to stop."""
        roles: list[tuple[int, Callable[[Visitor], Any], float]] = [
            (self.PROGRAMS, self._program, 0.1),
            (self.PEOPLE, self._person, 0.1),
            (self.NEWCOMERS, self._newcomer, 0.7),
            (self.READERS, self._reader, 0.1),
        ]
        async with asyncio.TaskGroup() as tasks:
            for count, role, pause in roles:
                for _ in range(count):
                    tasks.create_task(self._go_on(role, pause))

    async def _go_on(self, role: Callable[[Visitor], Any], pause: float) -> None:
        one = httpx.Limits(max_connections=1, keepalive_expiry=None)
        address = {"base_url": self.url, "verify": self.trust}
        async with httpx.AsyncClient(**address, limits=one, timeout=10) as http:
            visitor = Visitor(http, self.asked)
            turn = role(visitor)
            while not self.stopping:
                await anext(turn)
                await asyncio.sleep(pause)
            await turn.aclose()

    async def _program(self, visitor: Visitor) -> Any:
        form = {"grant_type": "client_credentials"}
        while True:
            token = await visitor.ask("token", "/token", data=form, auth=self.client)
            yield
            ask = {"token": token.get("access_token", "none")}
            for _ in range(3):
                told = await visitor.ask("introspect", "/introspect", data=ask, auth=self.client)
                if not told.get("active"):
                    self._fault("introspect", f"of a good token: {told}")
                yield

    async def _person(self, visitor: Visitor) -> Any:
        session = await self._log_in(visitor)
        self.sessions.append(session)
        while True:
            yield
            form = {"grant_type": "refresh_token", "client_id": APP}
            form["refresh_token"] = session.get("refresh_token", "none")
            session.update(await visitor.ask("refresh", "/token", data=form))
            yield
            bearer = {"authorization": f"Bearer {session.get('access_token')}"}
            await visitor.ask("me", "/api/me", headers=bearer)

    async def _newcomer(self, visitor: Visitor) -> Any:
        while True:
            session = await self._log_in(visitor)
            yield
            body = {"client_id": APP, "refresh_token": session.get("refresh_token", "none")}
            await visitor.ask("logout", "/api/logout", 204, json=body, headers=AJAX)
            yield

    async def _reader(self, visitor: Visitor) -> Any:
        while True:
            await visitor.ask("keys", "/.well-known/jwks.json")
            yield

    async def _log_in(self, visitor: Visitor) -> dict[str, Any]:
        body = {"client_id": APP, "username": "anna", "password": self.password}
        return await visitor.ask("login", "/api/login", json=body, headers=AJAX)

    def _fault(self, kind: str, what: str) -> None:
        self.asked.append(Asked(kind, time.monotonic(), what))

    def faults(self, asked: Sequence[Asked] | None = None) -> list[str]:
        """What went wrong, each with its moment."""
        return [f"{it.at:.3f} {it.kind}: {it.fault}" for it in asked or self.asked if it.fault]

    def counted(self, since: float = 0.0) -> Counter[str]:
        """How many requests of each kind were sent since a moment."""
        return Counter(it.kind for it in self.asked if it.at >= since)

    def have_come(self, since: float = 0.0) -> bool:
        """Whether each kind of request was answered since a moment."""
        kinds = {"token", "introspect", "refresh", "me", "login", "logout", "keys"}
        return kinds <= self.counted(since).keys()


@contextmanager
def visiting(visitors: Visitors) -> Iterator[Visitors]:
    """From before the first answers of each kind until the end of the block."""
    thread = threading.Thread(target=lambda: asyncio.run(visitors.run()))
    thread.start()
    try:
        yield visitors
    finally:
        visitors.stopping = True
        thread.join()
