"""JWT access tokens: RFC 9068 §2.2, and the checks of its §4 that need no key."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeGuard
from uuid import UUID

from service.oauth.client import MAX_ACCESS_TOKEN_TTL, Client, is_client_id
from service.oauth.session import Session

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
    session_id: UUID | None = None
    claims_version: int | None = None
    auth_time: int | None = None
    acr: str | None = None
    amr: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()

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


def session_claims(
    *,
    issuer: str,
    client: Client,
    session: Session,
    audience: str,
    scope: tuple[str, ...],
    jti: UUID,
) -> dict[str, Any]:
    """The claims of a token of a user's session (AT-2); `iat` is the clock of its statement.

    It never outlives its session. RFC 9068 §2.2.1: auth_time, acr and amr stay those of the login.
    """
    issued_at = int(session.now.timestamp())
    ttl = min(client.access_token_ttl, session.expires_at - session.now)
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": str(session.user_id),
        "aud": audience,
        "client_id": client.id,
        "scope": " ".join(scope),
        "iat": issued_at,
        "exp": issued_at + max(1, int(ttl.total_seconds())),
        "jti": str(jti),
        "sid": str(session.id),
        "cep": session.client_epoch,
        "cv": session.claims_version,
        "auth_time": int(session.auth_time.timestamp()),
        "amr": session.amr,
    }
    if session.roles:
        claims["roles"] = session.roles
    if session.acr is not None:
        claims["acr"] = session.acr
    return claims


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
    audience, client_id, scope = claims.get("aud"), claims.get("client_id"), claims.get("scope")
    jti, epoch = claims.get("jti"), claims.get("cep")
    if not (isinstance(client_id, str) and is_client_id(client_id) and _is_count(epoch)):
        return None
    if not (_is_text(audience) and _is_text(scope) and _is_uuid(jti)):
        return None
    of_whom = _read_user(claims) if "sid" in claims else _read_client(claims)
    if of_whom is None:
        return None
    return AccessToken(
        issuer=issuer,
        audience=audience,
        client_id=client_id,
        scope=scope,
        jti=jti,
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        client_epoch=epoch,
        **of_whom,
    )


def _read_client(claims: dict[str, Any]) -> dict[str, Any] | None:
    """What says that a client's own token is its own: `sub` is the client (CC-2)."""
    is_own = claims.get("sub") == claims["client_id"]
    return {"subject": claims["sub"]} if is_own else None


def _read_user(claims: dict[str, Any]) -> dict[str, Any] | None:
    """What a token says of its user and session; a user is a UUID, which no client is (RS-8)."""
    subject, session_id, acr = claims.get("sub"), claims.get("sid"), claims.get("acr")
    version, auth_time = claims.get("cv"), claims.get("auth_time")
    amr, roles = claims.get("amr"), claims.get("roles", [])
    if not (_is_uuid(subject) and _is_uuid(session_id)):
        return None
    if not (_is_count(version) and _is_count(auth_time) and _is_texts(amr) and _is_texts(roles)):
        return None
    if acr is not None and not _is_text(acr):
        return None
    return {
        "subject": subject,
        "session_id": UUID(session_id),
        "claims_version": version,
        "auth_time": auth_time,
        "acr": acr,
        "amr": tuple(amr),
        "roles": tuple(roles),
    }


def _has_times(claims: dict[str, Any]) -> bool:
    issued_at, expires_at = claims.get("iat"), claims.get("exp")
    if not (_is_count(issued_at) and _is_count(expires_at)) or "nbf" in claims:
        return False
    return 0 < expires_at - issued_at <= MAX_ACCESS_TOKEN_TTL.total_seconds()


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 1 << 53


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_PRINTABLE.fullmatch(value))


def _is_texts(value: Any) -> TypeGuard[list[str]]:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_uuid(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(_UUID.fullmatch(value))
