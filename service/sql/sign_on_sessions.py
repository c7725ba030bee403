"""Table sessions: the ends of those that came from a sign-on, or from a consent.

As in session_ends.py, what is over in another way keeps the reason for it.
"""

from uuid import UUID

from service.sql.connection import Connection
from service.sql.session_ends import EndedSession


async def end_sessions_of_sign_on(
    connection: Connection, sign_on_id: UUID, reason: str
) -> list[UUID]:
    """End the living sessions that may not outlive their sign-on; their ids.

    Those go on to which the user granted `offline_access` (Core §11).
    """
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $2
        WHERE id IN (
            SELECT id FROM sessions
            WHERE sign_on_id = $1
              AND revoked_at IS NULL
              AND NOT scopes @> ARRAY['offline_access']
              AND idle_expires_at > clock_timestamp() - interval '2 minutes'
              AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
            ORDER BY id
            FOR UPDATE
        )
        RETURNING id
        """,
        sign_on_id,
        reason,
    )
    return sorted(row["id"] for row in rows)


async def end_session_at_sign_out(
    connection: Connection, session_id: UUID, user_id: UUID, client_id: str, reason: str
) -> EndedSession | None:
    """End that living session of the user at the client, unless it may outlive its sign-on."""
    row = await connection.fetchrow(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $4
        WHERE id = $1
          AND user_id = $2
          AND client_id = $3
          AND revoked_at IS NULL
          AND NOT scopes @> ARRAY['offline_access']
          AND idle_expires_at > clock_timestamp() - interval '2 minutes'
          AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
        RETURNING id, user_id, client_id
        """,
        session_id,
        user_id,
        client_id,
        reason,
    )
    return None if row is None else EndedSession(**row)


async def end_sessions_of_client(
    connection: Connection, user_id: UUID, client_id: str, reason: str
) -> list[UUID]:
    """End the user's living sessions at one client; their ids."""
    rows = await connection.fetch(
        """
        UPDATE sessions
        SET revoked_at = clock_timestamp(), revoked_reason = $3
        WHERE id IN (
            SELECT id FROM sessions
            WHERE user_id = $1
              AND client_id = $2
              AND revoked_at IS NULL
              AND idle_expires_at > clock_timestamp() - interval '2 minutes'
              AND client_epoch = (SELECT epoch FROM clients WHERE clients.id = client_id)
            ORDER BY id
            FOR UPDATE
        )
        RETURNING id
        """,
        user_id,
        client_id,
        reason,
    )
    return sorted(row["id"] for row in rows)
