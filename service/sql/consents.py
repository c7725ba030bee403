"""Table consents: what users have allowed clients."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.sql.connection import Connection
from service.sql.rows import members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What the user has allowed a client, and since when."""

    client_id: str
    client_name: str
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]
    given_at: datetime


async def give_consent(
    connection: Connection, user_id: UUID, client_id: str, scopes: Sequence[str]
) -> None:
    """Remember that the user allowed these scope values, beside those allowed before."""
    await connection.execute(
        """
        INSERT INTO consents (user_id, client_id, scopes)
        VALUES ($1, $2, $3)
        ON CONFLICT (user_id, client_id) DO UPDATE
        SET scopes = ARRAY(SELECT DISTINCT unnest(consents.scopes || excluded.scopes) ORDER BY 1),
            given_at = clock_timestamp()
        """,
        user_id,
        client_id,
        scopes,
    )


async def is_allowed(
    connection: Connection, user_id: UUID, client_id: str, scopes: Sequence[str]
) -> bool:
    """Whether the user allows all of it, and takes none back before the transaction ends."""
    return bool(
        await connection.fetchval(
            """
            SELECT scopes @> $3::text[] FROM consents
            WHERE user_id = $1 AND client_id = $2
            FOR SHARE
            """,
            user_id,
            client_id,
            list(scopes),
        )
    )


async def list_consents(connection: Connection, user_id: UUID) -> list[Consent]:
    """What the user has allowed, the newest first."""
    rows = await connection.fetch(
        """
        SELECT client_id, clients.name AS client_name, clients.redirect_uris, consents.scopes,
               given_at
        FROM consents
        JOIN clients ON clients.id = client_id
        WHERE user_id = $1
        ORDER BY given_at DESC, client_id
        """,
        user_id,
    )
    return [Consent(**members_of(row)) for row in rows]


async def withdraw_consent(connection: Connection, user_id: UUID, client_id: str) -> bool:
    """Whether there was a consent, which is taken back."""
    row = await connection.fetchrow(
        "DELETE FROM consents WHERE user_id = $1 AND client_id = $2 RETURNING client_id",
        user_id,
        client_id,
    )
    return row is not None


async def delete_consents_of_user(connection: Connection, user_id: UUID, limit: int) -> int:
    """Delete up to `limit` consents of a user who is erased; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM consents
        WHERE (user_id, client_id) IN (
            SELECT user_id, client_id FROM consents WHERE user_id = $1 LIMIT $2 FOR UPDATE
        )
        RETURNING client_id
        """,
        user_id,
        limit,
    )
    return len(rows)
