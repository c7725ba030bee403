"""Recovery by an operator: the database lost writes that the feed can't give back."""

import asyncio
import secrets
from contextlib import suppress
from uuid import UUID

from service.flows.begin_life import LossUnknown, begin_epoch, begin_life
from service.flows.feed_reader import prove_heartbeat
from service.flows.load_keys import check_current_key, generate_keys, insert_keys, load_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, KeyringError
from service.keys.signer import SignerUnavailable
from service.oauth.feed import milliseconds
from service.oauth.revocation import CLIENT_FACT_TTL, FACT_TTL, Revocation
from service.oauth.signing_key import FEED, TOKEN, SigningKey
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.database_life import find_life, read_ground, replace_life
from service.sql.feed import lock_head, read_state
from service.sql.revocations import insert_revocation, insert_session_revocations
from service.sql.session_ends import end_sessions as end_some_sessions
from service.sql.signing_keys import read_clock, remove_signing_keys

_SESSIONS_AT_ONCE = 1_000


class NothingToRecover(Exception):
    """The database has a living incarnation, or never had one."""


async def recover(
    database: Database,
    feed: RedisFeed,
    store: KeyStore,
    *,
    end_sessions: bool,
    anyway: bool = False,
) -> tuple[list[str], int]:
    """Begin a new life without the lost revocations; the killed key ids, and sessions ended.

    A key or session that was revoked in the lost time may be alive again: every signing key is
    killed and replaced, and `end_sessions` ends every session. `anyway`: of a living database too.
    Raises NothingToRecover, DatabaseUnavailable, SignerUnavailable.
    """
    seen = await _try_without(database, feed, Keyring(store), anyway=anyway)
    async with database.connection() as connection:
        now = await read_clock(connection)
    await check_current_key(database, store.master_keys)
    new_keys = await asyncio.to_thread(generate_keys, store, now)
    ended = await _end_sessions(database, anyway=anyway) if end_sessions else 0
    async with database.transaction() as connection:
        left = max(await _lock(connection, anyway=anyway), seen)
        killed = await _replace_keys(connection, new_keys)
        await begin_epoch(connection, left, now)
        life = uuid7(milliseconds(now), secrets.token_bytes(RANDOM_BYTES))
        await replace_life(connection, life, await read_ground(connection))
        await insert_audit_event(
            connection, "database_recovered", killed_keys=killed, sessions_ended=ended
        )
    with suppress(RedisUnavailable):  # a stream that nobody follows only takes up room
        await feed.expire(left, int(CLIENT_FACT_TTL.total_seconds()))
    return killed, ended


async def _try_without(
    database: Database, feed: RedisFeed, keyring: Keyring, *, anyway: bool
) -> str:
    """Return only where the feed can't give back what was lost; the epoch that it is in."""
    issuer = keyring.store.issuer
    async with database.connection() as connection:
        if await read_state(connection) is None:
            raise NothingToRecover
    # Keys that do not unwrap prove nothing, and are replaced below.
    with suppress(LossUnknown, KeyringError, SignerUnavailable):
        await load_keys(database, keyring)
        await begin_life(database, feed, keyring, issuer)
        if not anyway:
            raise NothingToRecover
    heartbeat = None
    if keyring.is_loaded():
        with suppress(RedisUnavailable):
            heartbeat = prove_heartbeat(await feed.heartbeat(), keyring, issuer)
    return heartbeat.epoch if heartbeat else ""


async def _lock(connection: Connection, *, anyway: bool) -> str:
    """The epoch, no life beginning meanwhile."""
    head = await lock_head(connection)
    if not anyway and await find_life(connection) is not None:
        raise NothingToRecover
    return head.epoch


async def _end_sessions(database: Database, *, anyway: bool) -> int:
    """End every session, in short transactions: there may be millions."""
    count, last = 0, UUID(int=0)
    while True:
        async with database.transaction() as connection:
            await _lock(connection, anyway=anyway)
            ended = await end_some_sessions(
                connection, "recovered", after=last, limit=_SESSIONS_AT_ONCE
            )
            await insert_session_revocations(
                connection, ended, ttl=FACT_TTL, reason="recovered", actor="operator"
            )
        if not ended:
            return count
        count, last = count + len(ended), ended[-1]


async def _replace_keys(connection: Connection, new_keys: list[SigningKey]) -> list[str]:
    """Kill every signing key, put new ones in their places; the ids of the killed."""
    killed = [
        kid for purpose in (TOKEN, FEED) for kid in await remove_signing_keys(connection, purpose)
    ]
    await insert_keys(connection, new_keys)
    for kid in killed:
        await insert_revocation(connection, _killed(kid))
    return killed


def _killed(kid: str) -> Revocation:
    return Revocation(kind="kid", subject=kid, ttl=None, reason="recovered", actor="operator")
