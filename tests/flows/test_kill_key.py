"""Killing a signing key: out of the key set, in every heartbeat, and never back. JWKS-6, DIST-6."""

import json
from collections.abc import AsyncIterator

import pytest

from service.flows.kill_key import UnknownKey, kill_key
from service.flows.origin import OPERATOR
from service.flows.rotate_keys import keep_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.keys.sign import sign
from service.oauth.jws import parse_compact
from service.oauth.signing_key import FEED, TOKEN
from service.sql.signing_keys import list_signing_keys
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, open_parts, subjects


@pytest.fixture
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        await parts.keeper.tick()
        yield parts


def jwks(ring: Keyring, purpose: str = TOKEN) -> list[str]:
    return [key["kid"] for key in json.loads(ring.key_set(purpose).jwks)["keys"]]


async def states(parts: Parts, purpose: str = TOKEN) -> dict[str, str]:
    async with parts.database.connection() as connection:
        keys = await list_signing_keys(connection)
    return {key.state: key.kid for key in keys if key.purpose == purpose}


async def test_the_next_key_takes_the_place_of_a_killed_one_at_once(parts: Parts) -> None:
    before = await states(parts)
    old, new = before["active"], before["pending"]
    token = parse_compact(sign(parts.keyring.key_set(TOKEN).signer, "at+jwt", {}))
    assert token is not None
    killed = await kill_key(parts.database, old, OPERATOR)
    assert (killed.purpose, killed.lived, killed.successor) == (TOKEN, True, new)
    await parts.keeper.tick()
    assert parts.keyring.key_set(TOKEN).signer.kid == new
    assert old not in jwks(parts.keyring)
    assert not parts.keyring.verify(token, TOKEN)
    # The feed says it to whoever follows, and each heartbeat to whoever begins later.
    assert old in subjects(await parts.entries())
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    assert heartbeat.killed_kids == (old,)
    # And there is a next one again.
    after = await states(parts)
    assert after["active"] == new
    assert after["pending"] not in (old, new)


async def test_other_keys_die_without_a_change_of_signer(parts: Parts) -> None:
    before = await states(parts)
    killed = await kill_key(parts.database, before["pending"], OPERATOR)
    assert killed.successor == before["active"]
    await parts.keeper.tick()
    after = await states(parts)
    assert after["active"] == before["active"]
    assert after["pending"] != before["pending"]


async def test_a_key_of_the_feed_takes_its_epoch_with_it(parts: Parts) -> None:
    """The next one signs every living fact again: nobody needs an entry of the stolen key."""
    facts = await parts.revoke(3)
    await parts.keeper.tick()
    epoch, before = (await parts.head()).epoch, await states(parts, FEED)
    killed = await kill_key(parts.database, before["active"], OPERATOR)
    assert (killed.purpose, killed.successor) == (FEED, before["pending"])
    for _ in range(3):
        await parts.keeper.tick()
    assert (await parts.head()).epoch > epoch
    entries = await parts.entries()
    assert set(facts) | {before["active"]} <= set(subjects(entries))
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    assert heartbeat.killed_kids == (before["active"],)
    assert before["active"] not in jwks(parts.keyring, FEED)


async def test_nobody_dies_twice(parts: Parts) -> None:
    old = (await states(parts))["active"]
    await kill_key(parts.database, old, OPERATOR)
    again = await kill_key(parts.database, old, OPERATOR)
    assert not again.lived
    async with parts.database.connection() as connection:
        count = await connection.fetchval("SELECT count(*) FROM revocations WHERE kind = 'kid'")
        events = await connection.fetchval(
            "SELECT count(*) FROM audit_events WHERE event = 'key_killed'"
        )
    assert (count, events) == (1, 1)


async def test_a_key_that_nobody_knows_is_refused(parts: Parts) -> None:
    with pytest.raises(UnknownKey, match="watchword keys list"):
        await kill_key(parts.database, "x" * 43, OPERATOR)


async def test_a_dead_key_does_not_come_back_whatever_the_database_says(parts: Parts) -> None:
    """As a restored backup would: the pod has heard of its death, and that is for good."""
    old = (await states(parts))["active"]
    await kill_key(parts.database, old, OPERATOR)
    await parts.keeper.tick()
    async with parts.database.connection() as connection:
        await connection.execute(
            "UPDATE signing_keys SET state = 'retiring', retiring_at = clock_timestamp(),"
            " removed_at = NULL, killed_at = NULL WHERE kid = $1",
            old,
        )
    settings = parts.settings
    await keep_keys(parts.database, parts.keyring, settings.key_times)
    assert old not in jwks(parts.keyring)
    fresh = Keyring(
        KeyStore(issuer=settings.issuer, master_keys=read_master_keys(settings.keys_dir))
    )
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    fresh.drop(heartbeat.killed_kids)
    await keep_keys(parts.database, fresh, settings.key_times)
    assert old not in jwks(fresh)
