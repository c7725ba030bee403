"""A client: a registered application. RFC 6749 §2."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from service.oauth.issuer import issuer_faults

SECRET_PREFIX = "wws_"  # noqa: S105 (the prefix by which secret scanners find leaks)

# The constant ceiling that no setting exceeds: revocations need to be remembered for this long.
MAX_ACCESS_TOKEN_TTL = timedelta(seconds=600)

# Shadow mode ends by itself: what watches for ever protects nobody.
SHADOW_TTL = timedelta(days=30)

GRANT_TYPES = frozenset({"authorization_code", "client_credentials", "refresh_token"})
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post"})

# What a token for /admin says, beside its audience.
ADMIN_SCOPE = "watchword:admin"

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{3,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the service knows of a client. `epoch` counts its revocations (DIST-4).

    `grace`: how long after a rotation the token just spent may be retried; 0 is strict single use.
    `signing_alg`: what its tokens are signed with. `administrator`: whether it may use /admin.
    `require_pkce`: False waives it for OpenID Connect with a secret (CONF-3). `consent`: whether
    users are asked ('ask'), or its operator answers for them ('skip').
    """

    id: str
    name: str
    type: str
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
    redirect_uris: tuple[str, ...]
    post_logout_redirect_uris: tuple[str, ...]
    require_pkce: bool
    consent: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    default_scopes: tuple[str, ...]
    serves: tuple[str, ...]
    access_token_ttl: timedelta
    session_idle_ttl: timedelta
    session_absolute_ttl: timedelta
    grace: timedelta
    shadow_until: datetime | None
    first_party: bool
    refresh_delivery: str
    allowed_origins: tuple[str, ...]
    signing_alg: str
    administrator: bool
    epoch: int
    enabled: bool
    secret_digests: tuple[bytes, ...]

    @property
    def is_public(self) -> bool:
        """Whether the client can keep no secret (RFC 6749 §2.1)."""
        return self.type == "public"

    @property
    def has_cookie(self) -> bool:
        """Whether its refresh tokens travel in a cookie, and never in a body."""
        return self.first_party and self.refresh_delivery == "cookie"

    def has_secret(self, secret: str) -> bool:
        """Whether the secret is one of the client's live ones; takes the same time either way."""
        digest = digest_secret(secret)
        # Every stored digest is compared, so that time does not tell which one matched.
        return any([compare_digest(digest, stored) for stored in self.secret_digests])  # noqa: C419


def digest_secret(secret: str) -> bytes:
    """SHA-256 of a client secret: enough for generated secrets of 256 bits (TOK-16)."""
    return sha256(secret.encode()).digest()


def is_client_id(text: str) -> bool:
    """Whether the text can be a client id: never of a user id's shape (RFC 9700 §4.15).

    Nor of a secret's: ids are logged, also when someone sends a secret in an id's place.
    """
    if text.startswith(SECRET_PREFIX):
        return False
    return bool(_CLIENT_ID.fullmatch(text)) and not _UUID.fullmatch(text)


def admin_audience(issuer: str) -> str:
    """The `aud` of tokens for /admin."""
    return f"{issuer}/admin"


def is_origin(text: str) -> bool:
    """Whether the text is a web origin as browsers write it: https, or http for loopback."""
    return text.count("/") == 2 and not issuer_faults(text)  # noqa: PLR2004 (the two of ://)
