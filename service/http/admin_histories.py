"""/admin/revocations and /admin/audit: what was revoked, and who did what; revoke a token."""

import re
from typing import Any

from service.flows.client_credentials import utc_now
from service.flows.read_token import read_token
from service.flows.revoke_refresh import revoke_refresh
from service.flows.revoke_token import revoke_token
from service.http.accounts import show_time
from service.http.admin import AdminCall, Listed, answer_page
from service.http.answer import Answer
from service.oauth.errors import InvalidRequest, TemporarilyUnavailable
from service.oauth.refresh_token import PREFIX, RefreshToken, UnknownRefreshKey
from service.oauth.revocation import KINDS
from service.sql.histories import (
    AuditFilter,
    NumberedEvent,
    RevocationFilter,
    WrittenRevocation,
    page_of_audit_events,
    page_of_revocations,
)

# No more digits than a bigint takes.
_ID = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


async def list_revocations(call: AdminCall) -> Answer:
    """A page of revocations, the newest first."""
    query = call.query
    wanted = RevocationFilter(kind=query.choice("kind", KINDS), subject=query.text("subject"))
    return await answer_page(call, _REVOCATIONS, wanted)


async def list_audit_events(call: AdminCall) -> Answer:
    """A page of the audit trail, the newest first."""
    query = call.query
    wanted = AuditFilter(
        event=query.text("event"),
        client_id=query.text("client_id"),
        user_id=query.uuid("user_id"),
        session_id=query.uuid("session_id"),
        since=query.moment("since"),
        until=query.moment("until"),
    )
    return await answer_page(call, _EVENTS, wanted)


async def revoke(call: AdminCall) -> Answer:
    """Make an access token void, or end the session of a refresh token, whichever client's.

    `revoked` says whether it was good until now.
    """
    token = call.body.text("token")
    call.check()
    kind = "sid" if token.startswith(PREFIX) else "jti"
    if kind == "sid":
        subject, revoked = await _end_session(call, token)
    else:
        subject, revoked = await _revoke_access_token(call, token)
    if revoked:
        call.services.metrics.revocations.labels(kind).inc()
        call.services.keeper.nudge()
    return Answer(members={"kind": kind, "subject": subject, "revoked": revoked})


async def _revoke_access_token(call: AdminCall, text: str) -> tuple[str, bool]:
    services = call.services
    access = read_token(text, services.keyring, services.issuer)
    if access is None:
        raise _no_token()
    written = await revoke_token(
        access, services.database, call.origin, client_id=None, now=utc_now()
    )
    return access.jti, written


async def _end_session(call: AdminCall, text: str) -> tuple[str, bool]:
    services = call.services
    token = _read_refresh_token(call, text)
    if token is None:
        raise _no_token()
    ended = await revoke_refresh(
        text,
        services.database,
        services.session_issuer.refresh_tokens,
        call.origin,
        client_id=None,
        reason="revoked_by_administrator",
    )
    return str(token.session_id), ended


def _read_refresh_token(call: AdminCall, text: str) -> RefreshToken | None:
    try:
        return call.services.session_issuer.refresh_tokens.read(text)
    except UnknownRefreshKey as error:
        if error.key_id in call.services.refresh_tokens.foreign_keys:
            raise TemporarilyUnavailable("the server is being updated; try again") from None
        return None


def _no_token() -> InvalidRequest:
    return InvalidRequest(
        "the request has faults; see fields", fields={"token": "is no token of this issuer"}
    )


def _place(text: str) -> int | None:
    return int(text) if _ID.fullmatch(text) else None


def _show_revocation(fact: WrittenRevocation) -> dict[str, Any]:
    return {
        "id": str(fact.id),
        "kind": fact.kind,
        "subject": fact.subject,
        "version": fact.version,
        "client_id": fact.client_id,
        "reason": fact.reason,
        "actor": fact.actor,
        "created_at": show_time(fact.created_at),
        "expires_at": show_time(fact.expires_at),
        "number": fact.number,
        "published": fact.number is not None,
    }


def _show_event(numbered: NumberedEvent) -> dict[str, Any]:
    event = numbered.event
    return {
        "id": str(numbered.id),
        "at": show_time(event.at),
        "event": event.event,
        "client_id": event.client_id,
        "user_id": str(event.user_id) if event.user_id else None,
        "session_id": str(event.session_id) if event.session_id else None,
        "generation": event.generation,
        "address": event.address,
        "request_id": event.request_id,
        "detail": event.detail,
    }


_REVOCATIONS = Listed(
    name="revocations", listing=page_of_revocations, place=_place, show=_show_revocation
)
_EVENTS = Listed(name="events", listing=page_of_audit_events, place=_place, show=_show_event)
