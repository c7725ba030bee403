"""Introspection of an access token: RFC 7662 §2."""

from datetime import datetime
from typing import Any

from service.flows.live_tokens import LiveTokens
from service.flows.read_token import read_token
from service.keys.keyring import Keyring
from service.oauth.access_token import AccessToken
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable

INACTIVE: dict[str, Any] = {"active": False}


async def introspect(
    token: str,
    caller: Client,
    live_tokens: LiveTokens,
    keyring: Keyring,
    issuer: str,
    now: datetime,
) -> dict[str, Any]:
    """The response's members (INT-3); INACTIVE for all that is not both valid and the caller's.

    The caller may ask about its own tokens and those for the audiences it serves. Raises
    DatabaseUnavailable; TemporarilyUnavailable while revocations may have been forgotten.
    """
    access = read_token(token, keyring, issuer)
    if access is None or not access.is_current(now) or not _concerns(caller, access):
        return INACTIVE
    live = await live_tokens.is_live(access)
    if live is None:
        raise TemporarilyUnavailable("revocations are being recovered; try again shortly")
    return _describe(access) if live else INACTIVE


def _concerns(caller: Client, access: AccessToken) -> bool:
    return access.client_id == caller.id or access.audience in caller.serves


def _describe(access: AccessToken) -> dict[str, Any]:
    return {
        "active": True,
        "scope": access.scope,
        "client_id": access.client_id,
        "token_type": "Bearer",
        "exp": access.expires_at,
        "iat": access.issued_at,
        "sub": access.subject,
        "aud": access.audience,
        "iss": access.issuer,
        "jti": access.jti,
        **_describe_session(access),
    }


def _describe_session(access: AccessToken) -> dict[str, Any]:
    if access.session_id is None:
        return {}
    members: dict[str, Any] = {
        "sid": str(access.session_id),
        "auth_time": access.auth_time,
        "amr": access.amr,
        "roles": access.roles,
        "acr": access.acr,
    }
    return {name: value for name, value in members.items() if value}
