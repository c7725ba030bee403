"""ID Tokens and what UserInfo tells: OpenID Connect Core §2, §3.1.3.6 and §5.3."""

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

from service.oauth.client import is_client_id
from service.oauth.jws import encode_base64url
from service.oauth.session import Session
from service.oauth.user import User

# So that it never passes as an access token, whose type is at+jwt (IDT-2).
TYP = "JWT"
ID_TOKEN_TTL = timedelta(seconds=600)


@dataclass(frozen=True, slots=True, kw_only=True)
class IdTokenHint:
    """Whom an ID Token of ours was about, and which client had it; perhaps long ago."""

    user_id: UUID
    client_id: str
    session_id: UUID | None


def id_token_claims(
    *, issuer: str, client_id: str, session: Session, access_token: str, nonce: str | None = None
) -> dict[str, Any]:
    """The claims of an ID Token beside this access token (IDT-1); `iat` is the session's clock.

    `nonce`: as the authorization request had it; a refresh has none. All else a refresh repeats,
    so that `auth_time` stays that of the login (RT-16, Core §12.2).
    """
    issued_at = int(session.now.timestamp())
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": str(session.user_id),
        "aud": client_id,
        "iat": issued_at,
        "exp": issued_at + int(ID_TOKEN_TTL.total_seconds()),
        "auth_time": int(session.auth_time.timestamp()),
        "at_hash": at_hash(access_token),
        "sid": str(session.id),
    }
    known = {"nonce": nonce, "acr": session.acr, "amr": session.amr}
    return claims | {name: value for name, value in known.items() if value}


def at_hash(access_token: str) -> str:
    """The left half of the access token's SHA-256, for RS256 and ES256 alike (Core §3.1.3.6)."""
    return encode_base64url(sha256(access_token.encode()).digest()[:16])


def read_id_token_hint(
    header: dict[str, Any], claims: dict[str, Any], issuer: str
) -> IdTokenHint | None:
    """Whom the hint is about; None unless this issuer can have written it as an ID Token.

    The caller has proven the signature. `exp` is not judged: a hint tells who was here before
    (Core §3.1.2.1, RP-Initiated Logout §2), and no access token is one (ATK-13).
    """
    client_id, user_id = claims.get("aud"), _read_uuid(claims.get("sub"))
    if header.get("typ") != TYP or claims.get("iss") != issuer or user_id is None:
        return None
    if not (isinstance(client_id, str) and is_client_id(client_id)):
        return None
    session_id = _read_uuid(claims.get("sid"))
    if "sid" in claims and session_id is None:
        return None
    return IdTokenHint(user_id=user_id, client_id=client_id, session_id=session_id)


def userinfo_claims(user: User, scope: tuple[str, ...]) -> dict[str, Any]:
    """What UserInfo tells of a user to who has this scope (IDT-3, Core §5.3.2 and §5.4).

    What the user has not said is left out. No address is verified before there is mail.
    """
    claims: dict[str, Any] = {"sub": str(user.id)}
    if "profile" in scope:
        profile = {
            "name": user.full_name,
            "preferred_username": user.username,
            "picture": user.avatar_url,
        }
        claims |= {name: value for name, value in profile.items() if value}
    if "email" in scope and user.email:
        claims |= {"email": user.email, "email_verified": False}
    return claims


def _read_uuid(value: Any) -> UUID | None:
    """A UUID in the one spelling that this server writes."""
    if not isinstance(value, str):
        return None
    try:
        uuid = UUID(value)
    except ValueError:
        return None
    return uuid if str(uuid) == value else None
