"""Tables users and clients: who may use /admin, and what an administrator changes of a user."""

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from service.oauth.user import Profile, User
from service.sql.connection import Connection
from service.sql.users import TAKEN, NameTaken, as_user


async def may_administer(connection: Connection, client_id: str, user_id: UUID | None) -> bool:
    """Whether the client is marked and enabled, and its user too where there is one."""
    return await connection.fetchval(
        """
        SELECT EXISTS (SELECT FROM clients WHERE id = $1 AND administrator AND enabled)
               AND (
                   $2::uuid IS NULL
                   OR EXISTS (
                       SELECT FROM users WHERE id = $2 AND administrator AND disabled_at IS NULL
                   )
               )
        """,
        client_id,
        user_id,
    )


async def find_living_user(connection: Connection, user_id: UUID) -> User | None:
    """The user by id, disabled or not; a deleted one is none."""
    row = await connection.fetchrow(
        """
        SELECT id, username, email, full_name, avatar_url, roles, administrator, created_at,
               disabled_at
        FROM users
        WHERE id = $1 AND deleted_at IS NULL
        """,
        user_id,
    )
    return None if row is None else as_user(row)


async def lock_user(connection: Connection, user_id: UUID) -> User | None:
    """The user, its row locked until the transaction ends; a deleted one is none."""
    row = await connection.fetchrow(
        """
        SELECT id, username, email, full_name, avatar_url, roles, administrator, created_at,
               disabled_at
        FROM users
        WHERE id = $1 AND deleted_at IS NULL
        FOR NO KEY UPDATE
        """,
        user_id,
    )
    return None if row is None else as_user(row)


async def update_user(
    connection: Connection,
    user_id: UUID,
    changes: Profile,
    roles: Sequence[str] | None,
    *,
    administrator: bool | None,
) -> User | None:
    """The user with what is not None changed, disabled or not; '' clears the avatar's URL.

    Raises NameTaken.
    """
    try:
        row = await connection.fetchrow(
            """
            UPDATE users
            SET username = coalesce($2, username),
                email = coalesce($3, email),
                full_name = coalesce($4, full_name),
                avatar_url = nullif(coalesce($5, avatar_url), ''),
                roles = coalesce($6, roles),
                administrator = coalesce($7, administrator)
            WHERE id = $1 AND deleted_at IS NULL
            RETURNING id, username, email, full_name, avatar_url, roles, administrator, created_at,
                      disabled_at
            """,
            user_id,
            changes.username,
            changes.email,
            changes.full_name,
            changes.avatar_url,
            roles,
            administrator,
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(TAKEN[str(error.constraint_name)]) from None
    return None if row is None else as_user(row)
