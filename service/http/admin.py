"""The API of administrators under /admin: who may ask, and how answers look. ATK-105.

A token in the Authorization header and nothing else: no cookie, no CORS, so that no page of
another origin can ask.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from uuid import UUID

from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.origin import Origin
from service.flows.read_page import Listing, read_page
from service.http.answer import SAFE, Answer, action_of, render_answer
from service.http.bearer import read_administrator
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.json_body import JsonBody, read_json
from service.http.query import Query
from service.http.request import Request, request_of
from service.http.services import Services
from service.oauth.access_token import AccessToken
from service.oauth.errors import NotFound
from service.oauth.uuid7 import read_uuid

_F = TypeVar("_F")
_P = TypeVar("_P")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminCall:
    """One request of an administrator. Its body is empty where the method has none."""

    services: Services
    scope: Scope
    request: Request
    access: AccessToken
    query: Query
    body: JsonBody

    @property
    def origin(self) -> Origin:
        """For audit events: the user of the token, or its client where it has no user."""
        access = self.access
        actor = f"user:{access.subject}" if access.session_id else f"client:{access.client_id}"
        return Origin(actor=actor, address=self.request.address, request_id=self.request.id)

    @property
    def id(self) -> str:
        """What stands in the path in the place of {id}."""
        return self.scope["path"].removeprefix(self.services.path).split("/")[3]

    def uuid(self, unknown: str) -> UUID:
        """The path's id as a UUID. Raises NotFound with that text for what is none."""
        found = read_uuid(self.id)
        if found is None:
            raise NotFound(unknown)
        return found

    def check(self) -> None:
        """Raise InvalidRequest for what is wrong in the query or the body."""
        self.query.check()
        self.body.check()


AdminAction = Callable[[AdminCall], Awaitable[Answer]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed(Generic[_F, _P, _T]):
    """A list that is read in pages: its member's name, what reads it, and how items are shown.

    `place` reads the id of an item; None for a text that is none.
    """

    name: str
    listing: Listing[_F, _P, _T]
    place: Callable[[str], _P | None]
    show: Callable[[_T], dict[str, Any]]


async def answer_page(call: AdminCall, listed: Listed[_F, _P, _T], wanted: _F) -> Answer:
    """A page of what is wanted; `next`, unless it is the last one, is `after` of the next."""
    limit, text = call.query.limit(), call.query.text("after")
    after = None if text is None else listed.place(text)
    if text is not None and after is None:
        call.query.fault("after", "is no place in this list: take it from next")
    call.query.check()
    page = await read_page(call.services.database, listed.listing, wanted, after, limit)
    items = [listed.show(item) for item in page.items]
    members: dict[str, Any] = {listed.name: items}
    if not page.is_last:
        members["next"] = str(items[-1]["id"])
    return Answer(members=members)


def admin_endpoint(services: Services, actions: Mapping[str, AdminAction]) -> ASGIApp:
    """The endpoint with an action for each of its methods."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _respond(services, actions, scope, receive)
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become responses)
            response = render_error(error, challenge=False)
            request = request_of(scope)
            request.error, request.reason = response.error, response.reason
        await send_response(send, response)

    return endpoint


async def _respond(
    services: Services, actions: Mapping[str, AdminAction], scope: Scope, receive: Receive
) -> Response:
    method: str = scope["method"]  # pyright: ignore[reportGeneralTypeIssues]
    action, request = action_of(method, actions), request_of(scope)
    # Before anything of the request is read: nobody else learns what is understood here.
    access = await read_administrator(scope, services)
    request.client_id = access.client_id
    query = Query(scope["query_string"])
    body = JsonBody({})
    if method not in SAFE:
        query.check()
        body = await read_json(scope, receive, type_needed=False)
    call = AdminCall(
        services=services, scope=scope, request=request, access=access, query=query, body=body
    )
    return render_answer(await action(call))
