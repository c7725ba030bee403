"""First-party accounts under /api: who may ask, from which page, and how answers look."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.origin import Origin
from service.http.answer import SAFE, Answer, action_of, render_answer
from service.http.bearer import read_bearer
from service.http.browser import (
    Headers,
    check_header,
    check_origin,
    cors_headers,
    preflight_headers,
    read_origin,
)
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.json_body import JsonBody, read_json
from service.http.request import Request, request_of
from service.http.services import Services
from service.oauth.access_token import AccessToken
from service.oauth.client import Client, is_client_id
from service.oauth.errors import InvalidClient

_NO_BODY = JsonBody({})


@dataclass(slots=True, kw_only=True)
class Call:
    """One request under /api. `client` is known once `find_client` or `authenticate` has run.

    `late_headers` go with the answer also when it is a refusal.
    """

    services: Services
    scope: Scope
    request: Request
    body: JsonBody
    page: str | None
    client: Client | None = None
    late_headers: Headers = ()

    @property
    def origin(self) -> Origin:
        """For audit events, as long as nobody is authenticated."""
        client_id = self.client.id if self.client else "-"
        return Origin(
            actor=f"client:{client_id}", address=self.request.address, request_id=self.request.id
        )

    async def find_client(self) -> Client:
        """The first-party client that the body names, else the configured one.

        Raises InvalidClient, AccessDenied for a page that is none of the client's.
        """
        named = self.body.optional("client_id")
        client_id = named or self.services.settings.first_party_client_id
        client = await self.services.clients.find(client_id) if is_client_id(client_id) else None
        if client is None or not client.first_party or not client.enabled:
            raise InvalidClient(
                "name a first-party client in client_id", reason="no such first-party client"
            )
        self._take(client)
        return client

    async def authenticate(self) -> AccessToken:
        """The live access token of the request's user.

        Raises MissingToken, InvalidToken, AccessDenied for a page that is none of the client's.
        """
        access, client = await read_bearer(self.scope, self.services)
        self._take(client)
        return access

    def by(self, access: AccessToken) -> Origin:
        """For audit events of a user's own deeds."""
        return replace(self.origin, actor=f"user:{access.subject}")

    def _take(self, client: Client) -> None:
        self.client = client
        self.request.client_id = client.id
        check_origin(self.page, client, _origin_of(self.services.issuer))


Action = Callable[[Call], Awaitable[Answer]]


def api_endpoint(services: Services, actions: Mapping[str, Action]) -> ASGIApp:
    """The endpoint with an action for each of its methods."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(
            services=services,
            scope=scope,
            request=request_of(scope),
            body=_NO_BODY,
            page=read_origin(scope),
        )
        try:
            response = await _respond(call, receive, actions)
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become responses)
            response = render_error(error, challenge=False)
            call.request.error, call.request.reason = response.error, response.reason
        cors = cors_headers(call.page, await _readers(call))
        await send_response(
            send, replace(response, headers=(*cors, *response.headers, *call.late_headers))
        )

    return endpoint


async def _respond(call: Call, receive: Receive, actions: Mapping[str, Action]) -> Response:
    method: str = call.scope["method"]  # pyright: ignore[reportGeneralTypeIssues]
    if method == "OPTIONS":
        return Response(204, preflight_headers(call.page, await _readers(call)), b"")
    action = action_of(method, actions)
    if method not in SAFE:
        call.body = await read_json(call.scope, receive)
        check_header(call.scope)
    return render_answer(await action(call))


async def _readers(call: Call) -> tuple[str, ...]:
    """The origins whose pages may read the answer: the client's, or while none is known, of any.

    A page must be able to read that its token has expired, which names no client.
    """
    if call.client is not None:
        return call.client.allowed_origins
    if call.page and await call.services.allowed_origins.has(call.page):
        return (call.page,)
    return ()


def _origin_of(issuer: str) -> str:
    parts = urlsplit(issuer)
    return f"{parts.scheme}://{parts.netloc}"
