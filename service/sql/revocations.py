"""Table revocations: facts, written in the transaction of their cause, numbered later."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.oauth.access_token import AccessToken
from service.oauth.revocation import Fact, Revocation
from service.sql.connection import Connection


@dataclass(frozen=True, slots=True)
class Unnumbered:
    """A fact that waits for its number. `written_at` None: long ago, so it is signed once more."""

    id: int
    fact: Fact
    written_at: datetime | None


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


async def insert_session_revocations(
    connection: Connection, session_ids: Sequence[UUID], *, ttl: timedelta, reason: str, actor: str
) -> None:
    """Write that the sessions' tokens are void."""
    await connection.execute(
        """
        INSERT INTO revocations (kind, subject, expires_at, reason, actor)
        SELECT 'sid', id::text, clock_timestamp() + $2::interval, $3, $4
        FROM unnest($1::uuid[]) AS id
        ON CONFLICT (kind, subject, version) DO NOTHING
        """,
        session_ids,
        ttl,
        reason,
        actor,
    )


async def insert_stale_revocations(
    connection: Connection, versions: Sequence[tuple[UUID, int]], ttl: timedelta, actor: str
) -> None:
    """Write that the sessions' tokens of a lower version must be refreshed (DIST-7)."""
    await connection.execute(
        """
        INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
        SELECT 'stale', id::text, version, clock_timestamp() + $3::interval, 'claims_changed', $4
        FROM unnest($1::uuid[], $2::bigint[]) AS changed (id, version)
        ON CONFLICT (kind, subject, version) DO NOTHING
        """,
        [id_ for id_, _ in versions],
        [version for _, version in versions],
        ttl,
        actor,
    )


async def restore_revocations(connection: Connection, facts: Sequence[Fact]) -> None:
    """Take back those facts that the database lost and that still matter."""
    await connection.execute(
        """
        INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
        SELECT kind, subject, version, expires_at, 'taken back from the feed', 'recovery'
        FROM unnest($1::text[], $2::text[], $3::bigint[], $4::timestamptz[])
             AS lost (kind, subject, version, expires_at)
        WHERE expires_at IS NULL OR expires_at > clock_timestamp()
        ON CONFLICT (kind, subject, version) DO NOTHING
        """,
        [fact.kind for fact in facts],
        [fact.subject for fact in facts],
        [fact.version for fact in facts],
        [fact.expires_at for fact in facts],
    )


async def find_newest_numbered(connection: Connection) -> datetime | None:
    """When the newest of the facts was written that have a number."""
    return await connection.fetchval(
        "SELECT created_at FROM revocations WHERE number IS NOT NULL ORDER BY id DESC LIMIT 1"
    )


async def list_killed_kids(connection: Connection) -> list[str]:
    """Every signing key ever killed."""
    rows = await connection.fetch("SELECT subject FROM revocations WHERE kind = 'kid'")
    return [row["subject"] for row in rows]


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
    """Whether neither each token nor its session or client was revoked since, in their order.

    A session's token is not live either when what it says has changed (`stale`).

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
                          AND (
                              asked.session_id IS NULL
                              OR EXISTS (
                                  SELECT FROM sessions
                                  WHERE sessions.id = asked.session_id
                                    AND sessions.revoked_at IS NULL
                                    AND sessions.claims_version <= asked.claims_version
                              )
                          )
                   FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::bigint[])
                        WITH ORDINALITY AS asked (jti, client_id, client_epoch, session_id,
                                                  claims_version, position)
                   ORDER BY position
               )
        FROM database_life
        WHERE system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND table_oid = 'database_life'::regclass::oid
        """,
        [token.jti for token in tokens],
        [token.client_id for token in tokens],
        [token.client_epoch for token in tokens],
        [token.session_id for token in tokens],
        [token.claims_version for token in tokens],
    )
    return [None] * len(tokens) if answers is None else answers


async def list_unnumbered(connection: Connection, limit: int) -> list[Unnumbered]:
    """Committed facts without a number, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT id, kind, subject, version, expires_at,
               CASE WHEN created_at > clock_timestamp() - interval '1 minute' THEN created_at END
                   AS written_at
        FROM revocations
        WHERE number IS NULL
        ORDER BY id
        LIMIT $1
        """,
        limit,
    )
    return [
        Unnumbered(
            row["id"],
            Fact(row["kind"], row["subject"], row["version"], row["expires_at"]),
            row["written_at"],
        )
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


async def unnumber_living_facts(connection: Connection, after: int, limit: int) -> int | None:
    """Make up to `limit` facts that still matter due again, for a new epoch.

    They are those with the smallest ids above `after`; the greatest of these ids, None when there
    was none left.
    """
    return await connection.fetchval(
        """
        WITH unnumbered AS (
            UPDATE revocations
            SET number = NULL
            WHERE id IN (
                SELECT id FROM revocations
                WHERE id > $1
                  AND number IS NOT NULL
                  AND (expires_at IS NULL OR expires_at > clock_timestamp())
                ORDER BY id
                LIMIT $2
            )
            RETURNING id
        )
        SELECT max(id) FROM unnumbered
        """,
        after,
        limit,
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
