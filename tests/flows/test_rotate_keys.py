"""Rotation: planned by whichever pod comes first, at moments that all keep. JWKS-4, JWKS-7."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest

from service.flows.rotate_keys import NoNextKey, keep_keys, rotate_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.keys.sign import sign
from service.oauth.jws import parse_compact
from service.oauth.signing_key import FEED, TOKEN, SigningKey
from service.sql.signing_keys import list_signing_keys
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, open_parts

HOUR = timedelta(hours=1)


@pytest.fixture
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts


async def keep(parts: Parts, ring: Keyring | None = None) -> None:
    settings = parts.settings
    await keep_keys(parts.database, ring or parts.keyring, settings.key_times)


async def execute(parts: Parts, statement: str, *values: object) -> None:
    async with parts.database.connection() as connection:
        await connection.execute(statement, *values)  # pyright: ignore[reportArgumentType]


async def age(parts: Parts, hours: int) -> None:
    """Let as many hours pass for the keys."""
    await execute(
        parts,
        """
        UPDATE signing_keys
        SET created_at = created_at - $1::interval, activates_at = activates_at - $1::interval,
            retiring_at = retiring_at - $1::interval
        """,
        timedelta(hours=hours),
    )


async def keys_of(parts: Parts, purpose: str = TOKEN) -> dict[str, SigningKey]:
    """By state."""
    async with parts.database.connection() as connection:
        keys = await list_signing_keys(connection)
    return {key.state: key for key in keys if key.purpose == purpose}


def jwks(ring: Keyring, purpose: str = TOKEN) -> list[str]:
    return [key["kid"] for key in json.loads(ring.key_set(purpose).jwks)["keys"]]


async def audit(parts: Parts) -> Counter[str]:
    async with parts.database.connection() as connection:
        rows = await connection.fetch("SELECT event FROM audit_events WHERE event LIKE 'key_%'")
    return Counter(row["event"] for row in rows)


async def test_the_plan_is_a_rotation_of_thirty_days(parts: Parts) -> None:
    await keep(parts)
    keys = await keys_of(parts)
    assert keys["pending"].activates_at - keys["active"].activates_at == timedelta(days=30)


async def test_a_whole_rotation_leaves_no_gap(parts: Parts) -> None:
    """Published, signing, published still, gone: and the next one is there all the time."""
    await keep(parts)
    first = await keys_of(parts)
    old, new = first["active"].kid, first["pending"].kid
    token = parse_compact(sign(parts.keyring.key_set(TOKEN).signer, "at+jwt", {}))
    assert token is not None
    await age(parts, 30 * 24)
    await keep(parts)
    second = await keys_of(parts)
    assert (second["retiring"].kid, second["active"].kid) == (old, new)
    assert parts.keyring.key_set(TOKEN).signer.kid == new
    assert jwks(parts.keyring) == [old, new, second["pending"].kid]
    assert parts.keyring.verify(token, TOKEN)
    await age(parts, 1)
    await keep(parts)
    assert jwks(parts.keyring) == [new, second["pending"].kid]
    assert not parts.keyring.verify(token, TOKEN)
    assert (await audit(parts))["key_activated"] == 2  # tokens and feed
    assert (await audit(parts))["key_removed"] == 2


async def test_five_pods_at_once_rotate_once(parts: Parts) -> None:
    await keep(parts)
    await age(parts, 30 * 24)
    master_keys = read_master_keys(parts.settings.keys_dir)
    rings = [
        Keyring(KeyStore(issuer=parts.settings.issuer, master_keys=master_keys)) for _ in range(5)
    ]
    await asyncio.gather(*(keep(parts, ring) for ring in rings))
    for ring in rings:
        await keep(parts, ring)
    assert (await audit(parts))["key_activated"] == 2
    assert len({ring.key_set(TOKEN).jwks for ring in rings}) == 1
    assert len({ring.key_set(TOKEN).signer.kid for ring in rings}) == 1


async def test_all_pods_switch_at_the_moment_in_the_row(parts: Parts) -> None:
    """Whoever has read it needs no database then, and no clock of its own."""
    await keep(parts)
    pending = (await keys_of(parts))["pending"].kid
    await execute(
        parts,
        """
        UPDATE signing_keys SET activates_at = clock_timestamp() + interval '1 second'
        WHERE kid = $1
        """,
        pending,
    )
    master_keys = read_master_keys(parts.settings.keys_dir)
    rings = [
        Keyring(KeyStore(issuer=parts.settings.issuer, master_keys=master_keys)) for _ in range(3)
    ]
    for ring in rings:
        async with parts.database.connection() as connection:
            keys = await list_signing_keys(connection)
            asked = time.monotonic()
            now = await connection.fetchval("SELECT clock_timestamp()")
        ring.load(keys, monotonic=asked, now=now)
    assert pending not in {ring.key_set(TOKEN).signer.kid for ring in rings}
    switched: dict[int, float] = {}
    while len(switched) < len(rings):
        for place, ring in enumerate(rings):
            if ring.key_set(TOKEN).signer.kid == pending:
                switched.setdefault(place, time.monotonic())
        await asyncio.sleep(0)
    assert max(switched.values()) - min(switched.values()) < 0.1


async def test_rotation_on_command_waits_for_the_day_and_says_why(parts: Parts) -> None:
    await keep(parts)
    before = await keys_of(parts)
    rotation = await rotate_keys(parts.database, parts.settings.key_times)
    assert (rotation.kid, rotation.replaced) == (before["pending"].kid, before["active"].kid)
    published = before["pending"].published_at
    assert published is not None
    assert rotation.readiness.at == published + 24 * HOUR
    assert rotation.readiness.reasons == (
        "no verifier reports, so nobody knows who has fetched it",
    )
    await keep(parts)
    assert (await keys_of(parts))["pending"].activates_at == rotation.readiness.at
    await age(parts, 25)
    await keep(parts)
    assert (await keys_of(parts))["active"].kid == rotation.kid


async def test_receipts_shorten_the_wait_to_an_hour(parts: Parts) -> None:
    await keep(parts)
    pending = (await keys_of(parts))["pending"].kid
    await report(parts, "billing-7f")
    lacking = await rotate_keys(parts.database, parts.settings.key_times)
    assert lacking.lacking == ("billing-7f",)
    assert lacking.readiness.reasons == ("billing-7f has not fetched it",)
    await age(parts, 2)
    await keep(parts)
    assert (await keys_of(parts))["pending"].kid == pending
    await report(parts, "billing-7f", pending)
    await keep(parts)
    moved = (await keys_of(parts))["pending"]
    async with parts.database.connection() as connection:
        now = await connection.fetchval("SELECT clock_timestamp()")
    assert timedelta(seconds=0) < moved.activates_at - now <= timedelta(seconds=5)


async def test_at_once_is_at_once(parts: Parts) -> None:
    await keep(parts)
    await report(parts, "orders-1")
    before = await keys_of(parts)
    rotation = await rotate_keys(parts.database, parts.settings.key_times, now=True)
    assert rotation.lacking == ("orders-1",)
    await keep(parts)
    after = await keys_of(parts)
    assert after["active"].kid == before["pending"].kid == rotation.kid
    assert after["retiring"].kid == before["active"].kid
    assert parts.keyring.key_set(TOKEN).signer.kid == rotation.kid
    assert after["pending"].kid not in {key.kid for key in before.values()}


async def test_the_feeds_keys_rotate_by_themselves_too(parts: Parts) -> None:
    await keep(parts)
    before = await keys_of(parts, FEED)
    await parts.revoke()
    await parts.keeper.tick()
    epoch = (await parts.head()).epoch
    await rotate_keys(parts.database, parts.settings.key_times, purpose=FEED, now=True)
    await keep(parts)
    await parts.revoke()
    await parts.keeper.tick()
    assert (await keys_of(parts, FEED))["active"].kid == before["pending"].kid
    # The history goes on: entries of both keys in one chain.
    assert (await parts.head()).epoch == epoch
    assert len(await parts.entries()) == 2


async def test_without_a_next_key_nothing_is_rotated(parts: Parts) -> None:
    await keep(parts)
    await execute(parts, "DELETE FROM signing_keys WHERE state = 'pending'")
    with pytest.raises(NoNextKey, match="within 15 seconds"):
        await rotate_keys(parts.database, parts.settings.key_times, now=True)


async def report(parts: Parts, name: str, *kids: str) -> None:
    """The receipt of a verifier."""
    await execute(
        parts,
        """
        INSERT INTO feed_receipts (client_id, name, epoch, number, kids)
        VALUES ($1, $1, $2, 0, $3)
        ON CONFLICT (client_id, name) DO UPDATE SET kids = $3, reported_at = clock_timestamp()
        """,
        name,
        UUID(int=1),
        list(kids),
    )
