"""A back-channel endpoint: POST, a form, an authenticated client, JSON back. TOK-1 to TOK-18.

These answer thousands of requests a second, so they are plain ASGI; `Edge` calls them directly.
"""

from collections.abc import Awaitable, Callable

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.authenticate_client import authenticate_client
from service.flows.origin import Origin
from service.http.client_authentication import has_authorization, read_credentials
from service.http.error_responses import Response, render_error
from service.http.form import Form, read_form
from service.http.headers import JSON, NO_STORE
from service.http.request import request_of
from service.http.services import Services
from service.oauth.client import GRANT_TYPES, Client, is_client_id

Answer = Callable[[Services, Client, Form, Origin], Awaitable[object]]

_encode = msgspec.json.Encoder().encode


def form_endpoint(services: Services, answer: Answer, *, always_challenge: bool = False) -> ASGIApp:
    """The endpoint whose authenticated requests `answer` turns into a JSON object.

    None is an empty body. `always_challenge`: client authentication fails with 401 whatever was
    tried.
    """

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":  # pyright: ignore[reportGeneralTypeIssues]
            request_of(scope).error = _METHOD_NOT_ALLOWED.error
            await send_response(send, _METHOD_NOT_ALLOWED)
            return
        try:
            response = await _respond(scope, receive)
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become responses)
            response = render_error(error, challenge=always_challenge or has_authorization(scope))
            request = request_of(scope)
            request.error, request.reason = response.error, response.reason
        await send_response(send, response)

    async def _respond(scope: Scope, receive: Receive) -> Response:
        request = request_of(scope)
        form = await read_form(scope, receive)
        grant_type = form.get("grant_type")
        request.grant_type = grant_type if grant_type in GRANT_TYPES else None
        credentials = read_credentials(scope, form)
        if is_client_id(credentials.client_id):
            request.client_id = credentials.client_id
        client = await authenticate_client(
            credentials, services.clients, services.limit, request.limit_address
        )
        origin = Origin(actor=f"client:{client.id}", address=request.address, request_id=request.id)
        members = await answer(services, client, form, origin)
        if members is None:
            return Response(200, NO_STORE, b"")
        return Response(200, (JSON, *NO_STORE), _encode(members))

    return endpoint


async def send_response(send: Send, response: Response) -> None:
    """Send a response whole."""
    await send(
        {
            "type": "http.response.start",
            "status": response.status,
            "headers": [
                *response.headers,
                (b"content-length", str(len(response.body)).encode()),
            ],
        }
    )
    await send({"type": "http.response.body", "body": response.body, "more_body": False})


_METHOD_NOT_ALLOWED = Response(
    405,
    (JSON, *NO_STORE, (b"allow", b"POST")),
    _encode({"error": "invalid_request", "error_description": "send a POST"}),
    "invalid_request",
)
