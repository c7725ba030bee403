"""Signing keys at start-up and after: make the first ones, read them all."""

import asyncio
import time
from datetime import datetime, timedelta

from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import MasterKeys
from service.keys.stored_key import generate_signing_key
from service.oauth.signing_key import FEED, TOKEN, SigningKey
from service.sql.connection import Connection, Database
from service.sql.instances import Instance, list_living_instances
from service.sql.signing_keys import insert_signing_key, list_signing_keys, read_clock

# From then on a pending key signs, until the plan of rotations moves that moment.
PENDING = timedelta(hours=24)


async def create_first_keys(database: Database, master_keys: MasterKeys, issuer: str) -> None:
    """An active and a pending key for each purpose, unless they exist.

    Any number of pods may do this at once: one pair comes of it.
    """
    async with database.connection() as connection:
        existing = {(key.purpose, key.state) for key in await list_signing_keys(connection)}
        now = await read_clock(connection)
    missing = [
        (purpose, state)
        for purpose in (TOKEN, FEED)
        for state in ("active", "pending")
        if (purpose, state) not in existing
    ]
    if missing:
        await check_current_key(database, master_keys)
        # Hundreds of milliseconds of CPU: off the event loop.
        keys = await asyncio.to_thread(_generate, missing, master_keys, issuer, now)
        async with database.transaction() as connection:
            await insert_keys(connection, keys)


async def check_current_key(database: Database, master_keys: MasterKeys) -> None:
    """Refuse a current wrap key that a living pod lacks: it could not use what is wrapped under it.

    Raises KeyringError, DatabaseUnavailable.
    """
    pods = await _list_pods(database)
    lacking = [pod.name for pod in pods if master_keys.current_wrap not in pod.wrap_key_ids]
    _refuse_lack(lacking, f"wrap-{master_keys.current_wrap}.key")


async def check_current_refresh_key(database: Database, master_keys: MasterKeys) -> None:
    """Refuse a current refresh key that a living pod lacks: sessions begun here would stop there.

    Raises KeyringError, DatabaseUnavailable.
    """
    pods = await _list_pods(database)
    lacking = [pod.name for pod in pods if master_keys.current_refresh not in pod.refresh_key_ids]
    _refuse_lack(lacking, f"refresh-{master_keys.current_refresh}.key")


async def _list_pods(database: Database) -> list[Instance]:
    async with database.connection() as connection:
        return await list_living_instances(connection)


def _refuse_lack(lacking: list[str], file: str) -> None:
    if lacking:
        raise KeyringError(
            f"{', '.join(lacking)} {'lacks' if len(lacking) == 1 else 'lack'} the master key "
            f"{file}: name the key before it in `current` again, roll {file} out to every pod, "
            "then move `current`"
        )


async def insert_keys(connection: Connection, keys: list[SigningKey]) -> None:
    """Keep new keys, in an order that two pods share, so that they can't deadlock."""
    for key in sorted(keys, key=lambda key: (key.purpose, key.state)):
        await insert_signing_key(connection, key)


def generate_keys(master_keys: MasterKeys, issuer: str, now: datetime) -> list[SigningKey]:
    """An active and a pending key for each purpose."""
    wanted = [(purpose, state) for purpose in (TOKEN, FEED) for state in ("active", "pending")]
    return _generate(wanted, master_keys, issuer, now)


def _generate(
    wanted: list[tuple[str, str]], master_keys: MasterKeys, issuer: str, now: datetime
) -> list[SigningKey]:
    return [
        generate_signing_key(
            issuer=issuer,
            purpose=purpose,
            state=state,
            activates_at=now if state == "active" else now + PENDING,
            master_keys=master_keys,
        )
        for purpose, state in wanted
    ]


async def renew_keys(database: Database, keyring: Keyring, issuer: str) -> None:
    """Make what the database lacks where keys were killed, and take over what it has.

    Raises DatabaseUnavailable and KeyringError.
    """
    await create_first_keys(database, keyring.master_keys, issuer)
    await load_keys(database, keyring)


async def load_keys(database: Database, keyring: Keyring) -> None:
    """Take over the database's keys. Raises DatabaseUnavailable and KeyringError."""
    asked = time.monotonic()
    async with database.connection() as connection:
        keys = await list_signing_keys(connection)
        since = time.monotonic() - asked
        now = await read_clock(connection)
    keyring.load(keys, monotonic=asked, now=now - timedelta(seconds=since))
