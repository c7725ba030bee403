"""Table authorization_codes: used once each. AC-5 to AC-8."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.sql.connection import Connection
from service.sql.rows import members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCode:
    """A code to be, and all that it is bound to (AC-6)."""

    digest: bytes
    client_id: str
    user_id: UUID
    credential_version: int
    sign_on_id: UUID
    redirect_uri: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    nonce: str | None
    code_challenge: str | None
    auth_time: datetime
    amr: tuple[str, ...]
    device: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredCode:
    """A code as the database has it. `living`: neither spent, expired, burned nor from before."""

    client_id: str
    user_id: UUID
    credential_version: int
    sign_on_id: UUID
    redirect_uri: str
    scopes: tuple[str, ...]
    audiences: tuple[str, ...]
    nonce: str | None
    code_challenge: str | None
    auth_time: datetime
    amr: tuple[str, ...]
    device: str | None
    spent_at: datetime | None
    session_id: UUID | None
    living: bool


async def insert_code(connection: Connection, new: NewCode, ttl: timedelta) -> bool:
    """Whether the code was kept; False where user or client changed, or the database recovers."""
    row = await connection.fetchrow(
        """
        INSERT INTO authorization_codes (digest, client_id, user_id, credential_version, sign_on_id,
                                         incarnation, redirect_uri, scopes, audiences, nonce,
                                         code_challenge, auth_time, amr, device, expires_at)
        SELECT $1, clients.id, users.id, users.credential_version, sign_ons.id, database_life.id,
               $6, $7, $8, $9, $10, $11, $12, $13, clock_timestamp() + $14::interval
        FROM users, clients, database_life, sign_ons
        WHERE users.id = $3
          AND users.credential_version = $4
          AND users.disabled_at IS NULL
          AND clients.id = $2
          AND clients.enabled
          AND sign_ons.id = $5
          AND sign_ons.ended_at IS NULL
          AND database_life.system_identifier = (SELECT system_identifier FROM pg_control_system())
          AND database_life.table_oid = 'database_life'::regclass::oid
        RETURNING digest
        """,
        new.digest,
        new.client_id,
        new.user_id,
        new.credential_version,
        new.sign_on_id,
        new.redirect_uri,
        new.scopes,
        new.audiences,
        new.nonce,
        new.code_challenge,
        new.auth_time,
        new.amr,
        new.device,
        ttl,
    )
    return row is not None


async def find_code(connection: Connection, digest: bytes) -> StoredCode | None:
    """The code, spent or not; one from before a loss of writes does not live (DESIGN §4)."""
    row = await connection.fetchrow(
        """
        SELECT client_id, user_id, credential_version, sign_on_id, redirect_uri, scopes, audiences,
               nonce, code_challenge, auth_time, amr, device, spent_at, session_id,
               spent_at IS NULL
                   AND expires_at > clock_timestamp()
                   AND failures < 5
                   AND incarnation IN (SELECT id FROM database_life) AS living
        FROM authorization_codes
        WHERE digest = $1
        """,
        digest,
    )
    return None if row is None else StoredCode(**members_of(row))


async def spend_code(connection: Connection, digest: bytes, session_id: UUID) -> bool:
    """Whether the code is spent by this, on that session. One winner (AC-7)."""
    row = await connection.fetchrow(
        """
        UPDATE authorization_codes
        SET spent_at = clock_timestamp(), session_id = $2
        WHERE digest = $1
          AND spent_at IS NULL
          AND expires_at > clock_timestamp()
          AND failures < 5
          AND incarnation IN (SELECT id FROM database_life)
        RETURNING digest
        """,
        digest,
        session_id,
    )
    return row is not None


async def note_failure(connection: Connection, digest: bytes) -> None:
    """Count a redemption that failed; after five the code is burned (AC-8)."""
    await connection.execute(
        """
        UPDATE authorization_codes
        SET failures = failures + 1
        WHERE digest = $1 AND spent_at IS NULL AND failures < 5
        """,
        digest,
    )


async def expire_codes(connection: Connection, user_id: UUID, client_id: str) -> None:
    """Let the client's codes for this user be over, whichever is not spent.

    Waits for a redemption under way: its session is there to be ended in the same transaction.
    """
    await connection.execute(
        """
        UPDATE authorization_codes
        SET expires_at = clock_timestamp()
        WHERE user_id = $1
          AND client_id = $2
          AND spent_at IS NULL
          AND expires_at > clock_timestamp()
        """,
        user_id,
        client_id,
    )


async def delete_old_codes(connection: Connection, limit: int) -> int:
    """Delete up to `limit` codes that expired a day ago; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM authorization_codes
        WHERE digest IN (
            SELECT digest FROM authorization_codes
            WHERE expires_at < clock_timestamp() - interval '1 day'
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING digest
        """,
        limit,
    )
    return len(rows)
