"""A client: a registered application. RFC 6749 §2."""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from service.oauth.issuer import issuer_faults
from service.oauth.scope import is_scope_value
from service.oauth.signing_key import RS256, TOKEN_ALGORITHMS

SECRET_PREFIX = "wws_"  # noqa: S105 (the prefix by which secret scanners find leaks)

MIN_ACCESS_TOKEN_TTL = timedelta(seconds=60)
# The constant ceiling that no setting exceeds: revocations need to be remembered for this long.
MAX_ACCESS_TOKEN_TTL = timedelta(seconds=600)

# A retry must fit in: a client's time-out and one more try.
MAX_GRACE = timedelta(seconds=60)
MIN_SESSION_TTL = timedelta(minutes=10)
MAX_SESSION_TTL = timedelta(days=365)
# Shadow mode ends by itself: what watches for ever protects nobody.
SHADOW_TTL = timedelta(days=30)

GRANT_TYPES = frozenset({"client_credentials", "refresh_token"})
SECRET_METHODS = frozenset({"client_secret_basic", "client_secret_post"})
_METHODS = {"public": frozenset({"none"}), "confidential": SECRET_METHODS}

# What a token for /admin says, beside its audience.
ADMIN_SCOPE = "watchword:admin"

_CLIENT_ID = re.compile(r"[A-Za-z0-9_-]{3,64}")
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_AUDIENCE = re.compile(r"[\x21-\x7E]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """What the service knows of a client. `epoch` counts its revocations (DIST-4).

    `grace`: how long after a rotation the token just spent may be retried; 0 is strict single use.
    `signing_alg`: what its tokens are signed with. `administrator`: whether it may use /admin.
    """

    id: str
    name: str
    type: str
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """What an operator says about a new client."""

    id: str
    name: str
    type: str
    token_endpoint_auth_method: str
    grant_types: tuple[str, ...]
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    default_scopes: tuple[str, ...]
    serves: tuple[str, ...]
    access_token_ttl: timedelta
    session_idle_ttl: timedelta = timedelta(days=7)
    session_absolute_ttl: timedelta = timedelta(days=30)
    grace: timedelta = timedelta(seconds=30)
    first_party: bool = False
    refresh_delivery: str = "body"
    allowed_origins: tuple[str, ...] = ()
    signing_alg: str = RS256
    administrator: bool = False

    def faults(self, issuer: str) -> list[str]:
        """Every reason why this can't be registered, each a sentence; empty when it can."""
        return [
            *self._identity_faults(),
            *self._grant_faults(),
            *self._audience_faults(issuer),
            *self._session_faults(),
            *self._first_party_faults(),
            *self._administrator_faults(issuer),
        ]

    def for_administration(self, issuer: str) -> "Registration":
        """The registration with what tokens for /admin need, or without it, as it is marked."""
        audience = admin_audience(issuer)
        audiences = tuple(it for it in self.audiences if it != audience)
        scopes = tuple(it for it in self.scopes if it != ADMIN_SCOPE)
        if self.administrator:
            audiences, scopes = (*audiences, audience), (*scopes, ADMIN_SCOPE)
        return replace(self, audiences=audiences, scopes=scopes)

    def _identity_faults(self) -> list[str]:
        faults: list[str] = []
        if not is_client_id(self.id):
            faults.append("id must be 3 to 64 of A-Z a-z 0-9 _ - and neither a UUID nor a secret")
        if not self.name.isprintable() or not 1 <= len(self.name) <= 200:  # noqa: PLR2004
            faults.append("name must be 1 to 200 printable characters")
        if self.token_endpoint_auth_method not in _METHODS.get(self.type, ()):
            faults.append("a public client has the method none, a confidential one a secret")
        return faults

    def _grant_faults(self) -> list[str]:
        faults: list[str] = []
        if unknown := set(self.grant_types) - GRANT_TYPES:
            faults.append(f"grant types that this release does not have: {sorted(unknown)}")
        # RFC 6749 §4.4: only confidential clients
        if self.type == "public" and "client_credentials" in self.grant_types:
            faults.append("a public client can't have client_credentials")
        if not all(map(is_scope_value, (*self.scopes, *self.default_scopes))):
            faults.append('scope values are printable ASCII without space, " and \\')
        if not set(self.default_scopes) <= set(self.scopes):
            faults.append("default scopes must be among the scopes")
        if self.signing_alg not in TOKEN_ALGORITHMS:
            faults.append(f"tokens are signed with {' or '.join(TOKEN_ALGORITHMS)}")
        if not MIN_ACCESS_TOKEN_TTL <= self.access_token_ttl <= MAX_ACCESS_TOKEN_TTL:
            faults.append("access token lifetime must be 60 to 600 seconds")
        return faults

    def _audience_faults(self, issuer: str) -> list[str]:
        faults: list[str] = []
        if not all(map(_AUDIENCE.fullmatch, (*self.audiences, *self.serves))):
            faults.append("an audience is 1 to 255 printable ASCII characters without space")
        if {self.id, issuer} & set(self.audiences):
            faults.append("an audience can't be the client's id or the issuer")
        if self.grant_types and not self.audiences:
            grants = " and ".join(self.grant_types)
            faults.append(f"{grants} needs an audience: the API the tokens are for")
        return faults

    def _session_faults(self) -> list[str]:
        faults: list[str] = []
        if not timedelta(0) <= self.grace <= MAX_GRACE:
            faults.append("the grace window must be 0 to 60 seconds")
        if not MIN_SESSION_TTL <= self.session_idle_ttl <= self.session_absolute_ttl:
            faults.append("the idle lifetime must be 10 minutes to the absolute lifetime")
        if self.session_absolute_ttl > MAX_SESSION_TTL:
            faults.append("the absolute lifetime must be at most 365 days")
        return faults

    def _first_party_faults(self) -> list[str]:
        faults: list[str] = []
        if self.refresh_delivery not in {"body", "cookie"}:
            faults.append("refresh tokens are delivered by body or cookie")
        if not self.first_party:
            if self.refresh_delivery == "cookie" or self.allowed_origins:
                faults.append("cookies and origins are for first-party clients")
            return faults
        if self.type != "public":
            faults.append("a first-party client is public: it runs on people's devices")
        if not (self.audiences and self.scopes):
            faults.append("a first-party client needs an audience and a scope for its tokens")
        if self.refresh_delivery == "cookie" and self.grant_types:
            faults.append("a client with a cookie can't use the token endpoint: name no grant")
        faults += [
            f"no origin: {origin!r}; write https://app.example, without a path"
            for origin in self.allowed_origins
            if not is_origin(origin)
        ]
        return faults

    def _administrator_faults(self, issuer: str) -> list[str]:
        audience = admin_audience(issuer)
        if self.administrator and not (audience in self.audiences and ADMIN_SCOPE in self.scopes):
            return [f"an administrator has the audience {audience} and the scope {ADMIN_SCOPE}"]
        if not self.administrator and (audience in self.audiences or ADMIN_SCOPE in self.scopes):
            return [f"{audience} and {ADMIN_SCOPE} are for administrators"]
        return []
