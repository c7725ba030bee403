"""POST /api/register, GET and PATCH /api/me, POST /api/password: first-party accounts."""

from dataclasses import replace
from datetime import datetime
from typing import Any

from service.flows.own_account import (
    change_own_password,
    change_profile,
    get_user,
    prove_self,
)
from service.flows.own_account import register as register_user
from service.http.answer import Answer
from service.http.api import Call
from service.http.bearer import user_of
from service.http.json_body import JsonBody
from service.http.services import Services
from service.oauth.errors import AccessDenied, InvalidToken, TooManyAttempts
from service.oauth.user import Profile, User

_LOGIN_NAMES = frozenset({"username", "email"})


async def register(call: Call) -> Answer:
    """Make an account: 201 with the user and no token."""
    await call.find_client()
    services = call.services
    if services.settings.registration != "open":
        raise AccessDenied("registration is closed here; ask the operator for an account")
    body = call.body
    profile = Profile(
        username=body.text("username"),
        email=body.text("email"),
        full_name=body.text("full_name"),
        avatar_url=body.optional("avatar_url"),
    )
    password = body.text("password")
    _check_profile(body, profile)
    await limit_names(services, call.request.limit_address)
    user = await register_user(
        services.database, services.passwords, profile, password, call.origin
    )
    return Answer(status=201, members=show_user(user))


async def show_me(call: Call) -> Answer:
    """The user whose token it is."""
    access = await call.authenticate()
    return Answer(members=show_user(await get_user(call.services.database, user_of(access))))


async def change_me(call: Call) -> Answer:
    """Change the members that are named; what one logs in with only with the password."""
    access = await call.authenticate()
    body, services = call.body, call.services
    changes = Profile(
        username=body.optional("username"),
        email=body.optional("email"),
        full_name=body.optional("full_name"),
        avatar_url=body.optional("avatar_url"),
    )
    password = body.optional("current_password")
    for member in ("username", "email", "full_name"):
        if body.has(member) and getattr(changes, member) is None:
            body.fault(member, "can't be removed")
    if password is None and any(map(body.has, _LOGIN_NAMES)):
        body.fault("current_password", "is needed to change username or email")
    _check_profile(body, changes)
    if any(map(body.has, _LOGIN_NAMES)):
        await limit_names(services, call.request.limit_address, access.subject)
    origin = call.by(access)
    if body.has("avatar_url") and changes.avatar_url is None:
        changes = replace(changes, avatar_url="")
    version = None
    if password is not None:
        address = call.request.limit_address
        proven = await prove_self(
            services.database, services.proof, access, password, origin, address=address
        )
        version = proven.credential_version
    user = await change_profile(
        services.database, user_of(access), changes, origin, version=version
    )
    services.keeper.nudge()
    return Answer(members=show_user(user))


async def change_password(call: Call) -> Answer:
    """Change the password: every other session ends, this one goes on."""
    access = await call.authenticate()
    body, services = call.body, call.services
    password, new_password = body.text("current_password"), body.text("new_password")
    body.check()
    origin = call.by(access)
    if access.session_id is None:
        raise InvalidToken("the access token is invalid, expired or revoked")
    user = await prove_self(
        services.database,
        services.proof,
        access,
        password,
        origin,
        address=call.request.limit_address,
    )
    ended = await change_own_password(
        services.database,
        services.passwords,
        user,
        new_password,
        origin,
        session_id=access.session_id,
    )
    services.metrics.revocations.labels("sid").inc(ended)
    services.keeper.nudge()
    return Answer(status=204)


def show_user(user: User) -> dict[str, Any]:
    """A user as JSON; times in RFC 3339."""
    return {
        "id": str(user.id),
        "username": user.username,
        "email": user.email,
        "full_name": user.full_name,
        "avatar_url": user.avatar_url,
        "roles": user.roles,
        "created_at": show_time(user.created_at),
    }


def show_time(at: datetime | None) -> str | None:
    """RFC 3339, to the second, UTC."""
    return None if at is None else at.strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_profile(body: JsonBody, profile: Profile) -> None:
    for member, fault in profile.faults().items():
        body.fault(member, fault)
    body.check()


async def limit_names(services: Services, *subjects: str) -> None:
    """Count an attempt at a name: whether it is taken tells who has an account here (LOGIN-10).

    By address, and by what else it may be counted under: a user may change addresses.
    Raises TooManyAttempts.
    """
    for subject in subjects:
        if retry_after := await services.registration_limit.hit("registration", subject):
            raise TooManyAttempts(
                "too many attempts at names; try again later", retry_after=retry_after
            )
