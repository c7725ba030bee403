"""grant_type=client_credentials: RFC 6749 §4.4."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from service.keys.keyring import Keyring
from service.keys.sign import sign
from service.oauth.access_token import TYP, client_credentials_claims
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.resource import choose_audience
from service.oauth.scope import grant_scope
from service.oauth.uuid7 import RANDOM_BYTES, uuid7


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """An access token, its lifetime in seconds and its scope (RFC 6749 §5.1)."""

    access_token: str
    expires_in: int
    scope: str


def utc_now() -> datetime:
    """The pod's clock."""
    return datetime.now(UTC)


def issue_to_client(
    client: Client,
    *,
    scope: str | None,
    resources: tuple[str, ...],
    keyring: Keyring,
    issuer: str,
    clock: Callable[[], datetime] = utc_now,
) -> IssuedToken:
    """A client's own access token.

    Raises InvalidTarget, InvalidScope, or TemporarilyUnavailable when this pod has had no word
    of the signing keys for 10 minutes: one of them may be dead.
    """
    audience = choose_audience(resources, client.audiences)
    granted = grant_scope(scope, allowed=client.scopes, default=client.default_scopes)
    signer = keyring.token_signer(client.signing_alg)
    if signer is None:
        raise TemporarilyUnavailable("the server can't sign at present; try again shortly")
    now = clock()
    claims = client_credentials_claims(
        issuer=issuer,
        client=client,
        audience=audience,
        scope=granted,
        jti=uuid7(int(now.timestamp() * 1000), secrets.token_bytes(RANDOM_BYTES)),
        now=now,
    )
    return IssuedToken(
        access_token=sign(signer, TYP, claims),
        expires_in=claims["exp"] - claims["iat"],
        scope=claims["scope"],
    )
