"""Glue for Starlette: the ASGI middleware, and decorators that ask for more than a good token.

app = Starlette(routes=[…], middleware=[Middleware(BearerMiddleware, verifier=verifier)])
"""

from collections.abc import Awaitable, Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import ParamSpec, TypeVar, cast

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.websockets import WebSocket

from watchword_verifier._claims import Claims
from watchword_verifier._errors import VerifierError
from watchword_verifier._gate import Gate, ProtectedResource, claims_of
from watchword_verifier.asgi import BearerMiddleware

__all__ = [
    "BearerMiddleware",
    "ProtectedResource",
    "answer",
    "claims_of",
    "requires_role",
    "requires_scope",
]

_P = ParamSpec("_P")
_R = TypeVar("_R")

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


def requires_scope(*names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """An endpoint for tokens that have every one of these scopes; the middleware answers others."""
    return _requires(lambda claims: claims.require_scope(*names))


def requires_role(*names: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """An endpoint for users who have every one of these roles; the middleware answers others."""
    return _requires(lambda claims: claims.require_role(*names))


async def answer(gate: Gate, connection: HTTPConnection, error: VerifierError) -> Response | None:
    """The answer to a refused request; a WebSocket is refused, and there is none."""
    found = gate.answer(error)
    response = Response(found.body, found.status, dict(found.headers))
    if not isinstance(connection, WebSocket):
        return response
    if "websocket.http.response" in (connection.scope.get("extensions") or {}):
        await connection.send_denial_response(response)
    else:
        await connection.close(_POLICY_VIOLATION)
    return None


def _requires(
    check: Callable[[Claims], object],
) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    def decorate(endpoint: Callable[_P, _R]) -> Callable[_P, _R]:
        @wraps(endpoint)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            check(claims_of(_connection(*args, *kwargs.values())))
            return endpoint(*args, **kwargs)

        if not iscoroutinefunction(endpoint):
            return checked

        @wraps(endpoint)
        async def checked_later(*args: _P.args, **kwargs: _P.kwargs) -> object:
            return await cast("Awaitable[object]", checked(*args, **kwargs))

        return cast("Callable[_P, _R]", checked_later)

    return decorate


def _connection(*arguments: object) -> HTTPConnection:
    for argument in arguments:
        if isinstance(argument, HTTPConnection):
            return argument
    raise TypeError("a protected endpoint takes the request, or the WebSocket")
