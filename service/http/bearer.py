"""The access token of a request under /api and /admin: RFC 6750 §2.1, and whose it must be."""

import re
from uuid import UUID

from litestar.types import Scope

from service.flows.administer_users import is_administrator
from service.flows.client_credentials import utc_now
from service.flows.read_token import read_token
from service.http.headers import header_values
from service.http.services import Services
from service.oauth.access_token import AccessToken
from service.oauth.client import ADMIN_SCOPE, Client, admin_audience
from service.oauth.errors import (
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    TemporarilyUnavailable,
)

_TOKEN68 = re.compile(rb"[A-Za-z0-9._~+/-]+=*")
_REFUSED = "the access token is invalid, expired or revoked"
_NO_ADMINISTRATOR = "this needs an administrator's access token"


async def read_bearer(scope: Scope, services: Services) -> tuple[AccessToken, Client]:
    """The live token of a user's session with a first-party client, and that client.

    Raises MissingToken, InvalidRequest for two headers, InvalidToken for all else (RS-1, RS-2).
    """
    access = _read_current(scope, services)
    if access is None or access.session_id is None:
        raise InvalidToken(_REFUSED, reason="no current token of a session")
    client = await services.clients.find(access.client_id)
    if client is None or not client.first_party or access.audience not in client.audiences:
        raise InvalidToken(_REFUSED, reason="not of a first-party client")
    await _check_live(access, services)
    return access, client


async def read_administrator(scope: Scope, services: Services) -> AccessToken:
    """The live token of an administrator, for /admin.

    Who is one, PostgreSQL says at each request: a mark that was taken away counts at once. Raises
    MissingToken, InvalidRequest for two headers, InvalidToken, InsufficientScope (ATK-105).
    """
    access = _read_current(scope, services)
    if access is None or access.audience != admin_audience(services.issuer):
        raise InvalidToken(_REFUSED, reason="no current token for /admin")
    await _check_live(access, services)
    if ADMIN_SCOPE not in access.scope.split(" "):
        raise InsufficientScope(_NO_ADMINISTRATOR, ADMIN_SCOPE, reason="lacks the scope")
    user_id = None if access.session_id is None else user_of(access)
    if not await is_administrator(services.database, access.client_id, user_id):
        raise InsufficientScope(_NO_ADMINISTRATOR, ADMIN_SCOPE, reason="lacks the mark")
    return access


async def read_openid(scope: Scope, services: Services) -> AccessToken:
    """The live token of a user's session that may ask who that is, whatever its audience (AT-3).

    Raises MissingToken, InvalidRequest for two headers, InvalidToken, InsufficientScope (IDT-4).
    """
    access = _read_current(scope, services)
    if access is None or access.session_id is None:
        raise InvalidToken(_REFUSED, reason="no current token of a session")
    await _check_live(access, services)
    if "openid" not in access.scope.split(" "):
        raise InsufficientScope("the scope openid is needed", "openid", reason="lacks openid")
    return access


def _read_current(scope: Scope, services: Services) -> AccessToken | None:
    """The token of this issuer, if it is one and within its time; it may be revoked."""
    access = read_token(_read_header(scope), services.keyring, services.issuer)
    return access if access is not None and access.is_current(utc_now()) else None


async def _check_live(access: AccessToken, services: Services) -> None:
    live = await services.live_tokens.is_live(access)
    if live is None:
        raise TemporarilyUnavailable("revocations are being recovered; try again shortly")
    if not live:
        raise InvalidToken(_REFUSED, reason="revoked, or its session's claims changed")


def _read_header(scope: Scope) -> str:
    """The token itself. A scheme other than Bearer sends none (RFC 6750 §3.1)."""
    headers = header_values(scope["headers"], b"authorization")
    if len(headers) > 1:
        raise InvalidRequest("send one Authorization header")
    scheme, _, rest = (headers[0].strip() if headers else b"").partition(b" ")
    if scheme.lower() != b"bearer":
        raise MissingToken("send an access token: Authorization: Bearer TOKEN")
    match = _TOKEN68.fullmatch(rest.strip(b" "))
    if match is None:
        raise InvalidToken(_REFUSED, reason="no bearer token")
    return match[0].decode()


def user_of(access: AccessToken) -> UUID:
    """The user whom a session's token is about."""
    return UUID(access.subject)
