"""Table sessions: what is taken back of them after the database lost writes."""

from collections.abc import Sequence
from uuid import UUID

from service.sql.connection import Connection


async def restore_ends(connection: Connection, session_ids: Sequence[UUID]) -> set[UUID]:
    """Take back the ends of sessions that the database lost; whose they are."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = coalesce(revoked_at, clock_timestamp()),
            revoked_reason = coalesce(revoked_reason, 'taken_back_from_feed')
        WHERE id IN (
            SELECT id FROM sessions WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE
        )
        RETURNING user_id
        """,
        session_ids,
    )
    return {row["user_id"] for row in rows}


async def restore_claims_versions(
    connection: Connection, session_ids: Sequence[UUID], versions: Sequence[int]
) -> set[UUID]:
    """Take back claims versions that the database lost, of which none falls; whose they are."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET claims_version = greatest(claims_version, lost.version)
        FROM (
            SELECT id, max(version) AS version
            FROM unnest($1::uuid[], $2::bigint[]) AS told (id, version)
            GROUP BY id
        ) AS lost
        WHERE sessions.id = lost.id
        RETURNING user_id
        """,
        session_ids,
        versions,
    )
    return {row["user_id"] for row in rows}
