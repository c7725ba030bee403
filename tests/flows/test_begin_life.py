"""A new life of the database: what the feed has and the database lost is taken back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from service.app import open_database
from service.flows.begin_life import begin_life
from service.flows.keep_feed import FeedKeeper
from service.flows.manage_clients import create_client, revoke_client
from service.oauth.access_token import AccessToken
from service.sql.database_life import find_life
from service.sql.feed import lock_head
from service.sql.revocations import are_tokens_live
from tests.conftest import AUDIENCE, REGISTRATION, MakeSettings
from tests.faults.lost_writes import (
    begin_anew,
    die,
    execute,
    fetch,
    lose,
    make_session,
    new_keeper,
    remember,
    tick_until_beaten,
    wipe_redis,
    write_fact,
)
from tests.faults.parts import Parts, open_parts, subjects

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """A living database, its feed whole and beaten; nothing in the keeper's memory but that."""
    return await begin_anew(opened)


async def make_client(parts: Parts) -> str:
    registration = replace(REGISTRATION, id=f"test-{uuid4().hex[:12]}")
    await create_client(parts.database, registration, parts.settings.issuer)
    return registration.id


async def begin(parts: Parts) -> UUID:
    return await begin_life(parts.database, parts.feed, parts.keyring, parts.settings.issuer)


async def life(parts: Parts) -> UUID | None:
    async with parts.database.probe() as connection:
        return await find_life(connection)


async def stands(parts: Parts, subject: str, version: int = 0) -> bool:
    query = "SELECT EXISTS (SELECT FROM revocations WHERE subject = $1 AND version = $2)"
    return bool(await fetch(parts, query, subject, version))


async def test_a_living_database_keeps_its_life(parts: Parts) -> None:
    before = await life(parts)
    assert before is not None
    assert await begin(parts) == before


async def test_a_crash_begins_a_new_life_in_the_same_epoch(parts: Parts) -> None:
    before, head = await life(parts), await parts.head()
    await die(parts, promoted=False)
    assert await life(parts) is None
    after = await begin(parts)
    assert after != before
    assert await life(parts) == after
    assert await parts.head() == head


async def test_after_a_crash_an_empty_redis_is_no_obstacle(parts: Parts) -> None:
    head = await parts.head()
    await die(parts, promoted=False)
    await wipe_redis(parts)
    await begin(parts)
    assert await parts.head() == head
    await tick_until_beaten(parts)
    assert len(await parts.entries()) == 3


async def test_every_lost_fact_is_taken_back_with_what_it_stands_for(parts: Parts) -> None:
    client_id = await make_client(parts)
    ended, stale = await make_session(parts, client_id), await make_session(parts, client_id)
    await remember(parts)
    (jti,) = await parts.revoke()
    assert await revoke_client(parts.database, client_id, enabled=True) == 1
    await write_fact(parts, "sid", str(ended))
    await write_fact(parts, "stale", str(stale), 3)
    await parts.keeper.publish()
    await lose(parts)
    assert not await stands(parts, jti)
    await begin(parts)
    assert await stands(parts, jti)
    assert await stands(parts, client_id, 1)
    assert await fetch(parts, "SELECT epoch FROM clients WHERE id = $1", client_id) == 1
    assert await fetch(parts, "SELECT revoked_at FROM sessions WHERE id = $1", ended)
    version = "SELECT claims_version FROM sessions WHERE id = $1"
    assert await fetch(parts, version, stale) == 3
    assert await fetch(parts, "SELECT revoked_at FROM sessions WHERE id = $1", stale) is None


async def test_lost_numbers_begin_a_new_epoch_with_every_living_fact(parts: Parts) -> None:
    old = await parts.head()
    known = subjects(await parts.entries())
    await remember(parts)
    lost = await parts.revoke(300)
    await parts.keeper.publish()
    await lose(parts)
    await tick_until_beaten(parts)
    head = await parts.head()
    assert head.epoch > old.epoch
    assert sorted(subjects(await parts.entries())) == sorted(known + lost)
    ttl = await parts.redis.ttl(f"{parts.root}:{old.epoch}:entries")
    assert 20 * 60 < ttl <= 22 * 60
    assert await parts.redis.ttl(await parts.stream()) == -1
    (fresh,) = await parts.revoke()
    await parts.keeper.publish()
    assert subjects(await parts.entries(head)) == [fresh]


async def test_a_changed_primary_begins_a_new_epoch_though_nothing_was_lost(parts: Parts) -> None:
    # What the old one numbered last may still be on its way to Redis.
    old = await parts.head()
    await die(parts, promoted=True)
    await tick_until_beaten(parts)
    assert (await parts.head()).epoch > old.epoch
    assert len(subjects(await parts.entries())) == 3


async def test_a_fact_that_expired_is_not_taken_back_but_what_it_stands_for_is(
    parts: Parts,
) -> None:
    client_id = await make_client(parts)
    session_id = await make_session(parts, client_id)
    await remember(parts)
    await write_fact(parts, "sid", str(session_id))
    await execute(
        parts,
        "UPDATE revocations SET expires_at = clock_timestamp() - '1 second'::interval"
        " WHERE subject = $1",
        str(session_id),
    )
    await parts.keeper.publish()
    await lose(parts)
    await begin(parts)
    assert not await stands(parts, str(session_id))
    assert await fetch(parts, "SELECT revoked_at FROM sessions WHERE id = $1", session_id)


async def test_a_revocation_that_repeats_a_lost_one_gets_an_epoch_of_its_own(parts: Parts) -> None:
    client_id = await make_client(parts)
    await remember(parts)
    assert await revoke_client(parts.database, client_id, enabled=True) == 1
    await parts.keeper.publish()
    await lose(parts)
    # Tokens with `cep` 1 were made meanwhile, and this one has to void them too.
    assert await revoke_client(parts.database, client_id, enabled=True) == 1
    await begin(parts)
    assert await fetch(parts, "SELECT epoch FROM clients WHERE id = $1", client_id) == 2
    assert await stands(parts, client_id, 2)


async def test_a_revocation_whose_number_alone_was_lost_does_not_end_what_came_after(
    parts: Parts,
) -> None:
    client_id = await make_client(parts)
    await revoke_client(parts.database, client_id, enabled=True)
    await execute(
        parts,
        "UPDATE revocations SET created_at = created_at - '5 seconds'::interval WHERE subject = $1",
        client_id,
    )
    await remember(parts)
    await parts.keeper.publish()
    await lose(parts)
    await begin(parts)
    assert await fetch(parts, "SELECT epoch FROM clients WHERE id = $1", client_id) == 1


async def test_who_was_taken_back_is_told_for_the_sake_of_disabled_clients(parts: Parts) -> None:
    client_id = await make_client(parts)
    await remember(parts)
    await revoke_client(parts.database, client_id, enabled=False)
    await parts.keeper.publish()
    await lose(parts)
    with capture_logs() as logs:
        await begin(parts)
    (line,) = [line for line in logs if line["event"] == "database_life_began"]
    assert line["clients"] == [client_id]
    query = "SELECT detail FROM audit_events ORDER BY id DESC LIMIT 1"
    detail = await fetch(parts, query)
    assert detail == {"life": line["life"], "taken_back": 1, "clients": [client_id], "users": []}


async def test_of_pods_that_find_the_life_missing_at_once_one_begins_it(parts: Parts) -> None:
    await remember(parts)
    lost = await parts.revoke(50)
    await parts.keeper.publish()
    await lose(parts)
    async with AsyncExitStack() as stack:
        keepers: list[FeedKeeper] = []
        for _ in range(5):
            database = open_database(parts.settings)
            stack.push_async_callback(database.close)
            keepers.append(
                FeedKeeper(
                    database, parts.feed, parts.keyring, parts.settings.issuer, parts.metrics
                )
            )
        with capture_logs() as logs:
            async with asyncio.timeout(10):
                while not all(keeper.head() for keeper in keepers):
                    await asyncio.gather(*(keeper.tick() for keeper in keepers))
    assert [line["event"] for line in logs].count("database_life_began") == 1
    epochs = {head.epoch for keeper in keepers if (head := keeper.head())}
    assert epochs == {(await parts.head()).epoch}
    assert set(lost) <= set(subjects(await parts.entries()))


async def test_what_was_lost_is_never_mended_away(parts: Parts) -> None:
    """A pod with an old reading finds more in the stream than it knows of, and no way to ask."""
    await remember(parts)
    lost = await parts.revoke()
    await new_keeper(parts).publish()
    await lose(parts, promoted=False)
    async with parts.database.transaction() as connection:
        await lock_head(connection)
        for _ in range(3):
            await parts.redis.delete(f"{parts.root}:heartbeat")  # another one is due at once
            await parts.keeper.tick()
    assert not parts.keeper.loss_unknown
    assert await parts.redis.xlen(await parts.stream()) == 4
    await begin(parts)
    assert await stands(parts, lost[0])


async def test_a_restored_copy_of_the_life_is_none(parts: Parts) -> None:
    """A logical restore brings the row back, but not the table that it was written into."""
    await execute(parts, "UPDATE database_life SET table_oid = table_oid::bigint + 1")
    assert await life(parts) is None
    token = AccessToken(
        issuer=parts.settings.issuer,
        audience=AUDIENCE,
        subject="somebody",
        client_id="somebody",
        scope="",
        jti=str(uuid4()),
        issued_at=0,
        expires_at=0,
        client_epoch=0,
    )
    async with parts.database.probe() as connection:
        assert await are_tokens_live(connection, [token]) == [None]


async def test_a_dead_key_numbers_nothing(parts: Parts) -> None:
    head = await parts.head()
    kid = parts.keyring.key_set("feed").signer.kid
    await execute(
        parts,
        "UPDATE signing_keys SET state = 'removed', killed_at = clock_timestamp() WHERE kid = $1",
        kid,
    )
    await parts.revoke()
    assert await parts.keeper.publish() == 0
    assert await parts.head() == head


async def test_ten_thousand_facts_at_once_are_due_again_in_a_new_epoch(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.flows.begin_life._FACTS_AT_ONCE", 7)
    await parts.revoke(20)
    await parts.keeper.publish()
    known = subjects(await parts.entries())
    await die(parts, promoted=True)
    await begin(parts)
    due = await fetch(parts, "SELECT count(*) FROM revocations WHERE number IS NULL")
    assert due == len(known) == 23
