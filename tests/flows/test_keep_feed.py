"""The keeper: beats each second, copies what is missing, and is starved by nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from structlog.testing import capture_logs

from service.flows import keep_feed
from service.flows.begin_life import begin_epoch
from service.flows.publish_revocations import publish_revocations
from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, heartbeat_claims
from service.oauth.signing_key import FEED
from service.redis.connection import RedisUnavailable
from service.sql.connection import DatabaseUnavailable
from service.sql.feed import lock_head
from service.sql.signing_keys import read_clock
from tests.conftest import MakeSettings, until
from tests.faults.parts import (
    Parts,
    add_entries,
    beats_the_head,
    next_heartbeat,
    open_parts,
    subjects,
    tick_until,
)

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    await add_entries(opened, 3)
    return opened


async def test_a_heartbeat_names_head_floor_and_times(parts: Parts) -> None:
    await next_heartbeat(parts)
    heartbeat, head = await parts.heartbeat(), await parts.head()
    assert heartbeat is not None
    assert (heartbeat.epoch, heartbeat.head) == (head.epoch, head.number)
    assert 1 <= heartbeat.floor <= heartbeat.head
    assert 0 <= heartbeat.time - heartbeat.database_read_at < 1000
    assert heartbeat.killed_kids == ()
    await parts.entries()


async def test_a_fresh_heartbeat_of_another_pod_counts(parts: Parts) -> None:
    await next_heartbeat(parts)
    before = await parts.feed.heartbeat()
    for _ in range(5):
        await parts.keeper.tick()
    assert await parts.feed.heartbeat() == before


async def test_a_heartbeat_goes_on_when_the_database_clock_fell_back(parts: Parts) -> None:
    """By a fail-over to a server whose clock is behind: verifiers must not go stale for it."""
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    ahead = replace(heartbeat, time=heartbeat.time + 3_600_000)
    claims = heartbeat_claims(parts.settings.issuer, ahead)
    jws = sign(parts.keyring.key_set(FEED).signer, HEARTBEAT_TYP, claims)
    await parts.redis.set(f"{parts.root}:heartbeat", jws)
    await next_heartbeat(parts)
    await parts.redis.delete(f"{parts.root}:heartbeat")


async def test_a_flushed_redis_is_filled_again_with_the_same_bytes(parts: Parts) -> None:
    stream = await parts.stream()
    before = await parts.redis.xrange(stream)
    for key in await parts.redis.keys(f"{parts.root}:*"):
        await parts.redis.delete(key)
    await tick_until(parts, parts.heartbeat)
    assert await parts.redis.xrange(stream) == before
    (subject,) = subjects((await parts.entries())[-1:])
    assert await parts.redis.get(f"{parts.root}:jti:{subject}") == b"1"


async def test_what_expired_falls_below_the_floor_and_is_trimmed(
    make_settings: MakeSettings,
) -> None:
    async with open_parts(await make_settings()) as parts:
        await add_entries(parts, 3)
        async with parts.database.connection() as connection:
            for statement in (
                "UPDATE revocations SET expires_at = clock_timestamp()",
                "UPDATE feed_entries SET expires_at = clock_timestamp() WHERE number <> 2",
            ):
                await connection.execute(statement)
        await tick_until(parts, lambda: has_floor(parts, 2))
        assert await parts.redis.xlen(await parts.stream()) == 2
        async with parts.database.connection() as connection:
            await connection.execute("UPDATE feed_entries SET expires_at = clock_timestamp()")
        await tick_until(parts, lambda: has_floor(parts, 4))
        assert await parts.redis.xlen(await parts.stream()) == 0
        for key in await parts.redis.keys(f"{parts.root}:*"):
            await parts.redis.delete(key)
        await tick_until(parts, lambda: has_floor(parts, 4))
        head, ids = await parts.head(), await parts.revoke(2)
        await parts.keeper.publish()
        assert subjects(await parts.entries(head)) == ids
        await tick_until(parts, lambda: beats_the_head(parts))
        assert await has_floor(parts, 4)


async def has_floor(parts: Parts, floor: int) -> bool:
    heartbeat = await parts.heartbeat()
    return heartbeat is not None and heartbeat.floor == floor


async def test_what_was_cut_off_between_commit_and_copy_is_copied_by_the_next_tick(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await parts.head()

    async def fail(*_: object) -> None:
        raise RedisUnavailable("cut off")

    ids = await parts.revoke(3)
    with monkeypatch.context() as cut:
        cut.setattr(keep_feed, "copy_entries", fail)
        assert await parts.keeper.publish() == 1
    assert (await parts.head()).number == before.number + 1
    assert await parts.redis.xread({await parts.stream(): f"{before.number}-0"}) == []
    await tick_until(parts, lambda: beats_the_head(parts))
    assert subjects(await parts.entries(before)) == ids


async def test_everything_is_numbered_while_redis_is_away(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers do not wait for Redis: verifiers that ask over HTTP get them."""
    before = await parts.head()
    ids = await parts.revoke(5000)
    with monkeypatch.context() as away:
        away.setattr(parts.connection, "_closed_until", float("inf"))
        assert await parts.keeper.publish() == 20
        assert parts.keeper.redis_away
    assert (await parts.head()).number == before.number + 20
    await tick_until(parts, lambda: beats_the_head(parts))
    assert subjects(await parts.entries(before)) == ids
    assert not parts.keeper.redis_away


async def test_who_publishes_beside_another_publication_knows_what_that_numbered(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`wait` at /revoke asks for the newest head right after: it has to cover the revocation."""
    committed, gate, real = asyncio.Event(), asyncio.Event(), keep_feed.publish_revocations

    async def commit_and_stop(*arguments: Any) -> Any:
        published = await real(*arguments)
        committed.set()
        await gate.wait()
        return published

    monkeypatch.setattr(keep_feed, "publish_revocations", commit_and_stop)
    await parts.revoke()
    first = asyncio.create_task(parts.keeper.publish())
    await committed.wait()
    monkeypatch.setattr(keep_feed, "publish_revocations", real)
    second = asyncio.create_task(parts.keeper.publish())
    done, _ = await asyncio.wait([second], timeout=0.3)
    assert not done, "it returned before its own pod knew of the entry"
    gate.set()
    assert (await first, await second) == (1, 0)
    assert parts.keeper.newest() == await parts.head()


async def test_what_another_pod_has_numbered_is_covered_here(parts: Parts) -> None:
    """Else `wait` at /revoke would say that verifiers know what they have not heard of."""
    await parts.revoke()
    await publish_revocations(parts.database, parts.keyring, parts.settings.issuer)
    assert await parts.keeper.publish() == 0
    assert await parts.keeper.cover() == parts.keeper.newest() == await parts.head()


async def away(*_: object) -> None:
    raise DatabaseUnavailable


@pytest.mark.parametrize("lacking", ["life", "PostgreSQL"])
async def test_nothing_is_covered_that_could_not_be_numbered(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    await parts.keeper.tick()
    await parts.revoke()
    if lacking == "life":
        async with parts.database.connection() as connection:
            await connection.execute("DELETE FROM database_life")
    else:
        monkeypatch.setattr(keep_feed, "publish_revocations", away)
    assert await parts.keeper.cover() is None


async def test_steady_nudges_do_not_keep_the_heart_from_beating(parts: Parts) -> None:
    """Under a load of revocations every publication ends with the next one due."""
    publish = parts.keeper.publish

    async def publish_and_be_nudged() -> int:
        count = await publish()
        parts.keeper.nudge()
        return count

    before = await parts.heartbeat()
    assert before is not None
    parts.keeper.publish = publish_and_be_nudged
    try:
        async with running(parts):
            parts.keeper.nudge()
            await until(lambda: beaten_at(parts) > before.time / 1000)
    finally:
        parts.keeper.publish = publish


async def test_no_fault_ends_the_loop(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("a defect")

    def failed() -> set[str]:
        return {"feed_tick_failed", "feed_publish_failed"} & {line["event"] for line in logs}

    with monkeypatch.context() as defect, capture_logs() as logs:
        defect.setattr(keep_feed, "publish_revocations", fail)
        defect.setattr(keep_feed, "read_state", fail)
        async with running(parts):
            await until(lambda: parts.keeper.nudge() or len(failed()) == 2)


def beaten_at(parts: Parts) -> float:
    return parts.metrics.heartbeat_at._value.get()


@asynccontextmanager
async def running(parts: Parts) -> AsyncIterator[None]:
    """The keeper's loop, for a while."""
    task = asyncio.create_task(parts.keeper.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_a_new_epoch_lets_the_old_stream_go_by_itself(parts: Parts) -> None:
    """Whoever began it: recovery by the command line has no keeper."""
    old = await parts.stream()
    await parts.keeper.tick()
    async with parts.database.transaction() as connection:
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    await tick_until(parts, lambda: beats_the_head(parts))
    assert await parts.stream() > old
    assert 0 < await parts.redis.ttl(old) <= 22 * 60
    assert await parts.redis.ttl(await parts.stream()) == -1
    await parts.entries()


async def test_heartbeats_go_on_without_postgresql_and_say_since_when(
    make_settings: MakeSettings,
) -> None:
    settings = await make_settings()
    address, name = settings.database_url.reveal().rsplit("/", 1)
    admin = await asyncpg.connect(f"{address}/postgres")
    async with open_parts(settings) as parts:
        await tick_until(parts, parts.heartbeat)
        # What a pod sees is the same as when the server is gone.
        await cut_connections(admin, name)
        await rename(admin, name, f"{name}-away")
        await next_heartbeat(parts)
        heartbeat = await parts.heartbeat()
        assert parts.database.away
        assert heartbeat is not None
        assert heartbeat.time - heartbeat.database_read_at >= 2000
        await rename(admin, f"{name}-away", name)
        await tick_until(parts, lambda: reads_again(parts))
    await admin.close()


async def reads_again(parts: Parts) -> bool:
    """Whether the newest heartbeat is of a pod that reads PostgreSQL."""
    heartbeat = await parts.heartbeat()
    return heartbeat is not None and heartbeat.time - heartbeat.database_read_at < 500


async def cut_connections(admin: asyncpg.Connection, name: str) -> None:
    await admin.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1", name
    )


async def rename(admin: asyncpg.Connection, old: str, new: str) -> None:
    await admin.execute(f'ALTER DATABASE "{old}" RENAME TO "{new}"')
