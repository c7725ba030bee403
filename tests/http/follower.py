"""A follower of the feed over HTTP, which believes nothing that is not proven and chained."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from service.app import App
from service.flows.feed_reader import prove_entry, prove_heartbeat
from service.flows.publish_revocations import publish_revocations
from service.oauth.feed import Heartbeat, genesis, next_head
from service.oauth.jws import encode_base64url
from tests.conftest import http_to, until

IMMUTABLE = "public, max-age=600, immutable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer of 200: the entries' bytes, who their facts are about, and the heartbeat."""

    response: httpx.Response
    entries: list[str]
    numbers: list[int]
    subjects: list[str]
    heartbeat: Heartbeat | None

    @property
    def cache(self) -> str:
        """How long it may be kept."""
        return self.response.headers["cache-control"]

    @property
    def beat(self) -> Heartbeat:
        """The heartbeat, of a last page."""
        assert self.heartbeat is not None
        return self.heartbeat


@dataclass(slots=True)
class Follower:
    """Where a follower of a pod is in the feed."""

    app: App
    http: httpx.AsyncClient = field(init=False)
    epoch: str = ""
    number: int = 0
    digest: str = ""

    def __post_init__(self) -> None:
        self.http = http_to(self.app)

    async def get(self, **query: object) -> httpx.Response:
        """The bare answer to a query."""
        return await self.http.get("/revocations", params={k: str(v) for k, v in query.items()})

    async def ask(self, **query: object) -> Answer:
        """The proven answer to a query; the follower stays where it is."""
        return self.prove(await self.get(**query))

    def prove(self, response: httpx.Response) -> Answer:
        """The answer, every signature in it proven, and the chain of its entries."""
        assert response.status_code == 200, response.text
        assert response.headers.get_list("content-type") == ["application/json"]
        body: dict[str, Any] = response.json()
        assert set(body) <= {"entries", "heartbeat"}
        keyring, issuer = self.app.services.keyring, self.app.services.issuer
        entries = [prove_entry(jws, keyring, issuer) for jws in body["entries"]]
        proven = [entry for entry in entries if entry is not None]
        assert len(proven) == len(entries)
        for jws, entry, following in zip(body["entries"], proven, proven[1:], strict=False):
            assert following.number == entry.number + 1
            assert following.prev == digest_of(jws)
        heartbeat = None
        if "heartbeat" in body:
            heartbeat = prove_heartbeat(body["heartbeat"], keyring, issuer)
            assert heartbeat is not None
        if proven and heartbeat is not None:
            assert {heartbeat.epoch} == {entry.epoch for entry in proven}
            assert (heartbeat.head, heartbeat.digest) == (
                proven[-1].number,
                digest_of(body["entries"][-1]),
            )
        return Answer(
            response=response,
            entries=body["entries"],
            numbers=[entry.number for entry in proven],
            subjects=[fact.subject for entry in proven for fact in entry.facts],
            heartbeat=heartbeat,
        )

    async def follow(self, wait: int = 10) -> Answer:
        """What comes next; the follower moves on to the answer's end."""
        place = {"epoch": self.epoch, "after": self.number} if self.epoch else {}
        answer = await self.ask(**place, wait=wait)
        if answer.entries:
            first = prove_entry(
                answer.entries[0], self.app.services.keyring, self.app.services.issuer
            )
            assert first is not None
            if first.epoch == self.epoch:
                assert (first.number, first.prev) == (self.number + 1, self.digest)
            self.epoch, self.number = first.epoch, answer.numbers[-1]
            self.digest = digest_of(answer.entries[-1])
        elif answer.beat.epoch != self.epoch:
            beat = answer.beat
            self.epoch, self.number, self.digest = beat.epoch, beat.head, beat.digest
        return answer

    async def catch_up(self) -> "Follower":
        """At the end of the feed."""
        while (await self.follow(wait=0)).heartbeat is None:
            pass
        return self

    async def ask_until(self, statement: Callable[[Answer], object]) -> Answer:
        """Ask from the floor on, again and again, until a statement is true of the answer."""
        async with asyncio.timeout(20):
            while not statement(answer := await self.ask(wait=0)):  # noqa: ASYNC110 (no event)
                await asyncio.sleep(0.05)
        return answer

    async def waiting(self, coroutine: Awaitable[Answer]) -> "asyncio.Task[Answer]":
        """The question, asked and not answered yet."""
        news, before = self.app.services.keeper.news, self.app.services.keeper.news.followers
        task = asyncio.ensure_future(coroutine)
        await until(lambda: task.done() or news.followers > before)
        assert not task.done(), await task
        return task


def digest_of(jws: str) -> str:
    """What the next entry's `prev` is."""
    return encode_base64url(next_head(genesis(""), jws).digest)


async def write_facts(app: App, count: int = 1, kind: str = "jti") -> list[str]:
    """Facts about new tokens or others, committed and not published; their ids."""
    ids = [str(uuid4()) for _ in range(count)]
    async with app.services.database.connection() as connection:
        await connection.execute(
            """
            INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
            SELECT $2, id, CASE WHEN $2 IN ('client', 'stale') THEN 1 ELSE 0 END,
                   CASE WHEN $2 <> 'kid' THEN clock_timestamp() + '10 minutes'::interval END,
                   'test', 'test'
            FROM unnest($1::text[]) AS id
            """,
            ids,
            kind,
        )
    return ids


async def publish(app: App, count: int = 1, kind: str = "jti") -> list[str]:
    """Facts, written and published by that pod; their ids."""
    ids = await write_facts(app, count, kind)
    await app.services.keeper.publish()
    return ids


async def publish_elsewhere(app: App, count: int = 1) -> list[str]:
    """Facts that a pod numbered which died before it told anybody."""
    ids = await write_facts(app, count)
    services = app.services
    await publish_revocations(services.database, services.keyring, services.issuer)
    return ids
