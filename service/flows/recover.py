"""Recovery by an operator: the database lost writes that the feed can't give back."""

import asyncio
import secrets
from datetime import timedelta

from service.flows.begin_life import begin_epoch
from service.flows.load_keys import generate_keys, insert_keys
from service.keys.master_keys import MasterKeys
from service.oauth.feed import milliseconds
from service.oauth.revocation import FACT_TTL, Revocation
from service.oauth.signing_key import FEED, TOKEN
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.database_life import find_life, read_ground, replace_life
from service.sql.feed import lock_head
from service.sql.revocations import insert_revocation
from service.sql.sessions import end_all_sessions
from service.sql.signing_keys import read_clock, remove_signing_keys


class NothingToRecover(Exception):
    """The database has a living incarnation."""


async def recover(
    database: Database, master_keys: MasterKeys, issuer: str, *, end_sessions: bool
) -> tuple[list[str], int]:
    """Begin a new life without the lost revocations; the killed key ids, and sessions ended.

    A key or session that was revoked in the lost time may be alive again: every signing key is
    killed and replaced, and `end_sessions` ends every session. Raises NothingToRecover,
    DatabaseUnavailable.
    """
    async with database.connection() as connection:
        if await find_life(connection) is not None:
            raise NothingToRecover
        now = await read_clock(connection)
    new_keys = await asyncio.to_thread(generate_keys, master_keys, issuer, now)
    ended: list[object] = []
    async with database.transaction() as connection:
        head = await lock_head(connection)
        if await find_life(connection) is not None:
            raise NothingToRecover
        killed = [
            kid
            for purpose in (TOKEN, FEED)
            for kid in await remove_signing_keys(connection, purpose)
        ]
        await insert_keys(connection, new_keys)
        for kid in killed:
            await insert_revocation(connection, _recovered("kid", kid, ttl=None))
        if end_sessions:
            ended = [*await end_all_sessions(connection, "recovered")]
            for session_id in ended:
                await insert_revocation(
                    connection, _recovered("sid", str(session_id), ttl=FACT_TTL)
                )
        await begin_epoch(connection, head.epoch, now)
        life = uuid7(milliseconds(now), secrets.token_bytes(RANDOM_BYTES))
        await replace_life(connection, life, await read_ground(connection))
        await insert_audit_event(
            connection, "database_recovered", killed_keys=killed, sessions_ended=len(ended)
        )
    return killed, len(ended)


def _recovered(kind: str, subject: str, ttl: timedelta | None) -> Revocation:
    return Revocation(kind=kind, subject=subject, ttl=ttl, reason="recovered", actor="operator")
