"""Users as an administrator makes and changes them, and who is one."""

from dataclasses import replace
from uuid import UUID

from service.flows.manage_users import (
    UnknownUser,
    audit,
    check_profile,
    create_user,
    make_stale,
    set_password,
)
from service.flows.origin import Origin
from service.flows.own_account import check_new_password
from service.hashing import PasswordHasher
from service.oauth.user import Amendment, User
from service.sql.administrators import find_living_user, lock_user, may_administer, update_user
from service.sql.connection import Connection, Database
from service.sql.users import wait_longer


async def is_administrator(database: Database, client_id: str, user_id: UUID | None) -> bool:
    """Whether the client, and its user where there is one, may use /admin at this moment."""
    async with database.connection() as connection:
        return await may_administer(connection, client_id, user_id)


async def get_living_user(database: Database, user_id: UUID) -> User:
    """The user, disabled or not. Raises UnknownUser, also for a deleted one."""
    async with database.connection() as connection:
        user = await find_living_user(connection, user_id)
    if user is None:
        raise UnknownUser(user_id)
    return user


async def admit_user(
    database: Database,
    passwords: PasswordHasher,
    members: Amendment,
    password: str,
    origin: Origin,
) -> User:
    """A new user, its password by the rules of a registration.

    Raises InvalidRequest, UserRefused, NameTaken, HashingBusy.
    """
    profile, roles = members.profile, members.roles or ()
    check_profile(profile, roles)
    about = (profile.username, profile.email, profile.full_name)
    password_hash = await passwords.hash(check_new_password(password, "password", about))
    return await create_user(
        database,
        profile,
        password_hash,
        origin,
        roles=roles,
        administrator=bool(members.administrator),
    )


async def give_password(
    database: Database, passwords: PasswordHasher, user_id: UUID, password: str, origin: Origin
) -> int:
    """Give the user another password, and end every session; how many.

    Raises UnknownUser, InvalidRequest, HashingBusy.
    """
    user = await get_living_user(database, user_id)
    about = (user.username, user.email, user.full_name)
    password_hash = await passwords.hash(check_new_password(password, "password", about))
    return await set_password(database, user_id, password_hash, origin)


async def set_administrator(database: Database, user_id: UUID, origin: Origin, *, on: bool) -> None:
    """Let the user use /admin, or not any more: at once; no session ends. Raises UserRefused."""
    await amend_user(database, user_id, Amendment(administrator=on), origin)


async def amend_user(database: Database, user_id: UUID, changes: Amendment, origin: Origin) -> User:
    """The user with what is named changed, disabled or not; tokens follow at the next refresh.

    Raises UserRefused, NameTaken.
    """
    url = changes.profile.avatar_url or None  # '' clears it
    check_profile(replace(changes.profile, avatar_url=url), changes.roles or ())
    async with database.transaction() as connection:
        await wait_longer(connection)
        before = await lock_user(connection, user_id)
        user = await update_user(
            connection,
            user_id,
            changes.profile,
            changes.roles,
            administrator=changes.administrator,
        )
        if before is not None and user is not None:
            await _note_changes(connection, before, user, origin)
            if (user.email, user.roles) != (before.email, before.roles):
                await make_stale(connection, user_id, user.roles, origin)
    if user is None:
        raise UnknownUser(user_id)
    return user


async def _note_changes(connection: Connection, before: User, user: User, origin: Origin) -> None:
    if user.roles != before.roles:
        await audit(connection, "roles_changed", user.id, origin, roles=user.roles)
    if user.administrator != before.administrator:
        on = user.administrator
        await audit(connection, "administrator_changed", user.id, origin, on=on)
    if replace(user, roles=before.roles, administrator=before.administrator) != before:
        await audit(connection, "profile_changed", user.id, origin)
