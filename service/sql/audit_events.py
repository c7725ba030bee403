"""Table audit_events: who did what, written in the transaction of the deed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One line of the audit trail."""

    at: datetime
    event: str
    client_id: str | None
    address: str | None
    request_id: str | None
    detail: dict[str, Any]


async def insert_audit_event(
    connection: Connection,
    event: str,
    *,
    client_id: str | None = None,
    address: str | None = None,
    request_id: str | None = None,
    **detail: Any,
) -> None:
    """Write down a deed. Never a secret or a token in `detail`."""
    await connection.execute(
        """
        INSERT INTO audit_events (event, client_id, address, request_id, detail)
        VALUES ($1, $2, $3::text::inet, $4, $5)
        """,
        event,
        client_id,
        address,
        request_id,
        detail,
    )


async def list_audit_events(connection: Connection, limit: int) -> list[AuditEvent]:
    """The newest events, the newest first."""
    rows = await connection.fetch(
        """
        SELECT at, event, client_id, host(address) AS address, request_id, detail
        FROM audit_events
        ORDER BY id DESC
        LIMIT $1
        """,
        limit,
    )
    return [AuditEvent(**row) for row in rows]


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
