"""Table refresh_keys: until when sessions were begun under each refresh master key."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.sql.connection import Connection


async def name_refresh_key(connection: Connection, key_id: int) -> None:
    """Note that a living pod begins sessions under that key."""
    await connection.execute(
        """
        INSERT INTO refresh_keys (id)
        VALUES ($1)
        ON CONFLICT (id) DO UPDATE SET named_at = clock_timestamp()
        """,
        key_id,
    )


@dataclass(frozen=True, slots=True)
class FormerKey:
    """A refresh key under which no session begins any more, and since when."""

    id: int
    named_at: datetime


async def list_former_keys(connection: Connection, held: Collection[int]) -> list[FormerKey]:
    """Those among `held` that no living pod has named for a minute."""
    rows = await connection.fetch(
        """
        SELECT id, named_at
        FROM refresh_keys
        WHERE id = ANY ($1::bigint[])
          AND named_at < clock_timestamp() - interval '1 minute'
        ORDER BY id
        """,
        sorted(held),
    )
    return [FormerKey(**row) for row in rows]


async def last_end_of_sessions(connection: Connection, before: UUID) -> datetime | None:
    """When the last living session ends at the latest that is older than that UUIDv7; None: none.

    Session ids are UUIDv7, so that the primary key has them in the order in which they began.
    """
    return await connection.fetchval(
        """
        SELECT max(expires_at)
        FROM sessions
        WHERE id < $1
          AND revoked_at IS NULL
          AND idle_expires_at > clock_timestamp()
        """,
        before,
    )
