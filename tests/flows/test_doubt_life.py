"""A life is doubted where the feed is ahead of it, and nobody else keeps the feed."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, heartbeat_claims
from service.oauth.signing_key import FEED
from tests.conftest import MakeSettings
from tests.faults.lost_writes import (
    begin_anew,
    fetch,
    lose_alive,
    new_keeper,
    remember,
    tick_until,
    tick_until_beaten,
)
from tests.faults.parts import Parts, open_parts

pytestmark = pytest.mark.anyio

LIFE = "SELECT id FROM database_life"
STANDS = "SELECT id FROM revocations WHERE subject = $1"


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """A living database, its feed whole and beaten."""
    return await begin_anew(opened)


async def test_a_database_behind_the_feed_does_not_live(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cluster that was stopped, copied and put back keeps its life."""
    monkeypatch.setattr("service.flows.doubt_life._STILL_SECONDS", 1000)
    before = await fetch(parts, LIFE)
    await remember(parts)
    (lost,) = await parts.revoke()
    await tick_until_beaten(parts)
    await lose_alive(parts)
    assert await fetch(parts, LIFE) == before
    for _ in range(3):  # not at first sight: the state was read before the heartbeat
        await parts.keeper.tick()
    assert await fetch(parts, LIFE) == before
    monkeypatch.setattr("service.flows.doubt_life._STILL_SECONDS", 0.2)
    started = replace(parts, keeper=new_keeper(parts))

    async def is_taken_back() -> bool:
        return await fetch(parts, STANDS, lost) is not None

    await tick_until(started, is_taken_back)
    assert await fetch(parts, LIFE) not in {None, before}
    await tick_until_beaten(started)
    assert len(await parts.entries()) > 0


async def test_a_database_behind_a_heart_that_beats_is_another_ones(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old primary, still alive: what it lacks belongs to the new one."""
    monkeypatch.setattr("service.flows.doubt_life._STILL_SECONDS", 0.2)
    before, heartbeat = await fetch(parts, LIFE), await parts.heartbeat()
    assert heartbeat is not None
    signer = parts.keyring.key_set(FEED).signer
    for number in range(20):
        claims = heartbeat_claims(
            parts.settings.issuer,
            replace(heartbeat, head=heartbeat.head + 1, time=heartbeat.time + number),
        )
        await parts.redis.set(f"{parts.root}:heartbeat", sign(signer, HEARTBEAT_TYP, claims))
        await parts.keeper.tick()
        await asyncio.sleep(0.02)
    assert await fetch(parts, LIFE) == before
