"""Browser apps of the code flow: which pages may read what an endpoint answers. TOK-40.

A page may that is served from where one of the client's redirect URIs leads. Cookies are none of
these endpoints' business, so that no answer is given with credentials.
"""

from contextlib import suppress

from litestar.types import ASGIApp, Message, Receive, Scope, Send

from service.http.browser import EXPOSED, VARY, Headers, read_origin
from service.http.endpoint import send_response
from service.http.error_responses import Response
from service.http.headers import header_values
from service.http.request import request_of
from service.http.services import Services
from service.oauth.redirect_uri import web_origins
from service.sql.connection import DatabaseUnavailable

_PREFLIGHT: Headers = (
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
)


def readable_by_apps(
    services: Services, endpoint: ASGIApp, methods: bytes, *, unnamed: bool = False
) -> ASGIApp:
    """The endpoint, with answers that pages of the named client's own origins may read.

    `methods`: what a preflight says that may be sent. `unnamed`: whether any client's pages may
    read what names no client: that a token has expired.
    """

    async def readable(scope: Scope, receive: Receive, send: Send) -> None:
        origin = read_origin(scope)
        if origin is not None and _is_preflight(scope):
            readers = await _readers(services, scope, origin, unnamed=True)
            allowed = (*_PREFLIGHT, (b"access-control-allow-methods", methods)) if readers else ()
            await send_response(send, Response(204, (*VARY, *readers, *allowed), b""))
            return

        async def send_readable(message: Message) -> None:
            if message["type"] == "http.response.start":
                readers: Headers = ()
                if origin is not None:
                    readers = await _readers(services, scope, origin, unnamed=unnamed)
                message["headers"] = [*message["headers"], *VARY, *readers]
            await send(message)

        await endpoint(scope, receive, send_readable)

    return readable


def _is_preflight(scope: Scope) -> bool:
    asked = header_values(scope["headers"], b"access-control-request-method")
    return scope["method"] == "OPTIONS" and bool(asked)  # pyright: ignore[reportGeneralTypeIssues]


async def _readers(services: Services, scope: Scope, origin: str, *, unnamed: bool) -> Headers:
    """Let the page read it, if it is of the client that the request names, or else of any."""
    named = request_of(scope).client_id
    known = named is None and unnamed and await services.app_origins.has(origin)
    with suppress(DatabaseUnavailable, TimeoutError):
        client = await services.clients.find(named) if named else None
        if client is not None and client.enabled:
            known = origin in web_origins(client.redirect_uris)
    return ((b"access-control-allow-origin", origin.encode("latin-1")), EXPOSED) if known else ()
