"""Table sign_ons: browsers that are signed on."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from service.oauth.sign_on import SignOn
from service.sql.connection import Connection
from service.sql.rows import members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSignOn:
    """A sign-on to be. `credential_version` is the user's as read with the password's hash."""

    id: UUID
    user_id: UUID
    credential_version: int
    secret_digest: bytes
    amr: tuple[str, ...]
    device: str | None
    idle_ttl: timedelta
    absolute_ttl: timedelta


async def insert_sign_on(connection: Connection, new: NewSignOn) -> bool:
    """Whether the sign-on began; False unless the user still has that credential version.

    An id that is there already is that of the same user, who proved the password again: it goes on
    under the new secret, and the one before is dead (LOGIN-2).
    """
    row = await connection.fetchrow(
        """
        INSERT INTO sign_ons (id, user_id, secret_digest, credential_version, amr, device,
                              idle_expires_at, expires_at)
        SELECT $1, users.id, $4, users.credential_version, $5, $6,
               clock_timestamp() + least($7::interval, $8::interval),
               clock_timestamp() + $8::interval
        FROM users
        WHERE users.id = $2
          AND users.credential_version = $3
          AND users.disabled_at IS NULL
        FOR NO KEY UPDATE OF users
        ON CONFLICT (id) DO UPDATE
        SET secret_digest = excluded.secret_digest,
            credential_version = excluded.credential_version,
            auth_time = clock_timestamp(),
            amr = excluded.amr,
            device = excluded.device,
            last_used_at = clock_timestamp(),
            idle_expires_at = excluded.idle_expires_at,
            expires_at = excluded.expires_at
        WHERE sign_ons.user_id = excluded.user_id AND sign_ons.ended_at IS NULL
        RETURNING id
        """,
        new.id,
        new.user_id,
        new.credential_version,
        new.secret_digest,
        new.amr,
        new.device,
        new.idle_ttl,
        new.absolute_ttl,
    )
    return row is not None


async def find_sign_on(
    connection: Connection, sign_on_id: UUID, client_id: str | None
) -> SignOn | None:
    """The living sign-on with its user, and what that one has allowed the client."""
    row = await connection.fetchrow(
        """
        SELECT sign_ons.id, sign_ons.user_id, secret_digest, sign_ons.credential_version, auth_time,
               amr, idle_expires_at, expires_at, coalesce(username, email, '') AS username,
               coalesce(email, '') AS email, coalesce(full_name, username, email, '') AS full_name,
               clock_timestamp() AS now, consents.scopes AS consented
        FROM sign_ons
        JOIN users ON users.id = sign_ons.user_id
        LEFT JOIN consents ON consents.user_id = users.id AND consents.client_id = $2
        WHERE sign_ons.id = $1
          AND ended_at IS NULL
          AND idle_expires_at > clock_timestamp()
          AND expires_at > clock_timestamp()
          AND users.credential_version = sign_ons.credential_version
          AND users.disabled_at IS NULL
        """,
        sign_on_id,
        client_id,
    )
    return None if row is None else SignOn(**members_of(row))


async def is_signed_on(connection: Connection, sign_on_id: UUID) -> bool:
    """Whether nobody signed off, and that nobody does before the transaction ends."""
    return bool(
        await connection.fetchval(
            "SELECT ended_at IS NULL FROM sign_ons WHERE id = $1 FOR SHARE", sign_on_id
        )
    )


async def touch_sign_on(connection: Connection, sign_on_id: UUID, idle_ttl: timedelta) -> None:
    """Note that the sign-on was used: its idle time begins anew.

    Unless its row is locked at this moment: the next use notes it, and none waits for that.
    """
    await connection.execute(
        """
        UPDATE sign_ons
        SET last_used_at = clock_timestamp(),
            idle_expires_at = least(clock_timestamp() + $2::interval, expires_at)
        WHERE id IN (
            SELECT id FROM sign_ons
            WHERE id = $1 AND ended_at IS NULL
            FOR NO KEY UPDATE SKIP LOCKED
        )
        """,
        sign_on_id,
        idle_ttl,
    )


async def renew_credential_version(
    connection: Connection, sign_on_id: UUID, credential_version: int, secret_digest: bytes
) -> None:
    """Let the sign-on that changed the password go on, under another secret (LOGIN-2)."""
    await connection.execute(
        """
        UPDATE sign_ons
        SET credential_version = $2, secret_digest = $3
        WHERE id = $1 AND credential_version = $2 - 1 AND ended_at IS NULL
        """,
        sign_on_id,
        credential_version,
        secret_digest,
    )


async def end_sign_on(connection: Connection, sign_on_id: UUID, reason: str) -> UUID | None:
    """The user of the sign-on that ended; None if there was no such living one."""
    return await connection.fetchval(
        """
        UPDATE sign_ons
        SET ended_at = clock_timestamp(), ended_reason = $2
        WHERE id = $1 AND ended_at IS NULL
        RETURNING user_id
        """,
        sign_on_id,
        reason,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSignOn:
    """A sign-on as its user sees it; it lives unless `ended_at`."""

    id: UUID
    device: str | None
    created_at: datetime
    last_used_at: datetime
    ended_at: datetime | None
    ended_because: str | None


async def list_sign_ons_of_user(
    connection: Connection, user_id: UUID, limit: int
) -> list[ShownSignOn]:
    """The user's sign-ons, living ones first, each kind by last use."""
    rows = await connection.fetch(
        """
        SELECT sign_ons.id, device, sign_ons.created_at, last_used_at,
               CASE
                   WHEN ended_at IS NOT NULL THEN ended_at
                   WHEN idle_expires_at <= clock_timestamp() THEN idle_expires_at
                   WHEN users.credential_version <> sign_ons.credential_version THEN last_used_at
               END AS ended_at,
               CASE
                   WHEN ended_at IS NOT NULL THEN ended_reason
                   WHEN idle_expires_at <= clock_timestamp()
                       THEN CASE idle_expires_at WHEN expires_at THEN 'expired' ELSE 'not_used' END
                   WHEN users.credential_version <> sign_ons.credential_version
                       THEN 'logged_out_everywhere'
               END AS ended_because
        FROM sign_ons
        JOIN users ON users.id = sign_ons.user_id
        WHERE sign_ons.user_id = $1
        ORDER BY ended_at IS NOT NULL
                     OR idle_expires_at <= clock_timestamp()
                     OR users.credential_version <> sign_ons.credential_version,
                 last_used_at DESC,
                 sign_ons.id
        LIMIT $2
        """,
        user_id,
        limit,
    )
    return [ShownSignOn(**row) for row in rows]


async def find_user_of_sign_on(connection: Connection, sign_on_id: UUID) -> UUID | None:
    """Whose sign-on it is."""
    return await connection.fetchval("SELECT user_id FROM sign_ons WHERE id = $1", sign_on_id)


async def delete_old_sign_ons(connection: Connection, limit: int) -> int:
    """Delete up to `limit` sign-ons that expired 30 days ago; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM sign_ons
        WHERE id IN (
            SELECT id FROM sign_ons
            WHERE expires_at < clock_timestamp() - interval '30 days'
            LIMIT $1
            FOR UPDATE SKIP LOCKED
        )
        RETURNING id
        """,
        limit,
    )
    return len(rows)


async def delete_sign_ons_of_user(connection: Connection, user_id: UUID, limit: int) -> int:
    """Delete up to `limit` sign-ons of a user who is erased; how many there were."""
    rows = await connection.fetch(
        """
        DELETE FROM sign_ons
        WHERE id IN (SELECT id FROM sign_ons WHERE user_id = $1 ORDER BY id LIMIT $2 FOR UPDATE)
        RETURNING id
        """,
        user_id,
        limit,
    )
    return len(rows)
