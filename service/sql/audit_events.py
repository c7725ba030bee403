"""Table audit_events: who did what, written in the transaction of the deed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit trail."""

    at: datetime
    event: str
    client_id: str | None
    user_id: UUID | None
    session_id: UUID | None
    generation: int | None
    address: str | None
    request_id: str | None
    detail: dict[str, Any]


async def insert_audit_event(  # noqa: PLR0913 (one argument for each column)
    connection: Connection,
    event: str,
    *,
    client_id: str | None = None,
    user_id: UUID | None = None,
    session_id: UUID | None = None,
    generation: int | None = None,
    address: str | None = None,
    request_id: str | None = None,
    **detail: Any,
) -> bool:
    """Write down a deed, never a secret or a token in `detail`; whether it is a new one.

    Of a session's generation each event is written once, however often it happens.
    """
    row = await connection.fetchrow(
        """
        INSERT INTO audit_events (event, client_id, user_id, session_id, generation, address,
                                  request_id, detail)
        VALUES ($1, $2, $3, $4, $5, $6::text::inet, $7, $8)
        ON CONFLICT DO NOTHING
        RETURNING id
        """,
        event,
        client_id,
        user_id,
        session_id,
        generation,
        address,
        request_id,
        detail,
    )
    return row is not None


async def count_generations(
    connection: Connection, session_id: UUID, event: str, generations: Sequence[int]
) -> int:
    """In how many of these generations of the session the event happened."""
    return await connection.fetchval(
        """
        SELECT count(*) FROM audit_events
        WHERE session_id = $1 AND generation = ANY($3::bigint[]) AND event = $2
        """,
        session_id,
        event,
        generations,
    )


async def list_audit_events(connection: Connection, limit: int) -> list[AuditEvent]:
    """The newest events, the newest first."""
    rows = await connection.fetch(
        """
        SELECT at, event, client_id, user_id, session_id, generation,
               host(address) AS address, request_id, detail
        FROM audit_events
        ORDER BY id DESC
        LIMIT $1
        """,
        limit,
    )
    return [AuditEvent(**row) for row in rows]


async def forget_person(connection: Connection, user_id: UUID, limit: int) -> int:
    """Erase from which address and device the user acted, in up to `limit` events that stay."""
    rows = await connection.fetch(
        """
        UPDATE audit_events
        SET address = NULL,
            detail = detail - 'device'
        WHERE id IN (
            SELECT id FROM audit_events
            WHERE user_id = $1 AND (address IS NOT NULL OR detail ? 'device')
            LIMIT $2
            FOR UPDATE
        )
        RETURNING id
        """,
        user_id,
        limit,
    )
    return len(rows)


async def delete_old_audit_events(connection: Connection, age: timedelta, limit: int) -> int:
    """Delete up to `limit` events older than `age`; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM audit_events
        WHERE id IN (
            SELECT id FROM audit_events
            WHERE at < clock_timestamp() - $1::interval
            LIMIT $2
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id
        """,
        age,
        limit,
    )
    return len(rows)
