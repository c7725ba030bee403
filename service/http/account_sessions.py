"""GET and DELETE /api/sessions, DELETE /api/sessions/{id}: where a user is logged in."""

from typing import Any
from uuid import UUID

from service.flows.manage_users import end_everywhere
from service.flows.own_account import end_own_session, list_own_sessions
from service.http.accounts import show_time
from service.http.answer import Answer
from service.http.api import Call
from service.http.bearer import user_of
from service.http.browser import Headers, clear_cookie, read_cookie
from service.oauth.access_token import AccessToken
from service.oauth.errors import NotFound
from service.oauth.refresh_token import UnknownRefreshKey
from service.oauth.uuid7 import read_uuid
from service.sql.session_ends import ShownSession


async def list_sessions(call: Call) -> Answer:
    """The user's sessions, living ones first, and why the others ended."""
    access = await call.authenticate()
    sessions = await list_own_sessions(call.services.database, user_of(access))
    shown = [_show(session, current=session.id == access.session_id) for session in sessions]
    return Answer(members={"sessions": shown})


async def end_sessions(call: Call) -> Answer:
    """Log out everywhere, here too."""
    access = await call.authenticate()
    call.body.check()
    services = call.services
    ended = await end_everywhere(
        services.database, user_of(access), "logged_out_everywhere", call.by(access)
    )
    services.metrics.revocations.labels("sid").inc(ended)
    services.keeper.nudge()
    return Answer(status=204, headers=_forget(call, access))


async def end_session(call: Call) -> Answer:
    """End one session of the user's; another user's is not found."""
    access = await call.authenticate()
    call.body.check()
    services = call.services
    session_id = _session_id(call)
    user_id = user_of(access)
    if await end_own_session(services.database, user_id, session_id, call.by(access)):
        services.metrics.revocations.labels("sid").inc()
        services.keeper.nudge()
    return Answer(
        status=204, headers=_forget(call, access) if session_id == access.session_id else ()
    )


def _forget(call: Call, access: AccessToken) -> Headers:
    """Clear the cookie of the access token's own session, which is over; of no other."""
    cookie = read_cookie(call.scope)
    try:
        token = call.services.session_issuer.refresh_tokens.read(cookie or "")
    except UnknownRefreshKey:
        return ()
    return clear_cookie() if token is not None and token.session_id == access.session_id else ()


def _session_id(call: Call) -> UUID:
    session_id = read_uuid(call.scope["path"].rpartition("/")[2])
    if session_id is None:
        raise NotFound("there is no such session")
    return session_id


def _show(session: ShownSession, *, current: bool) -> dict[str, Any]:
    members = {
        "id": str(session.id),
        "client_id": session.client_id,
        "device": session.device,
        "created_at": show_time(session.created_at),
        "last_used_at": show_time(session.last_used_at),
        "expires_at": show_time(session.expires_at),
        "current": current,
        "ended_at": show_time(session.ended_at),
        "ended_because": session.ended_because,
    }
    return {name: value for name, value in members.items() if value is not None}
