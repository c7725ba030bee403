"""/admin/sessions: who is logged in where; end that."""

from typing import Any

from service.flows.end_sessions import end_one_session
from service.flows.read_page import read_page
from service.http.accounts import show_time
from service.http.admin import AdminCall, Listed, answer_page
from service.http.answer import Answer
from service.oauth.errors import NotFound
from service.oauth.uuid7 import read_uuid
from service.sql.pages import KnownSession, SessionFilter, page_of_sessions

_UNKNOWN = "there is no such session"


async def list_sessions(call: AdminCall) -> Answer:
    """A page of sessions, the newest first."""
    query = call.query
    wanted = SessionFilter(
        user_id=query.uuid("user_id"),
        client_id=query.text("client_id"),
        living=query.flag("living"),
    )
    return await answer_page(call, _LISTED, wanted)


async def show_one(call: AdminCall) -> Answer:
    """One session, living or not."""
    call.check()
    return Answer(members=_show(await _get_session(call)))


async def end_session(call: AdminCall) -> Answer:
    """End a session; one that is over already is as good."""
    call.check()
    session, services = await _get_session(call), call.services
    reason = "ended_by_administrator"
    if await end_one_session(services.database, session.id, reason, call.origin):
        services.metrics.revocations.labels("sid").inc()
        services.keeper.nudge()
    return Answer(status=204)


async def _get_session(call: AdminCall) -> KnownSession:
    wanted = SessionFilter(id=call.uuid(_UNKNOWN))
    page = await read_page(call.services.database, page_of_sessions, wanted, None, 1)
    if not page.items:
        raise NotFound(_UNKNOWN)
    return page.items[0]


def _show(session: KnownSession) -> dict[str, Any]:
    """A session as JSON: nothing of its secret."""
    return {
        "id": str(session.id),
        "user_id": str(session.user_id),
        "client_id": session.client_id,
        "device": session.device,
        "scope": " ".join(session.scopes),
        "audiences": session.audiences,
        "roles": session.roles,
        "amr": session.amr,
        "generation": session.generation,
        "auth_time": show_time(session.auth_time),
        "created_at": show_time(session.created_at),
        "last_used_at": show_time(session.last_used_at),
        "idle_expires_at": show_time(session.idle_expires_at),
        "expires_at": show_time(session.expires_at),
        "living": session.ended_because is None,
        "ended_at": show_time(session.ended_at),
        "ended_because": session.ended_because,
    }


_LISTED = Listed(name="sessions", listing=page_of_sessions, place=read_uuid, show=_show)
