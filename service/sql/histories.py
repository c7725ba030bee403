"""Pages of revocations and audit events for /admin, the newest first; filters as in pages.py."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.oauth.revocation import KINDS
from service.sql.audit_events import AuditEvent
from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationFilter:
    """Which facts are wanted."""

    kind: str | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenRevocation:
    """A fact as it stands: what is void, why, by whose deed; `number` None: not in the feed yet."""

    id: int
    kind: str
    subject: str
    version: int
    client_id: str | None
    reason: str
    actor: str
    created_at: datetime
    expires_at: datetime | None
    number: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Which events are wanted: from `since` on, before `until`."""

    event: str | None = None
    client_id: str | None = None
    user_id: UUID | None = None
    session_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class NumberedEvent:
    """An audit event with its place in the trail."""

    id: int
    event: AuditEvent


async def page_of_revocations(
    connection: Connection, wanted: RevocationFilter, after: int | None, limit: int
) -> list[WrittenRevocation]:
    """Facts that were not purged yet: a killed key's stays, others go when they matter no more."""
    rows = await connection.fetch(
        """
        SELECT id, kind, subject, version, client_id, reason, actor, created_at, expires_at, number
        FROM revocations
        WHERE ($1::bigint IS NULL OR id < $1)
          AND kind = ANY($2::text[])
          AND ($3::text IS NULL OR subject = $3)
        ORDER BY id DESC
        LIMIT $4
        """,
        after,
        [wanted.kind] if wanted.kind else KINDS,  # named, so that the index on them finds a subject
        wanted.subject,
        limit,
    )
    return [WrittenRevocation(**row) for row in rows]


async def page_of_audit_events(
    connection: Connection, wanted: AuditFilter, after: int | None, limit: int
) -> list[NumberedEvent]:
    """Events that were not purged yet."""
    rows = await connection.fetch(
        """
        SELECT id, at, event, client_id, user_id, session_id, generation,
               host(address) AS address, request_id, detail
        FROM audit_events
        WHERE ($1::bigint IS NULL OR id < $1)
          AND ($2::text IS NULL OR event = $2)
          AND ($3::text IS NULL OR client_id = $3)
          AND ($4::uuid IS NULL OR user_id = $4)
          AND ($5::uuid IS NULL OR session_id = $5)
          AND ($6::timestamptz IS NULL OR at >= $6)
          AND ($7::timestamptz IS NULL OR at < $7)
        ORDER BY id DESC
        LIMIT $8
        """,
        after,
        wanted.event,
        wanted.client_id,
        wanted.user_id,
        wanted.session_id,
        wanted.since,
        wanted.until,
        limit,
    )
    return [_numbered(**row) for row in rows]


def _numbered(id: int, **columns: Any) -> NumberedEvent:  # noqa: A002 (the column's name)
    return NumberedEvent(id, AuditEvent(**columns))
