"""Table signing_keys."""

from datetime import datetime

from service.oauth.signing_key import SigningKey
from service.sql.connection import Connection


async def list_signing_keys(connection: Connection) -> list[SigningKey]:
    """Every key that is not removed, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT kid, purpose, alg, state, public_jwk, wrapped_private_key, wrap_key_id, activates_at,
               created_at AS published_at, retiring_at, hastened_at IS NOT NULL AS hastened
        FROM signing_keys
        WHERE state <> 'removed'
        ORDER BY created_at, kid
        """
    )
    return [SigningKey(**row) for row in rows]


async def insert_signing_key(connection: Connection, key: SigningKey) -> bool:
    """Whether the key was kept: its purpose and algorithm had none in that state. One winner."""
    row = await connection.fetchrow(
        """
        INSERT INTO signing_keys (kid, purpose, alg, state, public_jwk, wrapped_private_key,
                                  wrap_key_id, activates_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING
        RETURNING kid
        """,
        key.kid,
        key.purpose,
        key.alg,
        key.state,
        key.public_jwk,
        key.wrapped_private_key,
        key.wrap_key_id,
        key.activates_at,
    )
    return row is not None


async def lock_signing_keys(connection: Connection) -> None:
    """Lock every key that is not removed: whoever holds them is the only one to plan."""
    await connection.execute(
        "SELECT kid FROM signing_keys WHERE state <> 'removed' ORDER BY kid FOR UPDATE"
    )


async def activate_signing_key(connection: Connection, kid: str, replaced: str | None) -> None:
    """Make a pending key active, from now on if its moment has not come; `replaced` retires."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'retiring', retiring_at = clock_timestamp()
        WHERE kid = $1 AND state = 'active'
        """,
        replaced,
    )
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'active', activates_at = least(activates_at, clock_timestamp())
        WHERE kid = $1 AND state = 'pending'
        """,
        kid,
    )


async def move_activation(connection: Connection, kid: str, at: datetime) -> None:
    """Let a pending key sign from another moment on."""
    await connection.execute(
        "UPDATE signing_keys SET activates_at = $2 WHERE kid = $1 AND state = 'pending'", kid, at
    )


async def hasten_activation(connection: Connection, kid: str) -> None:
    """Let a pending key sign as soon as the verifiers have it."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET hastened_at = coalesce(hastened_at, clock_timestamp())
        WHERE kid = $1 AND state = 'pending'
        """,
        kid,
    )


async def remove_signing_key(connection: Connection, kid: str) -> None:
    """Publish a key no more."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'removed', removed_at = clock_timestamp()
        WHERE kid = $1 AND state IN ('pending', 'retiring')
        """,
        kid,
    )


async def kill_signing_key(connection: Connection, kid: str) -> tuple[str, str, bool] | None:
    """Remove a key for good: its purpose and algorithm, and whether it lived.

    None: there is none of that id.
    """
    row = await connection.fetchrow(
        """
        UPDATE signing_keys
        SET state = 'removed',
            removed_at = coalesce(removed_at, clock_timestamp()),
            killed_at = coalesce(signing_keys.killed_at, clock_timestamp())
        FROM (SELECT kid, killed_at FROM signing_keys WHERE kid = $1 FOR UPDATE) AS before
        WHERE signing_keys.kid = before.kid
        RETURNING purpose, alg, before.killed_at IS NULL AS lived
        """,
        kid,
    )
    return (row["purpose"], row["alg"], row["lived"]) if row else None


async def rewrap_signing_key(
    connection: Connection, kid: str, wrapped_private_key: bytes, wrap_key_id: str
) -> None:
    """Keep a key under another master key."""
    await connection.execute(
        "UPDATE signing_keys SET wrapped_private_key = $2, wrap_key_id = $3 WHERE kid = $1",
        kid,
        wrapped_private_key,
        wrap_key_id,
    )


async def remove_signing_keys(connection: Connection, purpose: str) -> list[str]:
    """Remove and kill every key of the purpose; their key ids."""
    rows = await connection.fetch(
        """
        UPDATE signing_keys
        SET state = 'removed', removed_at = clock_timestamp(), killed_at = clock_timestamp()
        WHERE purpose = $1 AND state <> 'removed'
        RETURNING kid
        """,
        purpose,
    )
    return [row["kid"] for row in rows]


async def restore_death(connection: Connection, kid: str) -> tuple[str, str] | None:
    """Take a key's death back that the database lost: its purpose and algorithm, if it is known."""
    row = await connection.fetchrow(
        """
        UPDATE signing_keys
        SET state = 'removed',
            removed_at = coalesce(removed_at, clock_timestamp()),
            killed_at = coalesce(killed_at, clock_timestamp())
        WHERE kid = $1
        RETURNING purpose, alg
        """,
        kid,
    )
    return (row["purpose"], row["alg"]) if row else None


async def activate_pending_key(connection: Connection, purpose: str, alg: str) -> None:
    """Make the pending key active at once if its purpose and algorithm have no active one."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'active', activates_at = least(activates_at, clock_timestamp())
        WHERE purpose = $1
          AND alg = $2
          AND state = 'pending'
          AND NOT EXISTS (
              SELECT FROM signing_keys WHERE purpose = $1 AND alg = $2 AND state = 'active'
          )
        """,
        purpose,
        alg,
    )


async def is_key_dead(connection: Connection, kid: str) -> bool:
    """Whether the key was removed, or is none of this database's."""
    return await connection.fetchval(
        "SELECT NOT EXISTS (SELECT FROM signing_keys WHERE kid = $1 AND state <> 'removed')", kid
    )


async def find_former_public_jwk(connection: Connection, kid: str, purpose: str) -> str | None:
    """The public half of a key that was removed in its time, and not killed."""
    return await connection.fetchval(
        """
        SELECT public_jwk FROM signing_keys
        WHERE kid = $1 AND purpose = $2 AND state = 'removed' AND killed_at IS NULL
        """,
        kid,
        purpose,
    )


async def is_key_known(connection: Connection, kid: str) -> bool:
    """Whether a key of that id is or ever was this database's."""
    return await connection.fetchval("SELECT EXISTS (SELECT FROM signing_keys WHERE kid = $1)", kid)


async def read_clock(connection: Connection) -> datetime:
    """PostgreSQL's clock: the one for all pods."""
    return await connection.fetchval("SELECT clock_timestamp()")
