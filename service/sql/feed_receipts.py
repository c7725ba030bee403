"""Table feed_receipts: how far each verifier has followed the feed."""

from collections.abc import Sequence
from datetime import timedelta

from service.oauth.receipt import KnownVerifier, Receipt
from service.sql.connection import Connection


async def upsert_receipts(
    connection: Connection, receipts: Sequence[Receipt], max_names: int
) -> tuple[set[tuple[str, str]], list[float]]:
    """Note receipts; clients and names of the verifiers that are known now, and the lags.

    One that is behind what stands there came late and changes nothing. A client has at most about
    `max_names`. A lag, in seconds, is there for each verifier that went on: the time since the
    oldest fact of the reported entry was written. Rows are locked in the order of their keys, so
    pods do not wait for each other in a circle.
    """
    row = await connection.fetchrow(
        """
        WITH reported AS (
            SELECT client_id, name, epoch, number, string_to_array(kids, ' ') AS kids
            FROM unnest($1::text[], $2::text[], $3::uuid[], $4::bigint[], $5::text[])
                 AS reported (client_id, name, epoch, number, kids)
        ), before AS (
            SELECT feed_receipts.client_id, feed_receipts.name,
                   feed_receipts.epoch, feed_receipts.number
            FROM feed_receipts
            JOIN reported USING (client_id, name)
        ), noted AS (
            INSERT INTO feed_receipts AS known (client_id, name, epoch, number, kids)
            SELECT client_id, name, epoch, number, kids
            FROM reported
            WHERE EXISTS (
                      SELECT FROM before
                      WHERE before.client_id = reported.client_id AND before.name = reported.name
                  )
               OR (
                      SELECT count(*) FROM feed_receipts
                      WHERE feed_receipts.client_id = reported.client_id
                  ) < $6
            ORDER BY client_id, name
            ON CONFLICT (client_id, name) DO UPDATE
            SET epoch = excluded.epoch, number = excluded.number, kids = excluded.kids,
                reported_at = clock_timestamp()
            WHERE (known.epoch, known.number) <= (excluded.epoch, excluded.number)
            RETURNING client_id, name, epoch, number
        )
        SELECT ARRAY(SELECT client_id FROM noted UNION ALL SELECT client_id FROM before) AS clients,
               ARRAY(SELECT name FROM noted UNION ALL SELECT name FROM before) AS names,
               ARRAY(
                   SELECT EXTRACT(EPOCH FROM clock_timestamp() - feed_entries.written_at)::float8
                   FROM noted
                   JOIN before USING (client_id, name)
                   JOIN feed_entries ON feed_entries.epoch = noted.epoch
                                    AND feed_entries.number = noted.number
                   WHERE (before.epoch, before.number) < (noted.epoch, noted.number)
                     AND feed_entries.written_at IS NOT NULL
               ) AS lags
        """,
        [receipt.client_id for receipt in receipts],
        [receipt.name for receipt in receipts],
        [receipt.epoch for receipt in receipts],
        [receipt.number for receipt in receipts],
        [" ".join(receipt.kids) for receipt in receipts],
        max_names,
    )
    if row is None:
        raise AssertionError("a SELECT without FROM gives a row")
    return set(zip(row["clients"], row["names"], strict=True)), list(row["lags"])


async def list_verifiers(connection: Connection, ttl: timedelta) -> list[KnownVerifier]:
    """Every verifier that reported within the time."""
    rows = await connection.fetch(
        """
        SELECT client_id, name, epoch, number, kids, clock_timestamp() - reported_at AS age
        FROM feed_receipts
        WHERE reported_at > clock_timestamp() - $1::interval
        ORDER BY client_id, name
        """,
        ttl,
    )
    return [
        KnownVerifier(
            client_id=row["client_id"],
            name=row["name"],
            epoch=row["epoch"],
            number=row["number"],
            kids=tuple(row["kids"]),
            age=row["age"],
        )
        for row in rows
    ]


async def find_due_number(connection: Connection, age: timedelta) -> int:
    """The newest number of the present epoch that is older than `age`; 0 if there is none.

    What is below it should have been seen by every verifier.
    """
    number = await connection.fetchval(
        """
        SELECT number
        FROM feed_entries
        WHERE epoch = (SELECT epoch FROM feed)
          AND (written_at IS NULL OR written_at < clock_timestamp() - $1::interval)
        ORDER BY number DESC
        LIMIT 1
        """,
        age,
    )
    return number or 0


async def delete_receipt(connection: Connection, client_id: str, name: str) -> None:
    """Forget a verifier that said goodbye."""
    await connection.execute(
        "DELETE FROM feed_receipts WHERE client_id = $1 AND name = $2", client_id, name
    )


async def delete_lapsed_receipts(connection: Connection, ttl: timedelta) -> int:
    """Forget verifiers that have not reported within the time; how many."""
    rows = await connection.fetch(
        """
        DELETE FROM feed_receipts
        WHERE reported_at < clock_timestamp() - $1::interval
        RETURNING name
        """,
        ttl,
    )
    return len(rows)
