"""Signing keys at start-up and after: make the first ones, read them all."""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import MasterKeys
from service.keys.signer import SignerUnavailable
from service.oauth.signing_key import FEED, RS256, TOKEN, SigningKey
from service.sql.clients import list_signing_algorithms
from service.sql.connection import Connection, Database
from service.sql.instances import Instance, list_living_instances
from service.sql.signing_keys import insert_signing_key, list_signing_keys, read_clock
from service.telemetry import log

# From then on a pending key signs, until the plan of rotations moves that moment.
PENDING = timedelta(hours=24)
_SHOWN = 12


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A key to make: for which purpose, with which algorithm, in which state."""

    purpose: str
    alg: str
    state: str


# What there always is. Another algorithm gets a pending key alone: no verifier knows it yet.
_ALWAYS = tuple(
    _Wanted(purpose, RS256, state) for purpose in (TOKEN, FEED) for state in ("active", "pending")
)


async def create_missing_keys(database: Database, store: KeyStore) -> None:
    """An active and a pending key for each purpose and algorithm in use, unless they exist.

    Any number of pods may do this at once: one pair comes of it. The first key of an algorithm that
    a client asks for anew is pending, and signs once verifiers can know it.
    Raises DatabaseUnavailable, KeyringError, SignerUnavailable.
    """
    async with database.connection() as connection:
        keys = await list_signing_keys(connection)
        asked_for = await list_signing_algorithms(connection)
        now = await read_clock(connection)
    existing = {_Wanted(key.purpose, key.alg, key.state) for key in keys}
    used = {key.alg for key in keys if key.purpose == TOKEN} | set(asked_for)
    others = [_Wanted(TOKEN, alg, "pending") for alg in sorted(used - {RS256})]
    missing = [it for it in (*_ALWAYS, *others) if it not in existing]
    if missing:
        await check_current_key(database, store.master_keys)
    failed: SignerUnavailable | None = None
    for it in missing:
        try:
            await _create(database, store, it, now)
        except SignerUnavailable as error:  # hardware may have one algorithm and not the other
            failed = failed or error
    if failed is not None:
        raise failed


async def _create(database: Database, store: KeyStore, wanted: _Wanted, now: datetime) -> None:
    """Make a key and keep it at once, whatever becomes of others. Raises SignerUnavailable."""
    # Hundreds of milliseconds of CPU, or a minute of hardware: off the event loop.
    key = await asyncio.to_thread(_generate, wanted, store, now)
    async with database.transaction() as connection:
        kept = await insert_signing_key(connection, key)
    if not kept:
        try:
            await asyncio.to_thread(store.discard, key)
        except SignerUnavailable as error:
            log.warning("key_left_in_hardware", kid=key.kid[:_SHOWN], reason=str(error))


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
    """Keep new keys, in an order that two who do so share, so that they can't deadlock."""
    for key in sorted(keys, key=lambda key: (key.purpose, key.alg, key.state)):
        await insert_signing_key(connection, key)


def generate_keys(store: KeyStore, now: datetime) -> list[SigningKey]:
    """An active and a pending key for each purpose. Raises SignerUnavailable."""
    return [_generate(wanted, store, now) for wanted in _ALWAYS]


def _generate(wanted: _Wanted, store: KeyStore, now: datetime) -> SigningKey:
    activates_at = now if wanted.state == "active" else now + PENDING
    return store.generate(wanted.purpose, wanted.alg, state=wanted.state, activates_at=activates_at)


async def renew_keys(database: Database, keyring: Keyring) -> None:
    """Make what the database lacks where keys were killed, and take over what it has.

    That is taken over also where none can be made: what signs goes on.
    Raises DatabaseUnavailable, KeyringError, SignerUnavailable.
    """
    try:
        await create_missing_keys(database, keyring.store)
    except (KeyringError, SignerUnavailable):
        with suppress(KeyringError, SignerUnavailable):  # the first says why
            await load_keys(database, keyring)
        raise
    await load_keys(database, keyring)


async def load_keys(database: Database, keyring: Keyring) -> None:
    """Take over the database's keys.

    Raises DatabaseUnavailable, KeyringError, SignerUnavailable.
    """
    asked = time.monotonic()
    async with database.connection() as connection:
        keys = await list_signing_keys(connection)
        since = time.monotonic() - asked
        now = await read_clock(connection)
    keyring.load(keys, monotonic=asked, now=now - timedelta(seconds=since))
