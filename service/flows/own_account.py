"""A user's own account: register, read, change, and the sessions of it."""

from collections.abc import Iterable
from uuid import UUID

from service.blocklist import common_passwords
from service.flows.end_sessions import end_one_session
from service.flows.manage_users import audit, change_password, create_user, make_stale
from service.flows.origin import Origin
from service.flows.prove_password import PasswordProof, normalize
from service.hashing import PasswordHasher
from service.oauth.access_token import AccessToken
from service.oauth.errors import InvalidRequest, LoginFailed, NotFound
from service.oauth.password import password_fault
from service.oauth.user import KnownUser, Profile, User
from service.sql.connection import Database
from service.sql.session_ends import ShownSession, find_user_of, list_sessions_of_user
from service.sql.users import find_user, get_known_user, update_profile

_MAX_SHOWN = 200


async def register(
    database: Database,
    passwords: PasswordHasher,
    profile: Profile,
    password: str,
    origin: Origin,
) -> User:
    """The new user. Raises InvalidRequest, NameTaken, HashingBusy, DatabaseUnavailable."""
    about = (profile.username, profile.email, profile.full_name)
    password = check_new_password(password, "password", about)
    password_hash = await passwords.hash(password)
    return await create_user(database, profile, password_hash, origin)


async def get_user(database: Database, user_id: UUID) -> User:
    """The user as they see themselves. Raises NotFound."""
    async with database.connection() as connection:
        user = await find_user(connection, user_id)
    if user is None:
        raise NotFound("there is no such user")
    return user


async def change_profile(
    database: Database, user_id: UUID, changes: Profile, origin: Origin, *, version: int | None
) -> User:
    """The user with the members changed that are not None. Raises NotFound, LoginFailed, NameTaken.

    `version`: the credential version under which the password was proven; changed since, the proof
    is worth nothing. None where none was asked for.

    A new e-mail address makes tokens stale: what is said of the user in them may have changed.
    """
    async with database.transaction() as connection:
        before = await find_user(connection, user_id)
        user = await update_profile(connection, user_id, changes, version)
        if user is not None and user != before:
            await audit(connection, "profile_changed", user_id, origin)
        if user is not None and before is not None and user.email != before.email:
            await make_stale(connection, user_id, user.roles, origin)
    if user is None and version is not None:
        raise LoginFailed("the password was changed meanwhile", reason="another change came first")
    if user is None:
        raise NotFound("there is no such user")
    return user


async def prove_self(
    database: Database,
    proof: PasswordProof,
    access: AccessToken,
    password: str,
    origin: Origin,
    *,
    address: str,
) -> KnownUser:
    """The user of the token, whose password this is, throttled like a login.

    Raises LoginFailed, TooManyAttempts, InvalidRequest, HashingBusy, DatabaseUnavailable.
    """
    password = normalize(password, "current_password")
    async with database.connection() as connection:
        user = await get_known_user(connection, UUID(access.subject))
    if user is None or user.username is None:
        raise LoginFailed("wrong password", reason="the user is gone")
    try:
        proven = await proof.prove(
            user.username, password, client_id=access.client_id, address=address, origin=origin
        )
    except LoginFailed as error:
        raise LoginFailed("wrong password", reason=error.reason) from None
    if proven.id != user.id:
        raise LoginFailed("wrong password", reason="the name passed to somebody else meanwhile")
    return proven


async def change_own_password(
    database: Database,
    passwords: PasswordHasher,
    user: KnownUser,
    new_password: str,
    origin: Origin,
    *,
    session_id: UUID,
) -> int:
    """Change the password of a user who proved the old one; how many other sessions ended.

    Raises InvalidRequest, LoginFailed when it was changed meanwhile, HashingBusy,
    DatabaseUnavailable.
    """
    about = (user.username, user.email, user.full_name)
    new_password = check_new_password(new_password, "new_password", about)
    ended = await change_password(
        database,
        user.id,
        await passwords.hash(new_password),
        origin,
        version=user.credential_version,
        spared=session_id,
    )
    if ended is None:
        raise LoginFailed("the password was changed meanwhile", reason="another change came first")
    return ended


async def list_own_sessions(database: Database, user_id: UUID) -> list[ShownSession]:
    """The user's sessions, living ones first. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        return await list_sessions_of_user(connection, user_id, _MAX_SHOWN)


async def end_own_session(
    database: Database, user_id: UUID, session_id: UUID, origin: Origin
) -> bool:
    """Whether a living session of the user was ended. Raises NotFound for another user's."""
    async with database.connection() as connection:
        owner = await find_user_of(connection, session_id)
    if owner != user_id:
        raise NotFound("there is no such session")
    return await end_one_session(database, session_id, "ended_by_user", origin) is not None


def check_new_password(password: str, member: str, about: Iterable[str | None]) -> str:
    """A password that may be set, normalised. Raises InvalidRequest that says why not (PW-3).

    `about` is what is known of the person: names, e-mail address.
    """
    password = normalize(password, member)
    if fault := password_fault(
        password, common=common_passwords(), about=[it for it in about if it]
    ):
        raise InvalidRequest("the request has faults; see fields", fields={member: fault})
    return password
