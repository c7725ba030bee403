"""Tables feed and feed_entries: the one row that orders publishers, and the signed bytes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.oauth.feed import Head
from service.sql.connection import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """All that a pod needs to know each second, read by one statement at one moment `at`.

    `life` is the database's incarnation; None while a new one has not begun. `keys_mark` differs
    whenever the signing keys do.
    """

    head: Head
    floor: int
    next_floor: int
    has_unnumbered: bool
    killed_kids: tuple[str, ...]
    keys_mark: str
    life: UUID | None
    at: datetime


async def insert_feed(connection: Connection, head: Head) -> None:
    """Begin the feed unless it has begun. One winner."""
    await connection.execute(
        """
        INSERT INTO feed (epoch, head, head_digest, floor)
        VALUES ($1, $2, $3, 1)
        ON CONFLICT DO NOTHING
        """,
        UUID(head.epoch),
        head.number,
        head.digest,
    )


async def lock_head(connection: Connection) -> Head:
    """The head, its row locked: whoever holds it is the only publisher."""
    row = await connection.fetchrow("SELECT epoch, head, head_digest FROM feed FOR UPDATE")
    if row is None:
        raise AssertionError("feed: no row")
    return Head(str(row["epoch"]), row["head"], row["head_digest"])


async def read_state(connection: Connection) -> FeedState | None:
    """The feed's state; None before the feed has begun.

    The next floor is the oldest number with a fact that still matters, else head + 1.
    """
    row = await connection.fetchrow(
        """
        SELECT feed.epoch, feed.head, feed.head_digest, feed.floor,
               coalesce(
                   (
                       SELECT number FROM feed_entries
                       WHERE feed_entries.epoch = feed.epoch
                         AND number >= feed.floor
                         AND expires_at > clock_timestamp()
                       ORDER BY number
                       LIMIT 1
                   ),
                   feed.head + 1
               ) AS next_floor,
               EXISTS (SELECT FROM revocations WHERE number IS NULL) AS has_unnumbered,
               ARRAY(SELECT subject FROM revocations WHERE kind = 'kid' ORDER BY id) AS killed_kids,
               (
                   SELECT coalesce(string_agg(kid || state || activates_at, ' ' ORDER BY kid), '')
                   FROM signing_keys
                   WHERE state <> 'removed'
               ) AS keys_mark,
               (
                   SELECT id FROM database_life
                   WHERE system_identifier = (SELECT system_identifier FROM pg_control_system())
                     AND table_oid = 'database_life'::regclass::oid
               ) AS life,
               clock_timestamp() AS at
        FROM feed
        """
    )
    if row is None:
        return None
    return FeedState(
        head=Head(str(row["epoch"]), row["head"], row["head_digest"]),
        floor=row["floor"],
        next_floor=row["next_floor"],
        has_unnumbered=row["has_unnumbered"],
        killed_kids=tuple(row["killed_kids"]),
        keys_mark=row["keys_mark"],
        life=row["life"],
        at=row["at"],
    )


async def raise_floor(connection: Connection, epoch: str, floor: int) -> None:
    """Raise the floor; it never falls."""
    await connection.execute(
        """
        UPDATE feed
        SET floor = $2
        WHERE epoch = $1 AND floor < $2 AND $2 <= head + 1
        """,
        UUID(epoch),
        floor,
    )


async def insert_entry(
    connection: Connection,
    head: Head,
    jws: str,
    *,
    expires_at: datetime | None,
    ttl: timedelta,
    written_at: datetime | None,
) -> None:
    """Keep the signed bytes of the entry that made `head`. `expires_at` None: only killed keys.

    Those matter to nobody who reads heartbeats, but the stream has to reach back to what a
    fail-over may lose: they are kept for `ttl`. `written_at`: when its oldest fact was written.
    """
    await connection.execute(
        """
        INSERT INTO feed_entries (epoch, number, jws, expires_at, written_at)
        VALUES ($1, $2, $3, coalesce($4, clock_timestamp() + $5::interval), $6)
        """,
        UUID(head.epoch),
        head.number,
        jws,
        expires_at,
        ttl,
        written_at,
    )


async def update_head(connection: Connection, head: Head) -> None:
    """Move the head on, under its lock."""
    await connection.execute(
        "UPDATE feed SET head = $2, head_digest = $3 WHERE epoch = $1",
        UUID(head.epoch),
        head.number,
        head.digest,
    )


async def replace_epoch(connection: Connection, head: Head) -> None:
    """Begin a new epoch, under the lock of the old one's head."""
    await connection.execute(
        "UPDATE feed SET epoch = $1, head = $2, head_digest = $3, floor = 1",
        UUID(head.epoch),
        head.number,
        head.digest,
    )


async def list_entries(
    connection: Connection, epoch: str, after: int, limit: int
) -> list[tuple[int, str]]:
    """The entries after a number, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT number, jws
        FROM feed_entries
        WHERE epoch = $1 AND number > $2
        ORDER BY number
        LIMIT $3
        """,
        UUID(epoch),
        after,
        limit,
    )
    return [(row["number"], row["jws"]) for row in rows]


async def list_page(
    connection: Connection, epoch: str, after: int, last: int, limit: int, max_bytes: int
) -> list[tuple[int, str]]:
    """The entries after a number up to `last`, the oldest first.

    At most `limit`, and no more once they have `max_bytes`.
    """
    rows = await connection.fetch(
        """
        SELECT number, jws
        FROM (
            SELECT number, jws,
                   sum(octet_length(jws)) OVER (ORDER BY number) - octet_length(jws) AS bytes_before
            FROM (
                SELECT number, jws
                FROM feed_entries
                WHERE epoch = $1 AND number > $2 AND number <= $3
                ORDER BY number
                LIMIT $4
            ) AS entries
        ) AS measured
        WHERE bytes_before < $5
        ORDER BY number
        """,
        UUID(epoch),
        after,
        last,
        limit,
        max_bytes,
    )
    return [(row["number"], row["jws"]) for row in rows]


async def delete_entries_below_floor(connection: Connection, limit: int) -> int:
    """Delete up to `limit` entries of the epoch that nobody needs any more; how many."""
    rows = await connection.fetch(
        """
        DELETE FROM feed_entries
        WHERE (epoch, number) IN (
            SELECT feed_entries.epoch, number
            FROM feed_entries
            WHERE feed_entries.epoch = (SELECT feed.epoch FROM feed)
              AND number < (SELECT feed.floor FROM feed)
            ORDER BY feed_entries.epoch, number
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING number
        """,
        limit,
    )
    return len(rows)


async def delete_entries_of_left_epochs(connection: Connection, limit: int) -> int:
    """Delete up to `limit` entries of epochs that were left: they sort before the present one."""
    rows = await connection.fetch(
        """
        DELETE FROM feed_entries
        WHERE (epoch, number) IN (
            SELECT feed_entries.epoch, number
            FROM feed_entries
            WHERE feed_entries.epoch < (SELECT feed.epoch FROM feed)
            ORDER BY feed_entries.epoch, number
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING number
        """,
        limit,
    )
    return len(rows)
