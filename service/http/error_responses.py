"""The one mapping from refusals and outages to responses: status, JSON, challenge, log line."""

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import msgspec
from litestar import Request
from litestar import Response as LitestarResponse
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap

from service.flows.import_key import UnfitKey
from service.flows.kill_key import UnknownKey
from service.flows.manage_clients import (
    ClientExists,
    ClientRefused,
    UnfitRegistration,
    UnknownClient,
)
from service.flows.manage_users import UnknownUser, UserRefused
from service.flows.rotate_keys import NoNextKey
from service.hashing import HashingBusy
from service.http.headers import JSON, NO_STORE
from service.keys.signer import SignerUnavailable
from service.oauth.errors import (
    ClientIdIsTaken,
    InsufficientScope,
    InvalidClient,
    InvalidRequest,
    InvalidToken,
    MethodNotAllowed,
    MissingToken,
    NameIsTaken,
    NotFound,
    OAuthError,
    ServerError,
    TemporarilyUnavailable,
)
from service.sql.connection import DatabaseUnavailable
from service.sql.users import NameTaken
from service.telemetry import log

_CHALLENGE = (b"www-authenticate", b'Basic realm="as"')
_RETRY_AFTER = timedelta(seconds=1)
_UNAUTHORIZED = 401
_FIELDS = "the request has faults; see fields"
# A running pod makes the next key within this.
_NEXT_KEY = timedelta(seconds=15)
_UNKNOWN: dict[type[Exception], str] = {
    UnknownClient: "client",
    UnknownUser: "user",
    UnknownKey: "key",
}
# What flows refuse to do for an administrator, as they refuse it on the command line.
_ADMINISTRATION = (ClientRefused, UserRefused, UnknownKey, UnfitKey, NoNextKey)


@dataclass(frozen=True, slots=True)
class Response:
    """A whole response, ready to send."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    error: str | None = None
    reason: str | None = None


def as_refusal(error: Exception) -> OAuthError:
    """What the client may know of an exception: a refusal as it is, an outage, or a bare fault."""
    if isinstance(error, OAuthError):
        return error
    if isinstance(error, HashingBusy):
        return TemporarilyUnavailable(
            "too many logins at once; try again shortly", retry_after=error.retry_after
        )
    if isinstance(error, NameTaken):
        return NameIsTaken(error.member)
    if isinstance(error, _ADMINISTRATION):
        return _of_administration(error)
    if isinstance(error, DatabaseUnavailable | SignerUnavailable | TimeoutError):
        return TemporarilyUnavailable("a dependency is away; try again shortly", reason=str(error))
    log.error("failure", exc_info=error)
    return ServerError("the server failed; the fault is logged")


def _of_administration(error: Exception) -> OAuthError:
    """A refusal of what an administrator asked for."""
    if unknown := _UNKNOWN.get(type(error)):
        return NotFound(f"there is no such {unknown}")
    match error:
        case ClientExists():
            return ClientIdIsTaken("that client id is taken", fields={"id": "is taken"})
        case UnfitRegistration():
            return InvalidRequest(_FIELDS, fields=dict(error.faults))
        case UnfitKey():
            return InvalidRequest(_FIELDS, fields={"private_key": str(error)})
        case NoNextKey():
            return TemporarilyUnavailable("no key is pending yet", retry_after=_NEXT_KEY)
        case _:
            return InvalidRequest("that can't be done here", reason=str(error))


def render_error(error: Exception, *, challenge: bool) -> Response:
    """The response to an exception; `challenge`: a 401 with WWW-Authenticate for invalid_client.

    RFC 6749 §5.2: 401 where the Authorization header was used. Without it, 400 (TOK-10).
    """
    refusal = as_refusal(error)
    status, headers = refusal.status, [JSON, *NO_STORE]
    if isinstance(refusal, InvalidClient) and challenge:
        status = _UNAUTHORIZED
        headers.append(_CHALLENGE)
    if isinstance(refusal, TemporarilyUnavailable):
        headers.append(retry_after_header(refusal))
    if isinstance(refusal, InvalidToken):
        headers.append((b"www-authenticate", _bearer_challenge(refusal)))
    if isinstance(refusal, InsufficientScope):
        headers.append((b"www-authenticate", _scope_challenge(refusal)))
    if isinstance(refusal, MethodNotAllowed):
        headers.append((b"allow", ", ".join(refusal.allowed).encode()))
    body: dict[str, Any] = {"error": refusal.code, "error_description": refusal.description}
    if refusal.fields:
        body["fields"] = refusal.fields
    return Response(status, tuple(headers), msgspec.json.encode(body), refusal.code, refusal.reason)


def retry_after_header(refusal: TemporarilyUnavailable) -> tuple[bytes, bytes]:
    """RFC 9110 §10.2.3, in whole seconds."""
    seconds = math.ceil((refusal.retry_after or _RETRY_AFTER).total_seconds())
    return (b"retry-after", str(seconds).encode())


def _bearer_challenge(refusal: InvalidToken) -> bytes:
    """RFC 6750 §3: without an error code where no token was sent."""
    if isinstance(refusal, MissingToken):
        return b'Bearer realm="watchword"'
    return (
        b'Bearer realm="watchword", error="invalid_token", '
        b'error_description="' + refusal.description.encode() + b'"'
    )


def _scope_challenge(refusal: InsufficientScope) -> bytes:
    """RFC 6750 §3.1: with the scope that is needed."""
    return (
        'Bearer realm="watchword", error="insufficient_scope", '
        f'error_description="{refusal.description}", scope="{refusal.scope}"'
    ).encode()


def litestar_handlers() -> ExceptionHandlersMap:
    """Handlers that give the framework's own errors (404, 405) the product's JSON."""
    return {HTTPException: _from_litestar, Exception: _from_exception}


def _from_litestar(_: Request[Any, Any, Any], error: HTTPException) -> LitestarResponse[bytes]:
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
    body = {
        "error": code,
        "error_description": "see /.well-known/oauth-authorization-server for what is here",
    }
    headers = {**(error.headers or {}), "cache-control": "no-store"}
    return LitestarResponse(
        msgspec.json.encode(body),
        status_code=error.status_code,
        media_type="application/json",
        headers=headers,
    )


def _from_exception(_: Request[Any, Any, Any], error: Exception) -> LitestarResponse[bytes]:
    response = render_error(error, challenge=False)
    return LitestarResponse(
        response.body,
        status_code=response.status,
        headers={name.decode(): value.decode() for name, value in response.headers},
    )
