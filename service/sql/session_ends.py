"""Table sessions: how they end, and what is shown of them.

Whatever writes many of them locks them in the order of their ids. One that is over in another way
keeps the reason for it; what was not used for too long is over when its last token is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSession:
    """A session as its user sees it. It lives unless `ended_because` says why not."""

    id: UUID
    client_id: str
    device: str | None
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ended_at: datetime | None
    ended_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndedSession:
    """A session that this transaction ended."""

    id: UUID
    user_id: UUID
    client_id: str


async def find_client_of(
    connection: Connection, session_id: UUID, secret_digest: bytes
) -> str | None:
    """The client of the session that has this secret, living or not."""
    return await connection.fetchval(
        "SELECT client_id FROM sessions WHERE id = $1 AND secret_digest = $2",
        session_id,
        secret_digest,
    )


async def find_user_of(connection: Connection, session_id: UUID) -> UUID | None:
    """The user of the session, living or not."""
    return await connection.fetchval("SELECT user_id FROM sessions WHERE id = $1", session_id)


async def end_session(connection: Connection, session_id: UUID, reason: str) -> EndedSession | None:
    """The session, ended; None if there is no such living one. O(1), and only this one."""
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $2
        WHERE id = $1
          AND revoked_at IS NULL
          AND idle_expires_at > clock_timestamp() - interval '2 minutes'
          AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
        RETURNING id, user_id, client_id
        """,
        session_id,
        reason,
    )
    return None if row is None else EndedSession(**row)


async def end_session_above(
    connection: Connection, session_id: UUID, generation: int, reason: str
) -> EndedSession | None:
    """End it if its generation still is above: a fail-over may have lowered it."""
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $3
        WHERE id = $1 AND generation > $2 AND revoked_at IS NULL
        RETURNING id, user_id, client_id
        """,
        session_id,
        generation,
        reason,
    )
    return None if row is None else EndedSession(**row)


async def end_session_below(
    connection: Connection, session_id: UUID, generation: int, life: UUID, reason: str
) -> EndedSession | None:
    """End it if its generation still is below, and that life of the database wrote it."""
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $4
        WHERE id = $1 AND generation < $2 AND incarnation = $3 AND revoked_at IS NULL
        RETURNING id, user_id, client_id
        """,
        session_id,
        generation,
        life,
        reason,
    )
    return None if row is None else EndedSession(**row)


async def end_sessions_of_user(
    connection: Connection, user_id: UUID, reason: str, *, spared: UUID | None = None
) -> list[UUID]:
    """End the user's living sessions but one; their ids. The user's row is locked before."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $2
        WHERE id IN (
            SELECT id FROM sessions
            WHERE user_id = $1
              AND revoked_at IS NULL
              AND id IS DISTINCT FROM $3::uuid
              AND idle_expires_at > clock_timestamp() - interval '2 minutes'
              AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
            ORDER BY id
            FOR UPDATE
        )
        RETURNING id
        """,
        user_id,
        reason,
        spared,
    )
    return sorted(row["id"] for row in rows)


async def end_surplus_sessions(
    connection: Connection, user_id: UUID, reason: str, *, keep: int
) -> list[UUID]:
    """End the user's living sessions but the `keep` that were used last; their ids.

    Those that ran out go first: none of them takes the place of one that lives.
    """
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $2
        WHERE id IN (
            SELECT id FROM sessions
            WHERE id IN (
                SELECT id FROM sessions
                WHERE user_id = $1 AND revoked_at IS NULL
                ORDER BY idle_expires_at <= clock_timestamp(), rotated_at DESC
                OFFSET $3
            )
            AND revoked_at IS NULL
            ORDER BY id
            FOR UPDATE
        )
        RETURNING id
        """,
        user_id,
        reason,
        keep,
    )
    return sorted(row["id"] for row in rows)


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


async def raise_claims_versions(
    connection: Connection, user_id: UUID, roles: Sequence[str]
) -> list[tuple[UUID, int]]:
    """Write what tokens say of the user into the living sessions; their ids and new versions."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET roles = $2, claims_version = claims_version + 1
        WHERE id IN (
            SELECT id FROM sessions
            WHERE user_id = $1
              AND revoked_at IS NULL
              AND idle_expires_at > clock_timestamp() - interval '2 minutes'
              AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
            ORDER BY id
            FOR UPDATE
        )
        RETURNING id, claims_version
        """,
        user_id,
        roles,
    )
    return sorted((row["id"], row["claims_version"]) for row in rows)


async def list_sessions_of_user(
    connection: Connection, user_id: UUID, limit: int
) -> list[ShownSession]:
    """The user's sessions, living ones first, each kind by last use."""
    rows = await connection.fetch(
        """
        SELECT sessions.id, client_id, device, sessions.created_at, rotated_at AS last_used_at,
               expires_at,
               CASE
                   WHEN revoked_at IS NOT NULL THEN revoked_at
                   WHEN idle_expires_at <= clock_timestamp() THEN idle_expires_at
               END AS ended_at,
               CASE
                   WHEN revoked_at IS NOT NULL THEN revoked_reason
                   WHEN idle_expires_at <= clock_timestamp()
                       THEN CASE idle_expires_at WHEN expires_at THEN 'expired' ELSE 'not_used' END
                   WHEN client_epoch <> epoch OR NOT enabled THEN 'client_revoked'
               END AS ended_because
        FROM sessions
        JOIN clients ON clients.id = client_id
        WHERE user_id = $1
        ORDER BY revoked_at IS NOT NULL
                     OR idle_expires_at <= clock_timestamp()
                     OR client_epoch <> epoch
                     OR NOT enabled,
                 rotated_at DESC,
                 sessions.id
        LIMIT $2
        """,
        user_id,
        limit,
    )
    return [ShownSession(**row) for row in rows]


async def forget_devices(connection: Connection, user_id: UUID, limit: int) -> int:
    """Erase what up to `limit` of the user's sessions say of their devices; how many there were."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET device = NULL
        WHERE id IN (
            SELECT id FROM sessions
            WHERE user_id = $1 AND device IS NOT NULL
            ORDER BY id
            LIMIT $2
            FOR UPDATE
        )
        RETURNING id
        """,
        user_id,
        limit,
    )
    return len(rows)


async def delete_old_sessions(connection: Connection, limit: int) -> int:
    """Delete up to `limit` sessions that expired 30 days ago; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM sessions
        WHERE id IN (
            SELECT id FROM sessions
            WHERE expires_at < clock_timestamp() - interval '30 days'
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id
        """,
        limit,
    )
    return len(rows)
