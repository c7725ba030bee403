"""Ending sessions: the row, the fact for every verifier and the audit event, in one transaction."""

from collections.abc import Sequence
from uuid import UUID

from service.flows.origin import Origin
from service.oauth.revocation import FACT_TTL
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.revocations import insert_session_revocations
from service.sql.session_ends import EndedSession, end_session, end_sessions_of_user


async def end_one_session(
    database: Database, session_id: UUID, reason: str, origin: Origin
) -> EndedSession | None:
    """The session, ended; None if there was no such living one. Raises DatabaseUnavailable."""
    async with database.transaction() as connection:
        ended = await end_session(connection, session_id, reason)
        if ended is not None:
            await write_end(connection, ended, reason, origin)
    return ended


async def end_all_sessions(
    connection: Connection,
    user_id: UUID,
    reason: str,
    origin: Origin,
    *,
    spared: UUID | None = None,
) -> int:
    """End the user's sessions but one, in a transaction that wrote the user's row; how many."""
    ended = await end_sessions_of_user(connection, user_id, reason, spared=spared)
    await write_ends(connection, ended, reason, origin)
    return len(ended)


async def write_ends(
    connection: Connection, session_ids: Sequence[UUID], reason: str, origin: Origin
) -> None:
    """Write that the sessions' tokens are void, beside their end (DIST-2, DIST-10)."""
    await insert_session_revocations(
        connection, session_ids, ttl=FACT_TTL, reason=reason, actor=origin.actor
    )


async def write_end(
    connection: Connection, ended: EndedSession, reason: str, origin: Origin
) -> None:
    """The same of one session, and the audit event of its end."""
    await write_ends(connection, [ended.id], reason, origin)
    await insert_audit_event(
        connection,
        "session_ended",
        client_id=ended.client_id,
        user_id=ended.user_id,
        session_id=ended.id,
        address=origin.address,
        request_id=origin.request_id,
        actor=origin.actor,
        reason=reason,
    )
