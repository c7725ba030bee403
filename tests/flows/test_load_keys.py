"""Signing keys at start-up: any number of pods make one pair of each. JWKS-4, JWKS-5."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from service.app import open_database
from service.flows.load_keys import create_missing_keys, load_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys, read_master_keys
from service.oauth.signing_key import FEED, TOKEN, SigningKey
from service.settings import Settings
from service.sql.connection import Database
from service.sql.signing_keys import list_signing_keys
from tests.conftest import MakeSettings

ONE_OF_EACH = {(purpose, state): 1 for purpose in (TOKEN, FEED) for state in ("active", "pending")}


@pytest.fixture
async def empty(make_settings: MakeSettings) -> Settings:
    """Settings over a database that has no keys as yet."""
    return await make_settings()


@pytest.fixture
async def database(empty: Settings) -> AsyncIterator[Database]:
    opened = open_database(empty)
    yield opened
    await opened.close()


@pytest.fixture
def master_keys(empty: Settings) -> MasterKeys:
    return read_master_keys(empty.keys_dir)


async def keys_in(database: Database) -> list[SigningKey]:
    async with database.connection() as connection:
        return await list_signing_keys(connection)


def count(keys: list[SigningKey]) -> Counter[tuple[str, str]]:
    return Counter((key.purpose, key.state) for key in keys)


async def test_five_pods_at_once_make_one_pair_of_each(
    empty: Settings, database: Database, master_keys: MasterKeys
) -> None:
    """JWKS-5: each finds the database empty, each makes four keys, four remain; nobody fails."""
    pods = [open_database(empty) for _ in range(5)]
    await asyncio.gather(
        *(
            create_missing_keys(pod, KeyStore(issuer=empty.issuer, master_keys=master_keys))
            for pod in pods
        )
    )
    keys = await keys_in(database)
    assert count(keys) == ONE_OF_EACH
    rings = [Keyring(KeyStore(issuer=empty.issuer, master_keys=master_keys)) for _ in pods]
    for pod, ring in zip(pods, rings, strict=True):
        await load_keys(pod, ring)
        await pod.close()
    assert len({ring.key_set(TOKEN).signer.kid for ring in rings}) == 1
    assert len({ring.key_set(purpose).jwks for ring in rings for purpose in (TOKEN, FEED)}) == 2
    assert all(ring.faults == [] for ring in rings)


async def test_first_key_signs_at_once_and_the_next_a_day_later(
    empty: Settings, database: Database, master_keys: MasterKeys
) -> None:
    """JWKS-4: the very first is active at once; a pending key waits 24 hours by default."""
    await create_missing_keys(database, KeyStore(issuer=empty.issuer, master_keys=master_keys))
    keys = {(key.purpose, key.state): key for key in await keys_in(database)}
    now = datetime.now(UTC)
    for purpose in (TOKEN, FEED):
        active, pending = keys[purpose, "active"], keys[purpose, "pending"]
        assert timedelta() <= now - active.activates_at < timedelta(seconds=30)
        assert pending.activates_at - active.activates_at == timedelta(hours=24)
        assert active.alg == pending.alg == "RS256"


async def test_keys_that_exist_are_kept_and_a_missing_one_is_made(
    empty: Settings, database: Database, master_keys: MasterKeys
) -> None:
    """JWKS-5: there is always a next one."""
    await create_missing_keys(database, KeyStore(issuer=empty.issuer, master_keys=master_keys))
    before = {key.kid: (key.purpose, key.state) for key in await keys_in(database)}
    await create_missing_keys(database, KeyStore(issuer=empty.issuer, master_keys=master_keys))
    assert {key.kid for key in await keys_in(database)} == set(before)
    async with database.connection() as connection:
        await connection.execute(
            "DELETE FROM signing_keys WHERE purpose = 'token' AND state = 'pending'"
        )
    await create_missing_keys(database, KeyStore(issuer=empty.issuer, master_keys=master_keys))
    after = await keys_in(database)
    assert count(after) == ONE_OF_EACH
    kept = {kid for kid, kind in before.items() if kind != (TOKEN, "pending")}
    assert len(kept & {key.kid for key in after}) == 3


async def test_loaded_keys_are_confirmed_as_of_the_question(
    empty: Settings, database: Database, master_keys: MasterKeys
) -> None:
    """The answer may be late; the ten minutes count from when it was asked."""
    await create_missing_keys(database, KeyStore(issuer=empty.issuer, master_keys=master_keys))
    ring = Keyring(KeyStore(issuer=empty.issuer, master_keys=master_keys))
    asked = time.monotonic()
    async with database.connection() as held:
        await held.execute("BEGIN; LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE")
        loading = asyncio.create_task(load_keys(database, ring))
        await asyncio.sleep(0.1)
        await held.execute("COMMIT")
        answered = time.monotonic()
        await loading
    assert ring.is_confirmed(monotonic=asked + 599.9)
    assert not ring.is_confirmed(monotonic=answered - 0.05 + 600)
