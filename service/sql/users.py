"""Table users."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg

from service.oauth.user import KnownUser, Profile, User
from service.sql.connection import Connection


class NameTaken(Exception):
    """Another user has that username or e-mail address; `member` says which."""

    def __init__(self, member: str) -> None:
        super().__init__(f"that {member} is taken")
        self.member = member


# By the index that refused it.
TAKEN = {"users_username_idx": "username", "users_email_idx": "email"}


async def insert_user(
    connection: Connection,
    user_id: UUID,
    profile: Profile,
    password_hash: str,
    roles: Sequence[str] = (),
    *,
    administrator: bool = False,
) -> User:
    """The new user. Raises NameTaken: one winner per username and per e-mail, whatever the case."""
    try:
        row = await connection.fetchrow(
            """
            INSERT INTO users (id, username, email, full_name, avatar_url, password_hash, roles,
                               administrator)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            RETURNING id, username, email, full_name, avatar_url, roles, administrator, created_at,
                      disabled_at
            """,
            user_id,
            profile.username,
            profile.email,
            profile.full_name,
            profile.avatar_url,
            password_hash,
            roles,
            administrator,
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(TAKEN[str(error.constraint_name)]) from None
    if row is None:
        raise AssertionError(f"users: no row for {user_id}")
    return as_user(row)


async def find_known_user(connection: Connection, name: str) -> KnownUser | None:
    """The user whose username or e-mail address that is, whatever its case, for a login."""
    row = await connection.fetchrow(
        """
        SELECT id, password_hash, credential_version, disabled_at IS NOT NULL AS disabled,
               username, email, full_name
        FROM users
        WHERE lower(username) = lower($1) OR lower(email) = lower($1)
        """,
        name,
    )
    return None if row is None else KnownUser(**row)


async def get_known_user(connection: Connection, user_id: UUID) -> KnownUser | None:
    """The user by id, for a change that asks for the password."""
    row = await connection.fetchrow(
        """
        SELECT id, password_hash, credential_version, disabled_at IS NOT NULL AS disabled,
               username, email, full_name
        FROM users
        WHERE id = $1
        """,
        user_id,
    )
    return None if row is None else KnownUser(**row)


async def find_user(connection: Connection, user_id: UUID) -> User | None:
    """The user by id."""
    row = await connection.fetchrow(
        """
        SELECT id, username, email, full_name, avatar_url, roles, administrator, created_at,
               disabled_at
        FROM users
        WHERE id = $1
        """,
        user_id,
    )
    return None if row is None else as_user(row)


async def list_users(connection: Connection) -> list[User]:
    """All users but the deleted, by username."""
    rows = await connection.fetch(
        """
        SELECT id, username, email, full_name, avatar_url, roles, administrator, created_at,
               disabled_at
        FROM users
        WHERE deleted_at IS NULL
        ORDER BY lower(username), id
        """
    )
    return [as_user(row) for row in rows]


async def wait_longer(connection: Connection) -> None:
    """Let the transaction wait for the user's row while logins of that user come and go."""
    await connection.execute("SET LOCAL lock_timeout = '1200ms'")


async def list_deleted_users(connection: Connection) -> list[UUID]:
    """Users that were deleted in the last days."""
    rows = await connection.fetch(
        "SELECT id FROM users WHERE deleted_at > clock_timestamp() - interval '3 days'"
    )
    return [row["id"] for row in rows]


async def update_profile(
    connection: Connection, user_id: UUID, changes: Profile, version: int | None
) -> User | None:
    """The user with the members changed that are not None; '' clears the avatar's URL.

    None when it is disabled, or its credential version no longer is `version`, under which the
    password was proven (None: none was). The row stays locked until the transaction ends. Raises
    NameTaken.
    """
    try:
        row = await connection.fetchrow(
            """
            UPDATE users
            SET username = coalesce($2, username),
                email = coalesce($3, email),
                full_name = coalesce($4, full_name),
                avatar_url = nullif(coalesce($5, avatar_url), '')
            WHERE id = $1
              AND disabled_at IS NULL
              AND credential_version = coalesce($6, credential_version)
            RETURNING id, username, email, full_name, avatar_url, roles, administrator, created_at,
                      disabled_at
            """,
            user_id,
            changes.username,
            changes.email,
            changes.full_name,
            changes.avatar_url,
            version,
        )
    except asyncpg.UniqueViolationError as error:
        raise NameTaken(TAKEN[str(error.constraint_name)]) from None
    return None if row is None else as_user(row)


async def update_roles(connection: Connection, user_id: UUID, roles: Sequence[str]) -> bool:
    """Whether there is such a user, its row locked and its roles these."""
    row = await connection.fetchrow(
        """
        UPDATE users
        SET roles = $2
        WHERE id = $1 AND deleted_at IS NULL
        RETURNING id
        """,
        user_id,
        roles,
    )
    return row is not None


async def update_password(
    connection: Connection, user_id: UUID, password_hash: str, *, version: int | None
) -> bool:
    """Whether the password was changed: only from the credential version that was proven.

    `version` None: whatever it is, for an operator. The version rises, so that no login with the
    password before can begin a session any more; the row stays locked.
    """
    row = await connection.fetchrow(
        """
        UPDATE users
        SET password_hash = $2, credential_version = credential_version + 1
        WHERE id = $1
          AND deleted_at IS NULL
          AND credential_version = coalesce($3, credential_version)
        RETURNING id
        """,
        user_id,
        password_hash,
        version,
    )
    return row is not None


async def rehash_password(connection: Connection, user_id: UUID, old: str, new: str) -> None:
    """Put a newer hash of the same password in the old one's place, if it still is there (PW-5)."""
    await connection.execute(
        "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2",
        user_id,
        old,
        new,
    )


async def raise_credential_version(connection: Connection, user_id: UUID) -> bool:
    """Whether there is such a user, its row locked: no login that is under way begins a session."""
    row = await connection.fetchrow(
        """
        UPDATE users
        SET credential_version = credential_version + 1
        WHERE id = $1
        RETURNING id
        """,
        user_id,
    )
    return row is not None


async def disable_user(connection: Connection, user_id: UUID) -> bool:
    """Whether there is such a user, its row locked, disabled from here on."""
    row = await connection.fetchrow(
        """
        UPDATE users
        SET disabled_at = coalesce(disabled_at, clock_timestamp()),
            credential_version = credential_version + 1
        WHERE id = $1 AND deleted_at IS NULL
        RETURNING id
        """,
        user_id,
    )
    return row is not None


async def enable_user(connection: Connection, user_id: UUID) -> bool:
    """Whether there is such a user, enabled from here on."""
    row = await connection.fetchrow(
        "UPDATE users SET disabled_at = NULL WHERE id = $1 AND deleted_at IS NULL RETURNING id",
        user_id,
    )
    return row is not None


async def erase_user(connection: Connection, user_id: UUID) -> bool:
    """Whether there is such a user, its row locked and all that is personal in it erased.

    The id stays: it is the `sub` of tokens, and is never given to anybody else.
    """
    row = await connection.fetchrow(
        """
        UPDATE users
        SET username = NULL,
            email = NULL,
            full_name = NULL,
            avatar_url = NULL,
            password_hash = NULL,
            roles = '{}',
            administrator = false,
            credential_version = credential_version + 1,
            disabled_at = coalesce(disabled_at, clock_timestamp()),
            deleted_at = clock_timestamp()
        WHERE id = $1 AND deleted_at IS NULL
        RETURNING id
        """,
        user_id,
    )
    return row is not None


def as_user(row: Any) -> User:
    """A row with the columns of a User as one."""
    members: dict[str, Any] = dict(row)
    members["roles"] = tuple(members["roles"])
    return User(**members)
