"""Table sessions."""

from uuid import UUID

from service.sql.connection import Connection


async def restore_end(connection: Connection, session_id: UUID) -> None:
    """Take the end of a session back that the database lost."""
    await connection.execute(
        """
        UPDATE sessions
        SET revoked_at = coalesce(revoked_at, clock_timestamp()),
            revoked_reason = coalesce(revoked_reason, 'taken back from the feed')
        WHERE id = $1
        """,
        session_id,
    )


async def restore_claims_version(connection: Connection, session_id: UUID, version: int) -> None:
    """Take a claims version back that the database lost; it never falls."""
    await connection.execute(
        "UPDATE sessions SET claims_version = greatest(claims_version, $2) WHERE id = $1",
        session_id,
        version,
    )


async def end_sessions(
    connection: Connection, reason: str, *, after: UUID, limit: int
) -> list[UUID]:
    """End up to `limit` living sessions, those with the smallest ids above `after`; their ids."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $1
        WHERE id IN (
            SELECT id FROM sessions
            WHERE id > $2 AND revoked_at IS NULL
            ORDER BY id
            LIMIT $3
            FOR UPDATE
        )
        RETURNING id
        """,
        reason,
        after,
        limit,
    )
    return sorted(row["id"] for row in rows)
