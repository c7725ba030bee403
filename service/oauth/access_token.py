"""JWT access tokens: RFC 9068 §2.2, and the checks of its §4 that need no key."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard
from uuid import UUID

from service.oauth.client import MAX_ACCESS_TOKEN_TTL, Client, is_client_id

TYP = "at+jwt"
_TYPES = frozenset({TYP, "application/at+jwt"})

# Clocks of two pods may differ by so much (ATK-103).
CLOCK_SKEW = timedelta(seconds=60)
# A verifier's leeway and its clock's difference from ours, 60 s each.
LEEWAY_AND_SKEW = timedelta(minutes=2)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PRINTABLE = re.compile(r"[\x20-\x7E]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """The claims of an access token of this issuer, each checked for its type and shape."""

    issuer: str
    audience: str
    subject: str
    client_id: str
    scope: str
    jti: str
    issued_at: int
    expires_at: int
    client_epoch: int

    def is_current(self, now: datetime) -> bool:
        """Whether the token is within its time; a clock ahead of ours by CLOCK_SKEW is forgiven."""
        seconds = now.timestamp()
        return self.issued_at <= seconds + CLOCK_SKEW.total_seconds() and seconds < self.expires_at

    def is_over(self, now: datetime) -> bool:
        """Whether no verifier accepts it any more, with its leeway and whatever its clock says."""
        return now.timestamp() >= self.expires_at + LEEWAY_AND_SKEW.total_seconds()


def client_credentials_claims(
    *, issuer: str, client: Client, audience: str, scope: tuple[str, ...], jti: UUID, now: datetime
) -> dict[str, Any]:
    """The claims of a client's own token (AT-2): RFC 9068 §2.2, `sub` is the client."""
    issued_at = int(now.timestamp())
    return {
        "iss": issuer,
        "sub": client.id,
        "aud": audience,
        "client_id": client.id,
        "scope": " ".join(scope),
        "iat": issued_at,
        "exp": issued_at + int(client.access_token_ttl.total_seconds()),
        "jti": str(jti),
        "cep": client.epoch,
    }


def is_access_token_type(header: dict[str, Any]) -> bool:
    """Whether a JWS header says that it is an access token (RFC 9068 §4)."""
    typ = header.get("typ")
    return isinstance(typ, str) and typ.lower() in _TYPES


def read_access_token(claims: dict[str, Any], issuer: str) -> AccessToken | None:
    """The token that the claims describe; None unless this issuer can have written them (RS-4).

    Time and revocation are not judged here: an expired token still is somebody's.
    """
    if claims.get("iss") != issuer or not _has_times(claims) or "cnf" in claims:
        return None
    audience, subject, client_id = claims.get("aud"), claims.get("sub"), claims.get("client_id")
    scope, jti, epoch = claims.get("scope"), claims.get("jti"), claims.get("cep")
    if not (_is_text(audience) and _is_text(subject) and _is_text(scope)):
        return None
    # CC-2: every token of this release is a client's own, so its subject is the client.
    if not (isinstance(client_id, str) and is_client_id(client_id)) or subject != client_id:
        return None
    if not (isinstance(jti, str) and _UUID.fullmatch(jti)) or not _is_count(epoch):
        return None
    return AccessToken(
        issuer=issuer,
        audience=audience,
        subject=subject,
        client_id=client_id,
        scope=scope,
        jti=jti,
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        client_epoch=epoch,
    )


def _has_times(claims: dict[str, Any]) -> bool:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not (_is_count(issued_at) and _is_count(expires_at)) or "nbf" in claims:
        return False
    return 0 < expires_at - issued_at <= MAX_ACCESS_TOKEN_TTL.total_seconds()


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 53


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_PRINTABLE.fullmatch(value))
