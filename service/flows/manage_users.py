"""Users as an operator manages them: create, disable, enable, set password and roles, delete.

What ends sessions begins with the user's row: a login under way waits for it, and then finds that
the credential version is another one.
"""

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

from service.flows.end_sessions import end_all_sessions
from service.flows.origin import Origin
from service.oauth.revocation import FACT_TTL
from service.oauth.user import Profile, User, roles_fault
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.audit_events import forget_person, insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.consents import delete_consents_of_user
from service.sql.revocations import insert_stale_revocations
from service.sql.session_ends import forget_devices, raise_claims_versions
from service.sql.sign_ons import delete_sign_ons_of_user
from service.sql.users import (
    disable_user,
    enable_user,
    erase_user,
    insert_user,
    raise_credential_version,
    update_password,
    update_roles,
    wait_longer,
)

_BATCH = 500


class UserRefused(Exception):
    """The change can't be made; the text says why, one fault a line."""


class UnknownUser(UserRefused):
    """There is no such user."""

    def __init__(self, user_id: UUID) -> None:
        super().__init__(f"there is no user {user_id}")


async def create_user(
    database: Database,
    profile: Profile,
    password_hash: str,
    origin: Origin,
    *,
    roles: tuple[str, ...] = (),
    administrator: bool = False,
) -> User:
    """The new user. Raises UserRefused for what it can't be called, NameTaken."""
    check_profile(profile, roles)
    user_id = uuid7(int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES))
    async with database.transaction() as connection:
        user = await insert_user(
            connection, user_id, profile, password_hash, roles, administrator=administrator
        )
        await audit(connection, "user_created", user_id, origin)
        if administrator:
            await audit(connection, "administrator_changed", user_id, origin, on=True)
    return user


def check_profile(profile: Profile, roles: tuple[str, ...]) -> None:
    """Raise UserRefused for what a user can't be called, and for what no role can be."""
    faults = [f"{member}: {fault}" for member, fault in profile.faults().items()]
    if fault := roles_fault(roles):
        faults.append(f"roles: {fault}")
    if faults:
        raise UserRefused("\n".join(faults))


async def disable(database: Database, user_id: UUID, origin: Origin) -> int:
    """Refuse the user from here on, and end every session; how many. Raises UserRefused."""
    return await _ending(database, user_id, "user_disabled", origin, disable_user)


async def delete(database: Database, user_id: UUID, origin: Origin) -> int:
    """Erase what is personal, keep the id, end every session; how many. Raises UserRefused."""
    ended = await _ending(database, user_id, "user_deleted", origin, erase_user)
    await forget(database, user_id)
    return ended


async def forget(database: Database, user_id: UUID) -> None:
    """Erase where a deleted user was seen: in batches, since a history may be long."""
    erasures = (forget_devices, forget_person, delete_sign_ons_of_user, delete_consents_of_user)
    for erase in erasures:
        erased = _BATCH
        while erased == _BATCH:
            async with database.connection() as connection:
                erased = await erase(connection, user_id, _BATCH)


async def end_everywhere(database: Database, user_id: UUID, reason: str, origin: Origin) -> int:
    """End every session of the user and every login under way; how many. Raises UserRefused."""
    return await _ending(
        database, user_id, reason, origin, raise_credential_version, event="sessions_ended"
    )


async def set_password(
    database: Database, user_id: UUID, password_hash: str, origin: Origin
) -> int:
    """Give the user another password, and end every session; how many. Raises UserRefused."""

    async def change(connection: Connection, user_id: UUID) -> bool:
        return await update_password(connection, user_id, password_hash, version=None)

    return await _ending(database, user_id, "password_changed", origin, change)


async def change_password(
    database: Database,
    user_id: UUID,
    password_hash: str,
    origin: Origin,
    *,
    version: int,
    spared: UUID,
) -> int | None:
    """Change a password that was proven, and end every session but `spared`; how many.

    None when it was changed meanwhile: `version` no longer is the user's credential version.
    """
    async with database.transaction() as connection:
        await wait_longer(connection)
        if not await update_password(connection, user_id, password_hash, version=version):
            return None
        reason = "password_changed"
        count = await end_all_sessions(connection, user_id, reason, origin, spared=spared)
        await audit(connection, reason, user_id, origin, reason=reason, sessions=count)
    return count


async def enable(database: Database, user_id: UUID, origin: Origin) -> None:
    """Let a disabled user log in again; sessions from before stay ended. Raises UserRefused."""
    async with database.transaction() as connection:
        enabled = await enable_user(connection, user_id)
        if enabled:
            await audit(connection, "user_enabled", user_id, origin)
    if not enabled:
        raise UnknownUser(user_id)


async def set_roles(
    database: Database, user_id: UUID, roles: tuple[str, ...], origin: Origin
) -> int:
    """Change what the user's tokens say; how many sessions need a refresh. Raises UserRefused."""
    if fault := roles_fault(roles):
        raise UserRefused(fault)
    async with database.transaction() as connection:
        await wait_longer(connection)
        changed = await update_roles(connection, user_id, roles)
        count = await make_stale(connection, user_id, roles, origin) if changed else 0
        if changed:
            await audit(connection, "roles_changed", user_id, origin, roles=roles)
    if not changed:
        raise UnknownUser(user_id)
    return count


async def make_stale(
    connection: Connection, user_id: UUID, roles: tuple[str, ...], origin: Origin
) -> int:
    """Ask for a refresh of every token of the user (DIST-7); how many sessions there are.

    In a transaction that wrote the user's row.
    """
    versions = await raise_claims_versions(connection, user_id, roles)
    await insert_stale_revocations(connection, versions, FACT_TTL, origin.actor)
    return len(versions)


async def audit(
    connection: Connection, event: str, user_id: UUID, origin: Origin, **detail: Any
) -> None:
    """Write a deed about a user down."""
    await insert_audit_event(
        connection,
        event,
        user_id=user_id,
        address=origin.address,
        request_id=origin.request_id,
        actor=origin.actor,
        **detail,
    )


async def _ending(
    database: Database,
    user_id: UUID,
    reason: str,
    origin: Origin,
    change: Callable[[Connection, UUID], Awaitable[bool]],
    *,
    event: str | None = None,
) -> int:
    """Change the user's row, then end every session; how many. `event` None: the reason."""
    async with database.transaction() as connection:
        await wait_longer(connection)
        changed = await change(connection, user_id)
        count = await end_all_sessions(connection, user_id, reason, origin) if changed else 0
        if changed:
            await audit(connection, event or reason, user_id, origin, reason=reason, sessions=count)
    if not changed:
        raise UnknownUser(user_id)
    return count
