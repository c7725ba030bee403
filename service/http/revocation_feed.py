"""GET /revocations: the feed for verifiers without Redis; docs/reference/revocation-feed.md.

Plain ASGI, as thousands of followers may wait on one pod.
"""

import re

from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.authenticate_client import authenticate_client
from service.flows.serve_feed import MAX_WAIT, Ask
from service.http.client_authentication import has_authorization, read_credentials
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.form import Form, parse_form
from service.http.headers import JSON, NO_STORE
from service.http.request import request_of
from service.http.services import Services
from service.oauth.client import is_client_id
from service.oauth.errors import InvalidClient, InvalidRequest, MethodNotAllowed, NotFound

_KNOWN = frozenset({"epoch", "after", "wait"})
_EPOCH = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
# Of one number there is one spelling, so that a cache keeps each page once.
_NUMBER = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)
_PUBLIC = (b"cache-control", b"public, max-age=600, immutable")
_CLOSE = ((b"connection", b"close"),)
_PRIVATE = (b"cache-control", b"private, max-age=600, immutable")


def feed_endpoint(services: Services) -> ASGIApp:
    """The endpoint, open, closed or for clients as the settings say."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await _respond(services, scope, receive)
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become responses)
            response = render_error(error, challenge=True)
            request = request_of(scope)
            request.error, request.reason = response.error, response.reason
        await send_response(send, response)

    return endpoint


async def _respond(services: Services, scope: Scope, receive: Receive) -> Response:
    access = services.settings.revocations_over_http
    if access == "closed":
        raise NotFound(
            "this server does not serve the feed over HTTP "
            "(WATCHWORD_REVOCATIONS_OVER_HTTP is closed): follow it in Redis"
        )
    if scope["method"] != "GET":  # pyright: ignore[reportGeneralTypeIssues]
        raise MethodNotAllowed(["GET"])
    if access == "clients":
        await _authenticate(services, scope)
    ask = read_ask(scope["query_string"])

    async def leaving() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    drained = services.readiness.draining
    answer = await services.feed_server.answer(ask, leaving)
    request_of(scope).waited = answer.waited
    # The server says so by itself in answers to requests that came later.
    moves = _CLOSE if services.readiness.draining and not drained else ()
    if not answer.immutable:
        return Response(200, (JSON, *NO_STORE, *moves), answer.body)
    # A shared cache would hand out what only clients may read.
    kept = _PUBLIC if access == "open" else _PRIVATE
    return Response(200, (JSON, kept, *moves), answer.body)


async def _authenticate(services: Services, scope: Scope) -> None:
    """Raises InvalidClient but for a confidential client: only those have a secret for Basic."""
    if not has_authorization(scope):
        raise InvalidClient("client authentication failed", reason="no client credentials")
    request, credentials = request_of(scope), read_credentials(scope, Form({}))
    if is_client_id(credentials.client_id):
        request.client_id = credentials.client_id
    await authenticate_client(credentials, services.clients, services.limit, request.limit_address)


def read_ask(query: bytes) -> Ask:
    """What the query asks for; unknown parameters are ignored. Raises InvalidRequest."""
    form = parse_form(query, _KNOWN)
    epoch, after, wait = form.get("epoch"), form.get("after"), form.get("wait")
    if epoch is not None and not _EPOCH.fullmatch(epoch):
        raise InvalidRequest("epoch must be a UUID in lower case")
    if after is not None and not _NUMBER.fullmatch(after):
        raise InvalidRequest("after must be an integer from 0 on")
    if wait is not None and not (_NUMBER.fullmatch(wait) and int(wait) <= MAX_WAIT):
        raise InvalidRequest(f"wait must be an integer from 0 to {MAX_WAIT}")
    return Ask(
        epoch=epoch,
        after=None if after is None else int(after),
        wait=MAX_WAIT if wait is None else int(wait),
    )
