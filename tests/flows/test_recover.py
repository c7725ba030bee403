"""Recovery by an operator: new keys, a new epoch, and pods that go on by themselves."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

import msgspec
import pytest

from service.app import open_redis
from service.environment import Secret
from service.flows import recover as recover_flow
from service.flows.beat_feed import Reading, beat_feed
from service.flows.feed_reader import prove_heartbeat
from service.flows.load_keys import load_keys
from service.flows.manage_clients import create_client
from service.flows.recover import NothingToRecover, recover
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, heartbeat_claims
from service.oauth.signing_key import FEED, TOKEN
from service.oauth.uuid7 import uuid7
from service.redis.feed import RedisFeed
from service.sql.connection import DatabaseUnavailable
from service.sql.feed import read_state
from tests.conftest import REGISTRATION, MakeSettings
from tests.faults.lost_writes import (
    begin_anew,
    die,
    execute,
    fetch,
    lose,
    make_session,
    remember,
    tick_until,
    tick_until_beaten,
    wipe_redis,
)
from tests.faults.parts import Parts, open_parts, subjects

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """A living database, its feed whole and beaten."""
    return await begin_anew(opened)


@pytest.fixture
async def lost(parts: Parts) -> Parts:
    """The same, after a fail-over that lost Redis too, and a tick that found out."""
    await die(parts, promoted=True)
    await wipe_redis(parts)
    await parts.keeper.tick()
    assert parts.keeper.loss_unknown
    return parts


async def test_a_loss_in_the_middle_of_a_tick_is_not_beaten_over(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tick that publishes reads again; by that reading, too, no heart beats over the unknown."""
    await parts.revoke()
    publish = parts.keeper.publish

    async def publish_and_lose() -> int:
        count = await publish()
        await die(parts, promoted=True)
        await parts.redis.delete(f"{parts.root}:heartbeat")
        return count

    monkeypatch.setattr(parts.keeper, "publish", publish_and_lose)
    await parts.keeper.tick()
    assert parts.keeper.loss_unknown
    assert await parts.heartbeat() is None


async def run(
    parts: Parts, *, end_sessions: bool = False, anyway: bool = False
) -> tuple[list[str], int]:
    return await recover(
        parts.database,
        parts.feed,
        KeyStore(
            issuer=parts.settings.issuer,
            master_keys=read_master_keys(parts.settings.keys_dir),
        ),
        end_sessions=end_sessions,
        anyway=anyway,
    )


async def living_kids(parts: Parts) -> set[str]:
    kids = await fetch(parts, "SELECT array_agg(kid) FROM signing_keys WHERE state <> 'removed'")
    assert isinstance(kids, list)
    return set(kids)


async def make_sessions(parts: Parts, count: int) -> list[UUID]:
    registration = replace(REGISTRATION, id=f"test-{uuid4().hex[:12]}")
    await create_client(parts.database, registration, parts.settings.issuer)
    return [await make_session(parts, registration.id) for _ in range(count)]


async def test_a_living_database_has_nothing_to_recover(parts: Parts) -> None:
    kids = await living_kids(parts)
    with pytest.raises(NothingToRecover):
        await run(parts)
    assert await living_kids(parts) == kids


async def test_a_database_that_never_lived_has_nothing_to_recover(
    parts: Parts, make_settings: MakeSettings
) -> None:
    settings = await make_settings()
    async with open_parts(settings) as fresh:
        await execute(fresh, "DELETE FROM feed")
        with pytest.raises(NothingToRecover):
            await run(fresh)


async def test_what_the_feed_can_give_back_needs_no_recovery(parts: Parts) -> None:
    kids = await living_kids(parts)
    await remember(parts)
    (jti,) = await parts.revoke()
    await tick_until_beaten(parts)
    await lose(parts)
    with pytest.raises(NothingToRecover):
        await run(parts)
    assert await living_kids(parts) == kids
    assert await fetch(parts, "SELECT subject FROM revocations WHERE subject = $1", jti) == jti


async def test_every_key_is_killed_and_replaced_in_a_new_epoch_once(lost: Parts) -> None:
    old, kids = await lost.head(), await living_kids(lost)
    killed, ended = await run(lost)
    assert set(killed) == kids
    assert ended == 0
    fresh, head = await living_kids(lost), await lost.head()
    assert len(fresh) == 4
    assert not fresh & kids
    assert head.epoch > old.epoch
    with pytest.raises(NothingToRecover):
        await run(lost)
    assert await living_kids(lost) == fresh
    assert await lost.head() == head


async def test_a_running_pod_goes_on_with_the_new_keys_at_its_next_tick(lost: Parts) -> None:
    known = lost.keyring.key_set(TOKEN).signer.kid
    facts = await fetch(lost, "SELECT array_agg(subject) FROM revocations")
    killed, _ = await run(lost)
    await lost.keeper.tick()
    assert not lost.keeper.loss_unknown
    assert known in killed
    assert {lost.keyring.key_set(p).signer.kid for p in (TOKEN, FEED)} <= await living_kids(lost)
    await tick_until_beaten(lost)
    heartbeat = await lost.heartbeat()
    assert heartbeat is not None
    assert set(killed) <= set(heartbeat.killed_kids)
    assert isinstance(facts, list)
    assert sorted(subjects(await lost.entries())) == sorted(facts + killed)


async def test_sessions_are_kept_or_ended_as_the_operator_says(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recover_flow, "_SESSIONS_AT_ONCE", 2)
    sessions = await make_sessions(parts, 5)
    living = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND id = ANY($1)"
    await die(parts, promoted=True)
    await wipe_redis(parts)
    await run(parts)
    assert await fetch(parts, living, sessions) == 5
    await die(parts, promoted=True)
    await wipe_redis(parts)
    _, ended = await run(parts, end_sessions=True)
    assert ended >= 5
    assert await fetch(parts, living, sessions) == 0
    facts = "SELECT count(*) FROM revocations WHERE kind = 'sid' AND subject = ANY($1)"
    assert await fetch(parts, facts, [str(id_) for id_ in sessions]) == 5


async def test_an_operator_who_knows_better_recovers_anyway(parts: Parts) -> None:
    kids, old = await living_kids(parts), await parts.head()
    (session_id,) = await make_sessions(parts, 1)
    killed, ended = await run(parts, end_sessions=True, anyway=True)
    assert set(killed) == kids
    assert ended >= 1
    assert await fetch(parts, "SELECT revoked_at FROM sessions WHERE id = $1", session_id)
    await tick_until_beaten(parts)
    assert (await parts.head()).epoch > old.epoch


async def test_of_two_recoveries_at_once_one_recovers(lost: Parts) -> None:
    outcomes = await asyncio.gather(run(lost), run(lost), return_exceptions=True)
    won = [outcome for outcome in outcomes if isinstance(outcome, tuple)]
    assert len(won) == 1
    assert all(isinstance(o, tuple | NothingToRecover | DatabaseUnavailable) for o in outcomes)
    assert len(await living_kids(lost)) == 4


async def test_recovery_needs_no_redis(lost: Parts) -> None:
    elsewhere = msgspec.structs.replace(lost.settings, redis_url=Secret("redis://127.0.0.1:1"))
    redis = open_redis(elsewhere)
    try:
        killed, _ = await run(replace(lost, feed=RedisFeed(redis, "ww")))
    finally:
        await redis.close()
    assert len(killed) == 4


async def test_keys_that_do_not_unwrap_are_recovered_from(lost: Parts) -> None:
    await execute(lost, "UPDATE signing_keys SET wrapped_private_key = 'x'")
    killed, _ = await run(lost)
    assert len(killed) == 4
    await load_keys(lost.database, lost.keyring)


async def test_the_new_epoch_is_later_than_the_one_that_was_lost(parts: Parts) -> None:
    """Though the clock of the recovered database is behind."""
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    far = str(uuid7(2**47, bytes(10)))
    claims = heartbeat_claims(parts.settings.issuer, replace(heartbeat, epoch=far))
    await parts.redis.set(
        f"{parts.root}:heartbeat",
        sign(parts.keyring.key_set(FEED).signer, HEARTBEAT_TYP, claims),
    )
    await die(parts, promoted=True)
    await run(parts)
    assert (await parts.head()).epoch > far


async def cut_off(parts: Parts) -> Callable[[], Awaitable[str]]:
    """A pod that hears of nothing from here on but Redis; to be called: it beats."""
    keyring = Keyring(KeyStore(issuer=parts.settings.issuer, master_keys=parts.keyring.master_keys))
    await load_keys(parts.database, keyring)
    async with parts.database.connection() as connection:
        state = await read_state(connection)
    assert state is not None

    async def beat() -> str:
        reading = Reading(state=state, floor=state.floor, age_ms=60_000, database_away=True)
        _, outcome = await beat_feed(reading, parts.feed, keyring, parts.settings.issuer)
        return outcome.outcome if outcome else "not due"

    return beat


@pytest.mark.parametrize("recovered", [True, False])
async def test_a_pod_of_an_old_life_overwrites_no_newer_heartbeat(
    parts: Parts, recovered: bool
) -> None:
    beat = await cut_off(parts)
    assert await beat() == "beaten"
    await remember(parts)
    await parts.revoke()
    await tick_until_beaten(parts)
    if recovered:
        await parts.redis.delete(f"{parts.root}:heartbeat")
    await lose(parts)
    if recovered:
        await run(parts)
    await tick_until_beaten(parts)
    before = await parts.feed.heartbeat()
    assert await beat() == ("overtaken" if recovered else "not due")
    assert await parts.feed.heartbeat() == before


async def test_a_heartbeat_of_a_killed_key_is_replaced_by_a_pod_that_knows(parts: Parts) -> None:
    beat = await cut_off(parts)
    await beat()
    old = await parts.feed.heartbeat()
    await die(parts, promoted=True)
    await parts.redis.delete(f"{parts.root}:heartbeat")
    await run(parts)
    await parts.redis.set(f"{parts.root}:heartbeat", old)
    await tick_until_beaten(parts)

    async def replaced() -> bool:
        standing = await parts.feed.heartbeat()
        return prove_heartbeat(standing, parts.keyring, parts.settings.issuer) is not None

    await tick_until(parts, replaced)
