"""Table signing_keys."""

from datetime import datetime

from service.oauth.signing_key import SigningKey
from service.sql.connection import Connection


async def list_signing_keys(connection: Connection) -> list[SigningKey]:
    """Every key that is not removed, the oldest first."""
    rows = await connection.fetch(
        """
        SELECT kid, purpose, alg, state, public_jwk, wrapped_private_key, wrap_key_id, activates_at
        FROM signing_keys
        WHERE state <> 'removed'
        ORDER BY created_at, kid
        """
    )
    return [SigningKey(**row) for row in rows]


async def insert_signing_key(connection: Connection, key: SigningKey) -> None:
    """Keep the key unless its purpose and algorithm have one in that state. One winner."""
    await connection.execute(
        """
        INSERT INTO signing_keys (kid, purpose, alg, state, public_jwk, wrapped_private_key,
                                  wrap_key_id, activates_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT DO NOTHING
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


async def restore_death(connection: Connection, kid: str) -> None:
    """Take a key's death back that the database lost."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'removed',
            removed_at = coalesce(removed_at, clock_timestamp()),
            killed_at = coalesce(killed_at, clock_timestamp())
        WHERE kid = $1
        """,
        kid,
    )


async def activate_pending_keys(connection: Connection) -> None:
    """Make a pending key active at once where its purpose and algorithm have no active one."""
    await connection.execute(
        """
        UPDATE signing_keys
        SET state = 'active', activates_at = least(activates_at, clock_timestamp())
        WHERE state = 'pending'
          AND NOT EXISTS (
              SELECT FROM signing_keys AS other
              WHERE other.purpose = signing_keys.purpose
                AND other.alg = signing_keys.alg
                AND other.state = 'active'
          )
        """
    )


async def is_key_dead(connection: Connection, kid: str) -> bool:
    """Whether the key was removed, or is none of this database's."""
    return await connection.fetchval(
        "SELECT NOT EXISTS (SELECT FROM signing_keys WHERE kid = $1 AND state <> 'removed')", kid
    )


async def read_clock(connection: Connection) -> datetime:
    """PostgreSQL's clock: the one for all pods."""
    return await connection.fetchval("SELECT clock_timestamp()")
