"""Heartbeats over HTTP: once a second for each head, and never behind those in Redis."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.flows import feed_pulse
from service.flows.feed_pulse import FeedPulse
from service.flows.feed_reader import prove_heartbeat
from service.keys.keyring import KeyringError
from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, Heartbeat, heartbeat_claims
from service.oauth.signing_key import FEED
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, add_entries, next_heartbeat, open_parts

BEAT = Heartbeat(
    epoch="01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08",
    head=3,
    digest="x",
    floor=1,
    time=1_727_000_301_250,
    database_read_at=1_727_000_301_000,
    killed_kids=(),
)


@pytest.fixture(scope="module")
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as opened:
        await add_entries(opened, 3)
        yield opened


class Clock:
    """Takes the place of the pulse's monotonic clock."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(feed_pulse, "time", clock)
    return clock


@pytest.fixture
def pulse(parts: Parts, clock: Clock) -> FeedPulse:
    return FeedPulse(parts.keyring, parts.settings.issuer)


def proven(parts: Parts, jws: str) -> Heartbeat:
    heartbeat = prove_heartbeat(jws, parts.keyring, parts.settings.issuer)
    assert heartbeat is not None
    return heartbeat


async def test_one_is_signed_a_second_for_each_head(
    parts: Parts, pulse: FeedPulse, clock: Clock
) -> None:
    first = pulse.sign(BEAT)
    assert proven(parts, first) == BEAT
    later = replace(BEAT, time=BEAT.time + 999)
    clock.now = 0.999
    assert pulse.sign(later) == first
    newer = replace(later, head=4)
    assert proven(parts, pulse.sign(newer)) == newer
    assert pulse.sign(later) == first
    clock.now = 1.0
    assert proven(parts, pulse.sign(later)) == later


async def test_what_is_older_than_a_second_is_not_kept(pulse: FeedPulse, clock: Clock) -> None:
    for head in range(100):
        clock.now += 0.1
        pulse.sign(replace(BEAT, head=head))
    assert len(pulse._beats) <= 11


async def test_a_clock_that_fell_back_does_not_take_the_heartbeat_with_it(
    parts: Parts, pulse: FeedPulse, clock: Clock
) -> None:
    """By a fail-over to a server whose clock is behind: who heard the newer one would go stale."""
    seen = replace(BEAT, time=BEAT.time + 60_000)
    pulse.see(seen)
    pulse.see(BEAT)
    times = []
    for _ in range(3):
        times.append(proven(parts, pulse.sign(BEAT)).time - seen.time)
        clock.now += 1
    assert times == [1, 2, 3]
    assert proven(parts, pulse.sign(replace(BEAT, head=4))).time == BEAT.time
    caught_up = replace(BEAT, time=seen.time + 5)
    assert proven(parts, pulse.sign(caught_up)).time == caught_up.time


async def test_without_a_key_nothing_is_signed(
    parts: Parts, pulse: FeedPulse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the answer given that the killed key signed a moment ago."""
    pulse.sign(BEAT)
    killed = replace(parts.keyring.key_set(FEED), turns={})
    monkeypatch.setitem(parts.keyring._sets, FEED, killed)
    with pytest.raises(KeyringError):
        pulse.sign(BEAT)


async def test_heartbeats_over_http_are_newer_than_the_one_in_redis(parts: Parts) -> None:
    """Though that one is an hour ahead of the database's clock."""
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    ahead = replace(heartbeat, time=heartbeat.time + 3_600_000)
    claims = heartbeat_claims(parts.settings.issuer, ahead)
    jws = sign(parts.keyring.key_set(FEED).signer, HEARTBEAT_TYP, claims)
    await parts.redis.set(f"{parts.root}:heartbeat", jws)
    await next_heartbeat(parts)
    reading = parts.keeper.reading()
    assert reading is not None
    ours = proven(parts, parts.keeper.pulse.sign(reading.heartbeat()))
    assert ours.order > ahead.order
    await parts.redis.delete(f"{parts.root}:heartbeat")
