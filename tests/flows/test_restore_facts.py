"""A killed key stays dead, whatever a restored database says, and another takes its place."""

from collections.abc import AsyncIterator

import pytest

from service.flows.begin_life import LossUnknown, begin_epoch, begin_life
from service.flows.load_keys import renew_keys
from service.oauth.signing_key import FEED, RS256, TOKEN
from service.sql.feed import lock_head
from service.sql.signing_keys import activate_pending_key, read_clock
from tests.conftest import MakeSettings
from tests.faults.lost_writes import (
    begin_anew,
    die,
    execute,
    fetch,
    lose,
    new_keeper,
    remember,
    tick_until,
    tick_until_beaten,
    write_fact,
)
from tests.faults.parts import Parts, open_parts

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """A living database, its feed whole and beaten."""
    return await begin_anew(opened)


async def begin(parts: Parts) -> None:
    await begin_life(parts.database, parts.feed, parts.keyring, parts.settings.issuer)


async def kids(parts: Parts, purpose: str) -> dict[str, str]:
    """The living key ids of a purpose by their state."""
    rows = await fetch(
        parts,
        "SELECT json_object_agg(state, kid)::text::jsonb FROM signing_keys"
        " WHERE purpose = $1 AND state <> 'removed'",
        purpose,
    )
    assert isinstance(rows, dict)
    return rows


async def kill(parts: Parts, *kids: str) -> None:
    """Kill keys as an operator does, and let the pending ones take their place."""
    for kid in kids:
        await execute(
            parts,
            "UPDATE signing_keys SET state = 'removed', removed_at = clock_timestamp(),"
            " killed_at = clock_timestamp() WHERE kid = $1",
            kid,
        )
        await write_fact(parts, "kid", kid)
    async with parts.database.connection() as connection:
        for purpose in (TOKEN, FEED):
            await activate_pending_key(connection, purpose, RS256)
    await renew_keys(parts.database, parts.keyring)


async def is_dead(parts: Parts, kid: str) -> bool:
    """Whether a key is dead, by its row and by a fact."""
    row = "SELECT state = 'removed' AND killed_at IS NOT NULL FROM signing_keys WHERE kid = $1"
    fact = "SELECT EXISTS (SELECT FROM revocations WHERE kind = 'kid' AND subject = $1)"
    answers = [bool(await fetch(parts, query, kid)) for query in (row, fact)]
    assert len(set(answers)) == 1
    return answers[0]


async def test_a_lost_death_is_taken_back_and_the_pending_key_is_active_at_once(
    parts: Parts,
) -> None:
    before = await kids(parts, TOKEN)
    await remember(parts)
    await kill(parts, before["active"])
    await parts.keeper.publish()
    await lose(parts)
    await begin(parts)
    assert await is_dead(parts, before["active"])
    assert (await kids(parts, TOKEN))["active"] == before["pending"]
    await parts.keeper.tick()
    assert parts.keyring.key_set(TOKEN).signer.kid == before["pending"]
    assert (await kids(parts, TOKEN)).keys() == {"active", "pending"}


async def test_a_death_alone_in_its_entry_is_taken_back_when_the_stream_was_trimmed(
    parts: Parts,
) -> None:
    """An entry with nothing but a `kid` fact is below the floor as soon as one follows it."""
    before = await kids(parts, TOKEN)
    await execute(parts, "UPDATE feed_entries SET expires_at = '-infinity'")
    await remember(parts)
    await kill(parts, before["active"])
    await parts.keeper.publish()
    await tick_until_beaten(parts)
    await parts.keeper.tick()
    await lose(parts)
    await begin(parts)
    assert await is_dead(parts, before["active"])


async def test_without_a_living_key_new_ones_are_made(parts: Parts) -> None:
    before = await kids(parts, TOKEN)
    await remember(parts)
    for kid in before.values():
        await write_fact(parts, "kid", kid)
    await parts.keeper.publish()
    await lose(parts)
    await tick_until_beaten(parts)
    after = await kids(parts, TOKEN)
    assert after.keys() == {"active", "pending"}
    assert not set(after.values()) & set(before.values())
    assert parts.keyring.key_set(TOKEN).signer.kid == after["active"]


async def test_a_key_that_a_heartbeat_lists_is_dead_though_the_loss_is_unknown(
    parts: Parts,
) -> None:
    before = await kids(parts, TOKEN)
    await remember(parts)
    await kill(parts, before["active"])
    await parts.keeper.publish()
    await tick_until_beaten(parts)
    await parts.redis.delete(await parts.stream())
    await lose(parts)
    with pytest.raises(LossUnknown):
        await begin(parts)
    assert await is_dead(parts, before["active"])
    keeper = new_keeper(parts)
    await keeper.tick()
    assert keeper.loss_unknown
    assert parts.keyring.key_set(TOKEN).signer.kid == before["pending"]


async def test_a_lost_death_of_the_feeds_key_is_taken_back_though_the_loss_is_unknown(
    parts: Parts,
) -> None:
    """Its successor signs in a new epoch, which the database lost as well."""
    before = await kids(parts, FEED)
    await remember(parts)
    await kill(parts, before["active"])
    async with parts.database.transaction() as connection:
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    await tick_until_beaten(parts)
    await lose(parts)
    with pytest.raises(LossUnknown):
        await begin(parts)
    assert await is_dead(parts, before["active"])


async def test_the_keys_of_a_mere_crash_are_as_they_were(parts: Parts) -> None:
    before = {purpose: await kids(parts, purpose) for purpose in (TOKEN, FEED)}
    await die(parts, promoted=False)
    await tick_until_beaten(parts)
    assert {purpose: await kids(parts, purpose) for purpose in (TOKEN, FEED)} == before


async def test_a_keeper_renews_the_keys_as_soon_as_one_is_killed(parts: Parts) -> None:
    before = await kids(parts, TOKEN)
    await execute(
        parts,
        "UPDATE signing_keys SET state = 'removed', killed_at = clock_timestamp() WHERE kid = $1",
        before["active"],
    )
    await execute(
        parts, "UPDATE signing_keys SET state = 'active' WHERE kid = $1", before["pending"]
    )
    await write_fact(parts, "kid", before["active"])

    async def renewed() -> bool:
        return parts.keyring.key_set(TOKEN).signer.kid == before["pending"]

    await tick_until(parts, renewed, seconds=2)
