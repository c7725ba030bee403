"""Following by two sources at once: each helps where the other does not deliver."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from watchword_verifier import Verifier
from watchword_verifier._clock import Clock
from watchword_verifier._feed_claims import Faulty
from watchword_verifier._follow import Follower
from watchword_verifier._sources import HttpSource

from service.embedded.redis import EmbeddedRedis
from service.oauth.feed import next_head
from tests.conftest import until
from tests.vectors import signed
from tests.verifier.conftest import LivePod
from tests.verifier.issuer import FEED_KEYS, Answer, Issuer, serving
from tests.verifier.parts import Parts, Times

SECONDS = timedelta(seconds=8)


async def heartbeat(redis: Any, prefix: str) -> dict[str, Any]:
    """What the heartbeat under a prefix says."""
    return signed.claims_of(await redis.get(f"{{{prefix}}}:feed:heartbeat"))


@asynccontextmanager
async def copied(redis: Any, source: str, target: str, *, entries: bool) -> AsyncIterator[None]:
    """The heartbeat of one prefix again and again under another; with what it names, or not."""

    async def copy() -> None:
        while True:
            jws = await redis.get(f"{{{source}}}:feed:heartbeat")
            epoch = signed.claims_of(jws)["epoch"]
            if entries:
                stream = f":feed:{epoch}:entries"
                await redis.copy(f"{{{source}}}{stream}", f"{{{target}}}{stream}", replace=True)
            await redis.set(f"{{{target}}}:feed:heartbeat", jws)
            await asyncio.sleep(0.1)

    task = asyncio.create_task(copy())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
async def redis(redis_server: EmbeddedRedis) -> AsyncIterator[Any]:
    async with Redis.from_url(redis_server.url, decode_responses=True) as opened:
        yield opened


async def test_whoever_begins_where_entries_are_withheld_asks_the_issuer(
    pod: LivePod, options: dict[str, str], redis: Any
) -> None:
    """ATK-107: heartbeats that rise are no feed without what they name."""
    client = pod.make_client()
    token = pod.token(client)
    pod.revoke(client, token)  # so that there is an entry to withhold
    while not (await heartbeat(redis, options["redis_prefix"]))["head"]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    prefix = f"t{uuid4().hex}"
    chosen: dict[str, Any] = {**options, "redis_prefix": prefix}
    async with copied(redis, options["redis_prefix"], prefix, entries=False):
        async with Verifier(**chosen, start_timeout=SECONDS) as verifier:
            assert verifier.ready
            assert verifier.status.facts > 0
        async with Verifier(
            **chosen, reserve=False, start_timeout=timedelta(seconds=1.5)
        ) as verifier:
            assert not verifier.ready
            assert verifier.status.source is None
    async with (
        copied(redis, options["redis_prefix"], prefix, entries=True),
        Verifier(**chosen, reserve=False, start_timeout=SECONDS) as verifier,
    ):
        assert verifier.ready
        assert verifier.status.source == "redis"


class Following:
    """A follower over HTTP of an issuer of the test's own, which serves one honest stream."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.parts = Parts(issuer=issuer.url, times=Times(wall=time.time()))
        self.parts.trust(issuer.feed_signer.public_jwk)
        self.heads = [signed.HEAD_0]
        self.entries: list[str] = []

    def revoke(self, *jtis: str) -> None:
        facts = [{"jti": jti, "exp": 9_999_999_999} for jti in jtis]
        of: dict[str, Any] = {"key": self.issuer.feed_signer, "iss": self.issuer.url}
        self.entries.append(signed.entry(self.heads[-1], facts, **of))
        self.heads.append(next_head(self.heads[-1], self.entries[-1]))

    def beat(self, **members: Any) -> str:
        now = int(self.parts.times.wall * 1000)
        of: dict[str, Any] = {"key": self.issuer.feed_signer, "iss": self.issuer.url, "killed": ()}
        return signed.heartbeat(self.heads[-1], time=now, **{**of, **members})

    def serve(self, query: str = "", /, **members: object) -> None:
        self.issuer.answers["/revocations" + query] = Answer(json.dumps(members).encode())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Follower]:
        parts = self.parts
        async with parts.keys._fetcher as fetcher:
            clock = Clock(wall=lambda: parts.times.wall)  # it waits by the real one
            sources = (None, HttpSource(fetcher))
            follower = Follower(parts.feed, parts.keys, clock, sources, parts.max_staleness)
            task = asyncio.create_task(follower.run())
            yield follower
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@pytest.fixture
def following() -> Iterator[Following]:
    with serving() as issuer:
        yield Following(issuer)


async def test_an_issuer_that_answers_without_waiting_is_not_asked_in_a_loop(
    following: Following,
) -> None:
    """ATK-22: its own news, or what somebody puts in their place, never makes a flood."""
    following.serve(entries=[], heartbeat=following.beat())
    async with following.running():
        await asyncio.sleep(1.5)
    assert 2 <= following.issuer.requests["/revocations"] <= 4


async def test_pages_are_asked_for_until_the_last(following: Following) -> None:
    """A page that is faulty in part is taken as far as it is proven, and told."""
    for number in range(3):
        following.revoke(f"jti-{number}")
    first, rest, last = [following.entries[:2], following.entries[2:], following.beat()]
    following.serve("?wait=0", entries=first)
    following.serve(f"?epoch={signed.EPOCH}&after=2&wait=0", entries=rest, heartbeat=last)
    following.serve(entries=[], heartbeat=last)
    async with following.running() as follower:
        await until(lambda: follower.source == "http")
        assert following.parts.feed.is_complete
        assert (following.parts.feed.number, follower.troubles) == (3, {})
        following.revoke("next")
        following.parts.times.pass_by(1)
        forged = signed.entry(following.heads[-1], [{"jti": "a", "exp": 1}], key=signed.STRANGER)
        page = [following.entries[-1], forged]
        following.serve(entries=page, heartbeat=following.beat())
        await until(lambda: follower.troubles)
        assert follower.faults == {"http": 1}
        assert (following.parts.feed.number, follower.source) == (4, None)


async def test_what_is_told_does_not_pile_up(following: Following) -> None:
    """ATK-10: though each fault has another text."""
    async with following.running() as follower:
        follower._clock = following.parts.times.clock()
        for number in range(1000):
            following.parts.times.pass_by(1)
            await follower._note("redis", Faulty(f"entry {number} is missing"))
        assert len(follower._told_at) <= 62
        assert follower.troubles["redis"] == "entry 999 is missing"


async def test_a_fault_in_the_follower_itself_does_not_end_it(
    following: Following, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Revocations must go on arriving."""
    monkeypatch.setattr("watchword_verifier._follow._MAX_PAUSE", 0.01)
    following.serve(entries=[], heartbeat=following.beat())
    broken = [RuntimeError("a defect")]
    hear = following.parts.feed.hear

    def hear_or_break(*args: Any, **members: Any) -> bool:
        if broken:
            raise broken.pop()
        return hear(*args, **members)

    monkeypatch.setattr(following.parts.feed, "hear", hear_or_break)
    async with following.running():
        await until(lambda: following.parts.feed.is_complete)
    assert "a defect" in caplog.text


async def test_a_page_that_goes_no_further_is_not_asked_for_for_ever(following: Following) -> None:
    following.revoke("jti")
    following.serve(entries=following.entries)
    async with following.running() as follower:
        await until(lambda: follower.troubles)
    assert follower.troubles == {"http": "a page that goes no further"}
    assert following.issuer.requests["/revocations"] <= 4


async def test_the_feeds_key_set_says_which_of_its_keys_was_killed(following: Following) -> None:
    """DIST-6, ATK-107: past all caches; while it can't be had, nothing is believed."""
    issuer, parts = following.issuer, following.parts
    parts.trust(issuer.feed_signer.public_jwk, signed.THIRD.public_jwk)
    killed = [signed.THIRD.kid]
    following.serve(entries=[], heartbeat=following.beat(killed_kids=killed))
    keys = issuer.answers.pop(FEED_KEYS)
    async with following.running() as follower:
        await until(lambda: follower.troubles)
        assert follower.troubles == {"http": "keys of the feed were killed"}
        assert not parts.feed.is_complete
        issuer.answers[FEED_KEYS] = keys
        await until(lambda: parts.feed.is_complete)
    assert list(parts.keys.feed.keys) == [issuer.feed_signer.kid]
    assert parts.keys.tokens.killed == {signed.THIRD.kid}
