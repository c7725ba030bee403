"""/admin/users: make users, change, disable, enable, revoke and delete them."""

from dataclasses import replace
from typing import Any

from service.flows.administer_users import (
    admit_user,
    amend_user,
    get_living_user,
    give_password,
)
from service.flows.manage_users import delete, disable, enable, end_everywhere
from service.http.accounts import show_time
from service.http.accounts import show_user as show_profile
from service.http.admin import AdminCall, Listed, answer_page
from service.http.answer import Answer
from service.http.json_body import JsonBody
from service.oauth.user import Amendment, Profile, User, roles_fault
from service.oauth.uuid7 import read_uuid
from service.sql.pages import UserFilter, page_of_users

_UNKNOWN = "there is no such user"
_NEEDED = ("username", "email", "full_name")


async def list_users(call: AdminCall) -> Answer:
    """A page of users, the oldest first."""
    query = call.query
    wanted = UserFilter(
        username=query.text("username"),
        email=query.text("email"),
        role=query.text("role"),
        disabled=query.flag("disabled"),
        administrator=query.flag("administrator"),
    )
    return await answer_page(call, _LISTED, wanted)


async def make_user(call: AdminCall) -> Answer:
    """A new user."""
    body, services = call.body, call.services
    for member in _NEEDED:
        body.text(member)
    password = body.text("password")
    members = _read_amendment(body)
    call.check()
    user = await admit_user(services.database, services.passwords, members, password, call.origin)
    return Answer(status=201, members=show_user(user))


async def show_one(call: AdminCall) -> Answer:
    """One user, disabled or not."""
    call.check()
    return Answer(
        members=show_user(await get_living_user(call.services.database, call.uuid(_UNKNOWN)))
    )


async def change_user(call: AdminCall) -> Answer:
    """Change the members that are named; tokens follow at the next refresh."""
    user_id, services = call.uuid(_UNKNOWN), call.services
    changes = _read_amendment(call.body)
    call.check()
    if call.body.has("avatar_url") and changes.profile.avatar_url is None:
        changes = replace(changes, profile=replace(changes.profile, avatar_url=""))
    user = await amend_user(services.database, user_id, changes, call.origin)
    services.keeper.nudge()
    return Answer(members=show_user(user))


async def delete_user(call: AdminCall) -> Answer:
    """Erase what is personal and end every session; the id is never given again."""
    user_id = call.uuid(_UNKNOWN)
    call.check()
    _note_ends(call, await delete(call.services.database, user_id, call.origin))
    return Answer(status=204)


async def disable_user(call: AdminCall) -> Answer:
    """Refuse the user, and end every session."""
    user_id = call.uuid(_UNKNOWN)
    call.check()
    _note_ends(call, await disable(call.services.database, user_id, call.origin))
    return Answer(members=show_user(await get_living_user(call.services.database, user_id)))


async def enable_user(call: AdminCall) -> Answer:
    """Let a disabled user log in again."""
    user_id = call.uuid(_UNKNOWN)
    call.check()
    await enable(call.services.database, user_id, call.origin)
    return Answer(members=show_user(await get_living_user(call.services.database, user_id)))


async def end_sessions(call: AdminCall) -> Answer:
    """End every session of the user, and every login under way."""
    user_id, database = call.uuid(_UNKNOWN), call.services.database
    call.check()
    await get_living_user(database, user_id)
    ended = await end_everywhere(database, user_id, "revoked_by_administrator", call.origin)
    return _note_ends(call, ended)


async def set_password(call: AdminCall) -> Answer:
    """Give the user another password, and end every session."""
    user_id, services = call.uuid(_UNKNOWN), call.services
    password = call.body.text("password")
    call.check()
    ended = await give_password(
        services.database, services.passwords, user_id, password, call.origin
    )
    return _note_ends(call, ended)


def _note_ends(call: AdminCall, ended: int) -> Answer:
    """Have the ends published and counted; the answer that says how many there were."""
    call.services.metrics.revocations.labels("sid").inc(ended)
    call.services.keeper.nudge()
    return Answer(members={"sessions_ended": ended})


def _read_amendment(body: JsonBody) -> Amendment:
    """The members of a user that are named."""
    profile = Profile(
        username=body.optional("username"),
        email=body.optional("email"),
        full_name=body.optional("full_name"),
        avatar_url=body.optional("avatar_url"),
    )
    roles, administrator = body.texts("roles"), body.flag("administrator")
    for member, fault in profile.faults().items():
        body.fault(member, fault)
    if roles is not None and (fault := roles_fault(roles)):
        body.fault("roles", fault)
    named = {name: getattr(profile, name) for name in _NEEDED}
    for name, value in {**named, "roles": roles, "administrator": administrator}.items():
        if value is None and body.has(name):
            body.fault(name, "can't be null")
    return Amendment(profile=profile, roles=roles, administrator=administrator)


def show_user(user: User) -> dict[str, Any]:
    """A user as JSON, with what the users themselves are not shown."""
    return {
        **show_profile(user),
        "administrator": user.administrator,
        "disabled_at": show_time(user.disabled_at),
    }


_LISTED = Listed(name="users", listing=page_of_users, place=read_uuid, show=show_user)
