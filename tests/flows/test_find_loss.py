"""Whether the feed can tell what was lost: where it can't, an operator decides."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import msgspec
import pytest

from service.app import open_redis
from service.environment import Secret
from service.flows.begin_life import LossUnknown, begin_life
from service.flows.find_loss import Loss, find_loss
from service.keys.sign import sign
from service.oauth.feed import (
    ENTRY_TYP,
    HEARTBEAT_TYP,
    Head,
    entry_claims,
    heartbeat_claims,
    milliseconds,
)
from service.oauth.signing_key import FEED
from service.oauth.uuid7 import next_epoch, unix_milliseconds, uuid7
from service.redis.feed import RedisFeed
from service.sql.connection import DatabaseUnavailable
from service.sql.database_life import find_life
from tests.conftest import MakeSettings
from tests.faults.lost_writes import (
    begin_anew,
    die,
    execute,
    fetch,
    lose,
    remember,
    tick_until,
    tick_until_beaten,
)
from tests.faults.parts import Parts, open_parts
from tests.faults.spoilt_feed import (
    STRANGER,
    a_fork,
    a_hole,
    a_strangers_entry,
    a_wrong_epoch,
    a_wrong_issuer,
    a_wrong_prev,
    garbage,
    no_heartbeat,
    no_last_entry,
    no_redis,
    no_stream,
    one_twice,
    rewrite,
    stream,
    two_swapped,
)

pytestmark = pytest.mark.anyio

Spoil = Callable[[Parts], Awaitable[None]]


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """A living database, its feed whole and beaten."""
    return await begin_anew(opened)


async def begin(parts: Parts, known: Head | None = None) -> UUID:
    """Begin a life as a pod does that knows of `known`."""
    return await begin_life(
        parts.database, parts.feed, parts.keyring, parts.settings.issuer, known=known
    )


async def lose_three(parts: Parts, *, promoted: bool = True) -> Head:
    """Lose three numbers, which the feed has; the head that the database is left with."""
    head = await remember(parts)
    for _ in range(3):
        await parts.revoke()
        await parts.keeper.publish()
    await tick_until_beaten(parts)
    await lose(parts, promoted=promoted)
    return head


async def refuses(parts: Parts, known: Head | None = None) -> bool:
    """Whether no life begins, and the database stays as it is."""
    head, facts = await parts.head(), await fetch(parts, "SELECT count(*) FROM revocations")
    with pytest.raises(LossUnknown):
        await begin(parts, known)
    async with parts.database.probe() as connection:
        assert await find_life(connection) is None
    assert await parts.head() == head
    assert await fetch(parts, "SELECT count(*) FROM revocations") == facts
    return True


SPOILS = [
    no_redis,
    no_heartbeat,
    no_stream,
    no_last_entry,
    a_hole,
    two_swapped,
    one_twice,
    a_wrong_prev,
    a_wrong_epoch,
    a_wrong_issuer,
    a_strangers_entry,
    garbage,
    a_fork,
]


@pytest.mark.parametrize("spoil", SPOILS)
async def test_a_spoilt_feed_gives_nothing_back(parts: Parts, spoil: Spoil) -> None:
    await lose_three(parts)
    await spoil(parts)
    assert await refuses(parts)


@pytest.mark.parametrize("spoil", [no_redis, no_heartbeat, no_stream, no_last_entry, a_hole])
async def test_a_spoilt_feed_is_no_obstacle_after_a_crash(parts: Parts, spoil: Spoil) -> None:
    head = await parts.head()
    await die(parts, promoted=False)
    await spoil(parts)
    await begin(parts)
    assert await parts.head() == head


async def test_a_strangers_entries_beyond_the_head_are_no_obstacle_after_a_crash(
    parts: Parts,
) -> None:
    head = await parts.head()
    claims = entry_claims(parts.settings.issuer, head, [])
    forged = sign(STRANGER, ENTRY_TYP, claims | {"facts": [{"jti": "x", "exp": 4_000_000_000}]})
    await rewrite(parts, [*await stream(parts), (f"{head.number + 1}-0", forged)])
    await die(parts, promoted=False)
    await begin(parts)
    assert await parts.head() == head

    async def is_mended() -> bool:
        return len(await stream(parts)) == head.number

    await tick_until(parts, is_mended)
    assert len(await parts.entries()) == head.number


async def test_while_redis_is_away_nothing_is_known(parts: Parts) -> None:
    await lose_three(parts)
    elsewhere = msgspec.structs.replace(parts.settings, redis_url=Secret("redis://127.0.0.1:1"))
    redis = open_redis(elsewhere)
    try:
        away = replace(parts, feed=RedisFeed(redis, parts.settings.redis_prefix))
        assert await refuses(away)
    finally:
        await redis.close()
    await begin(parts)
    assert await fetch(parts, "SELECT count(*) FROM revocations") == 6


async def test_a_restored_snapshot_is_told_from_a_crash_by_a_heartbeat(parts: Parts) -> None:
    """The same timeline; but numbers are missing that a heartbeat names."""
    await lose_three(parts, promoted=False)
    await no_stream(parts)
    assert await refuses(parts)


async def test_a_restored_snapshot_is_told_from_a_crash_by_the_stream(parts: Parts) -> None:
    await lose_three(parts, promoted=False)
    await no_heartbeat(parts)
    assert await refuses(parts)


async def test_a_restored_snapshot_is_told_from_a_crash_by_what_a_pod_knows(parts: Parts) -> None:
    await lose_three(parts, promoted=False)
    known = parts.keeper.head()
    await no_redis(parts)
    assert await refuses(parts, known)


async def test_what_a_restored_snapshot_lost_is_taken_back(parts: Parts) -> None:
    await lose_three(parts, promoted=False)
    await begin(parts)
    assert await fetch(parts, "SELECT count(*) FROM revocations") == 6


async def test_a_feed_that_ends_before_what_a_pod_knows_tells_nothing(parts: Parts) -> None:
    """Redis was away, and the last entries were never copied."""
    head = await parts.head()
    await die(parts, promoted=True)
    assert await refuses(parts, replace(head, number=head.number + 1))
    await begin(parts, head)


async def beat(parts: Parts, epoch: str | None = None, **members: object) -> None:
    """Sign and write a heartbeat over the head, with other members."""
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    claims = heartbeat_claims(parts.settings.issuer, heartbeat) | members
    claims["epoch"] = epoch or claims["epoch"]
    jws = sign(parts.keyring.key_set(FEED).signer, HEARTBEAT_TYP, claims)
    await parts.redis.set(f"{parts.root}:heartbeat", jws)


@pytest.mark.parametrize(("seconds", "tells"), [(8, True), (12, False)])
async def test_a_feed_that_was_not_fed_of_late_tells_nothing(
    parts: Parts, seconds: int, tells: bool
) -> None:
    """Its heartbeat is behind the database, and older than its newest number: Redis was away."""
    head = await parts.head()
    newest = await fetch(parts, "SELECT max(created_at) FROM revocations")
    assert isinstance(newest, datetime)
    read_at = milliseconds(newest) - seconds * 1000
    await beat(parts, head=head.number - 1, database_read_at=read_at)
    await die(parts, promoted=True)
    if tells:
        await begin(parts)
    else:
        assert await refuses(parts)


@pytest.mark.parametrize(("seconds", "tells"), [(8, True), (12, False)])
async def test_a_feed_that_never_heard_of_the_epoch_tells_nothing(
    parts: Parts, seconds: int, tells: bool
) -> None:
    head = await parts.head()
    began = unix_milliseconds(UUID(head.epoch))
    before = uuid7(began - 1000, bytes(10))
    await beat(parts, str(before), database_read_at=began - seconds * 1000)
    await execute(parts, "UPDATE revocations SET created_at = created_at - '1 h'::interval")
    await die(parts, promoted=True)
    if tells:
        await begin(parts)
    else:
        assert await refuses(parts)


async def test_a_heartbeat_of_a_later_epoch_tells_that_the_database_lost_one(parts: Parts) -> None:
    head = await parts.head()
    later = next_epoch(UUID(head.epoch), 0, bytes(10))
    await beat(parts, str(later), head=0, floor=1)
    await die(parts, promoted=False)
    assert await refuses(parts)


async def test_a_crash_that_loses_nothing_needs_no_redis_though_a_pod_knows_the_head(
    parts: Parts,
) -> None:
    await die(parts, promoted=False)
    await no_redis(parts)
    await begin(parts, await parts.head())


async def test_a_life_that_another_pod_began_meanwhile_is_the_life(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    await lose_three(parts)
    others: list[UUID] = []

    async def slow(*args: object) -> Loss:
        loss = await find_loss(*args)
        if not others:
            others.append(UUID(int=0))
            others[0] = await begin(parts)
        return loss

    monkeypatch.setattr("service.flows.begin_life.find_loss", slow)
    assert await begin(parts) == others[0]
    query = "SELECT count(*) FROM audit_events WHERE detail ->> 'life' = $1"
    assert await fetch(parts, query, str(others[0])) == 1


async def test_what_the_feed_said_of_another_primary_is_not_used(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While Redis was asked after a crash, a standby took over."""
    await die(parts, promoted=False)

    async def slow(*args: object) -> Loss:
        loss = await find_loss(*args)
        await die(parts, promoted=True)
        return loss

    with monkeypatch.context() as patch:
        patch.setattr("service.flows.begin_life.find_loss", slow)
        with pytest.raises(DatabaseUnavailable):
            await begin(parts)
    assert await fetch(parts, "SELECT count(*) FROM database_life") == 0
    await begin(parts)
