"""One JWK Set, kept fresh: how often it is fetched, and by what that changes. RS-5."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from watchword_verifier._fetch import Answer, Unreachable
from watchword_verifier._key_set import KeySet

from service.keys.signer import PrivateKey
from tests.conftest import until
from tests.verifier.parts import Times

ONE, OTHER = (PrivateKey.generate() for _ in range(2))


@dataclass(slots=True)
class Source:
    """What a fetch brings: keys, or nothing; and how it was asked."""

    signers: list[PrivateKey] = field(default_factory=lambda: [ONE])
    max_age: int | None = None
    away: bool = False
    asked: list[bool] = field(default_factory=list)

    async def fetch(self, past_caches: bool) -> Answer:
        self.asked.append(past_caches)
        await asyncio.sleep(0)
        if self.away:
            raise Unreachable("away")
        keys = [signer.public_jwk for signer in self.signers]
        return Answer(json.dumps({"keys": keys}).encode(), self.max_age)


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def times() -> Times:
    return Times()


@pytest.fixture
def keys(source: Source, times: Times) -> KeySet:
    return KeySet("JWK Set", source.fetch, ("RS256",), times.clock(), (30.0, 30.0))


@pytest.fixture
async def running(keys: KeySet) -> AsyncIterator[KeySet]:
    task = asyncio.create_task(keys.run())
    await until(lambda: keys.keys)
    yield keys
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.mark.parametrize(
    ("said", "kept"), [(None, 300), (0, 30), (29, 30), (31, 31), (3600, 3600), (86_400, 3600)]
)
async def test_it_is_kept_as_long_as_the_issuer_says_within_reason(
    keys: KeySet, source: Source, said: int | None, kept: int
) -> None:
    """From half a minute to an hour: neither a flood nor a set for ever."""
    source.max_age = said
    assert await keys.fetch()
    assert keys._max_age == kept


async def test_it_is_fetched_again_when_it_has_aged(source: Source, keys: KeySet) -> None:
    """By the age that it had when it was loaded."""
    document = json.dumps({"keys": [ONE.public_jwk]}).encode()
    keys.load(document, age=299.95)
    task = asyncio.create_task(keys.run())
    await asyncio.sleep(0)
    assert source.asked == []
    source.signers = [OTHER]
    # This clock stands still but for the pause, after which the set is due.
    keys._clock = Times(monotonic=5_000.1).clock()
    await until(lambda: OTHER.kid in keys.keys)
    assert source.asked == [False]
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_signed_word_brings_it_at_once_past_all_caches(
    running: KeySet, source: Source
) -> None:
    """DIST-6: whatever the rate, and again until it worked."""
    source.away = True
    for _ in range(3):
        running.expect_change()
        await until(lambda: running._due.is_set() is False)
    await until(lambda: len(source.asked) >= 2)
    source.away, source.signers = False, [OTHER]
    await until(lambda: OTHER.kid in running.keys)
    assert source.asked[0] is False
    assert all(source.asked[1:])


@pytest.mark.parametrize("is_known_before", [False, True])
async def test_a_set_of_killed_keys_alone_is_asked_for_again(
    keys: KeySet, source: Source, is_known_before: bool
) -> None:
    """DIST-6: it comes from a pod, or a cache, that has not heard of their successors yet."""
    if not is_known_before:
        assert await keys.fetch()
    assert keys.kill([ONE.kid]) is not is_known_before
    if not is_known_before:
        keys.expect_change()
    task = asyncio.create_task(keys.run())
    await until(lambda: len(source.asked) == (1 if is_known_before else 2))
    source.signers = [OTHER]
    await until(lambda: keys.keys, seconds=5)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_it_is_told_once_that_it_fails_and_once_that_it_works(
    keys: KeySet, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    source.away = True
    with caplog.at_level(logging.INFO, "watchword_verifier"):
        for away in (True, True, False, False, True, True):
            source.away = away
            assert await keys.fetch() is not away
    assert [record.getMessage() for record in caplog.records] == [
        "the JWK Set can't be fetched (away): there are none yet",
        "the JWK Set could be fetched again",
        "the JWK Set can't be fetched (away): those at hand go on",
    ]


async def test_a_killed_key_is_dropped_once_and_for_all(keys: KeySet, source: Source) -> None:
    """DIST-6."""
    source.signers = [ONE, OTHER]
    assert await keys.fetch()
    assert not keys.kill(["stranger"])
    assert keys.kill([ONE.kid, "stranger"])
    assert not keys.kill([ONE.kid])
    for _ in range(2):
        assert list(keys.keys) == [OTHER.kid]
        assert await keys.fetch()
    assert keys.kill([OTHER.kid])
    assert not keys.is_usable(5_000)


async def test_whoever_asks_while_it_is_fetched_waits_for_that(
    keys: KeySet, source: Source, times: Times
) -> None:
    """RS-5: and after the pause the next unknown key may ask again."""
    assert await asyncio.gather(*(keys.fetch_for_unknown() for _ in range(50))) == [True] * 50
    assert source.asked == [True]
    times.pass_by(29.9)
    assert not await keys.fetch_for_unknown()
    times.pass_by(0.2)
    source.away = True
    assert not await keys.fetch_for_unknown()
    assert not await keys.fetch_for_unknown()  # one that failed counts as well
    assert source.asked == [True, True]


async def test_a_key_that_stays_unknown_is_asked_for_less_and_less_often(
    source: Source, times: Times
) -> None:
    """RS-5: who was asked may be about to hear of it; and forged ones reach no issuer faster."""
    keys, asked_at = KeySet("JWK Set", source.fetch, ("RS256",), times.clock(), (1.0, 10.0)), []
    for second in range(40):
        if await keys.fetch_for_unknown():
            asked_at.append(second)
        times.pass_by(1.0)
    assert asked_at == [0, 1, 3, 7, 15, 25, 35]
    times.pass_by(9.0)
    assert await keys.fetch_for_unknown()
    times.pass_by(1.0)
    assert not await keys.fetch_for_unknown()  # nobody was quiet in between
    times.pass_by(10.1)
    assert await keys.fetch_for_unknown()
    times.pass_by(1.0)
    assert await keys.fetch_for_unknown()


async def test_who_joined_a_fetch_that_was_under_way_sets_no_limit_aside(
    source: Source, times: Times
) -> None:
    """RS-5."""
    keys = KeySet("JWK Set", source.fetch, ("RS256",), times.clock(), (1.0, 10.0))
    assert await asyncio.gather(keys.fetch(), keys.fetch_for_unknown()) == [True, True]
    assert [await keys.fetch_for_unknown() for _ in range(5)] == [True, *[False] * 4]
    times.pass_by(1.0)
    assert [await keys.fetch_for_unknown() for _ in range(5)] == [True, *[False] * 4]
