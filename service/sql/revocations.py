"""Table revocations: facts, written in the transaction of their cause, numbered later."""

from collections.abc import Sequence

from service.oauth.access_token import AccessToken
from service.oauth.revocation import Fact, Revocation
from service.sql.connection import Connection


async def insert_revocation(connection: Connection, new: Revocation) -> bool:
    """Whether the fact was written; False if it stood already. One winner per fact."""
    row = await connection.fetchrow(
        """
        INSERT INTO revocations (kind, subject, version, client_id, expires_at, reason, actor)
        VALUES ($1, $2, $3, $4, clock_timestamp() + $5::interval, $6, $7)
        ON CONFLICT (kind, subject, version) DO NOTHING
        RETURNING id
        """,
        new.kind,
        new.subject,
        new.version,
        new.client_id,
        new.ttl,
        new.reason,
        new.actor,
    )
    return row is not None


async def restore_revocation(connection: Connection, fact: Fact) -> bool:
    """Whether a fact was taken back that the database lost; False if it stood."""
    row = await connection.fetchrow(
        """
        INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
        VALUES ($1, $2, $3, $4, 'taken back from the feed', 'recovery')
        ON CONFLICT (kind, subject, version) DO NOTHING
        RETURNING id
        """,
        fact.kind,
        fact.subject,
        fact.version,
        fact.expires_at,
    )
    return row is not None


async def count_token_facts(connection: Connection, client_id: str) -> int:
    """Living facts about single tokens of the client."""
    return await connection.fetchval(
        """
        SELECT count(*) FROM revocations
        WHERE client_id = $1 AND kind = 'jti' AND expires_at > clock_timestamp()
        """,
        client_id,
    )


async def are_tokens_live(
    connection: Connection, tokens: Sequence[AccessToken]
) -> Sequence[bool | None]:
    """Whether neither each token nor its client was revoked since it was made, in their order.

    None while the database begins a new life: it may have forgotten the last revocations.
    """
    answers = await connection.fetchval(
        """
        SELECT ARRAY(
                   SELECT EXISTS (
                              SELECT FROM clients
                              WHERE clients.id = asked.client_id
                                AND clients.epoch <= asked.client_epoch
                                AND clients.enabled
                          )
                          AND NOT EXISTS (
                              SELECT FROM revocations
                              WHERE kind = 'jti' AND subject = asked.jti AND version = 0
                          )
                   FROM unnest($1::text[], $2::text[], $3::bigint[])
                        WITH ORDINALITY AS asked (jti, client_id, client_epoch, position)
                   ORDER BY position
               )
        FROM database_life
        """,
        [token.jti for token in tokens],
        [token.client_id for token in tokens],
        [token.client_epoch for token in tokens],
    )
    return [None] * len(tokens) if answers is None else answers


async def list_unnumbered(connection: Connection, limit: int) -> list[tuple[int, Fact]]:
    """Committed facts without a number, with their ids, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT id, kind, subject, version, expires_at
        FROM revocations
        WHERE number IS NULL
        ORDER BY id
        LIMIT $1
        """,
        limit,
    )
    return [
        (row["id"], Fact(row["kind"], row["subject"], row["version"], row["expires_at"]))
        for row in rows
    ]


async def number_revocations(connection: Connection, ids: list[int], numbers: list[int]) -> None:
    """Note which entry carries which fact."""
    await connection.execute(
        """
        UPDATE revocations
        SET number = numbered.number
        FROM unnest($1::bigint[], $2::bigint[]) AS numbered (id, number)
        WHERE revocations.id = numbered.id
        """,
        ids,
        numbers,
    )


async def unnumber_living_facts(connection: Connection) -> None:
    """Make every fact that still matters due again, for a new epoch."""
    await connection.execute(
        """
        UPDATE revocations
        SET number = NULL
        WHERE number IS NOT NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
        """
    )


async def delete_expired_revocations(connection: Connection, limit: int) -> int:
    """Delete up to `limit` facts that no longer matter; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM revocations
        WHERE id IN (
            SELECT id FROM revocations
            WHERE expires_at < clock_timestamp() AND number IS NOT NULL
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id
        """,
        limit,
    )
    return len(rows)
