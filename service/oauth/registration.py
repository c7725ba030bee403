"""A client's registration: what an operator says of it, and what is refused why."""

import re
from dataclasses import dataclass, fields, replace
from datetime import timedelta

from service.oauth.client import (
    ADMIN_SCOPE,
    GRANT_TYPES,
    MAX_ACCESS_TOKEN_TTL,
    SECRET_METHODS,
    Client,
    admin_audience,
    is_client_id,
    is_origin,
)
from service.oauth.code_rules import code_faults, redirect_faults
from service.oauth.scope import OIDC_SCOPES, is_scope_value
from service.oauth.signing_key import RS256, TOKEN_ALGORITHMS

MIN_ACCESS_TOKEN_TTL = timedelta(seconds=60)
# A retry must fit in: a client's time-out and one more try.
MAX_GRACE = timedelta(seconds=60)
MIN_SESSION_TTL = timedelta(minutes=10)
MAX_SESSION_TTL = timedelta(days=365)

_METHODS = {"public": frozenset({"none"}), "confidential": SECRET_METHODS}
_AUDIENCE = re.compile(r"[\x21-\x7E]{1,255}")

# A member of a registration, and a sentence on what is wrong with it.
Fault = tuple[str, str]


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
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    require_pkce: bool = True
    consent: str = "ask"

    @classmethod
    def of(cls, client: Client) -> "Registration":
        """What was said of a client that is there."""
        return cls(**{field.name: getattr(client, field.name) for field in fields(cls)})

    def faults(self, issuer: str) -> list[str]:
        """Every reason why this can't be registered, each a sentence; empty when it can."""
        return [sentence for _, sentence in self.named_faults(issuer)]

    def named_faults(self, issuer: str) -> list[Fault]:
        """The same, each with the member that it is about."""
        return [
            *self._identity_faults(),
            *self._grant_faults(),
            *self._audience_faults(issuer),
            *redirect_faults(self),
            *code_faults(self),
            *self._session_faults(),
            *self._first_party_faults(),
            *self._administrator_faults(issuer),
        ]

    def for_administration(self, issuer: str) -> "Registration":
        """The registration with what tokens for /admin need, or without it, as it is marked."""
        audience = admin_audience(issuer)
        audiences = tuple(it for it in self.audiences if it != audience)
        scopes = tuple(it for it in self.scopes if it != ADMIN_SCOPE)
        default_scopes = tuple(it for it in self.default_scopes if it != ADMIN_SCOPE)
        if self.administrator:
            audiences, scopes = (*audiences, audience), (*scopes, ADMIN_SCOPE)
            default_scopes = self.default_scopes
        return replace(self, audiences=audiences, scopes=scopes, default_scopes=default_scopes)

    def _identity_faults(self) -> list[Fault]:
        faults: list[Fault] = []
        if not is_client_id(self.id):
            faults.append(
                ("id", "id must be 3 to 64 of A-Z a-z 0-9 _ - and neither a UUID nor a secret")
            )
        if not self.name.isprintable() or not 1 <= len(self.name) <= 200:  # noqa: PLR2004
            faults.append(("name", "name must be 1 to 200 printable characters"))
        if self.token_endpoint_auth_method not in _METHODS.get(self.type, ()):
            faults.append(
                (
                    "token_endpoint_auth_method",
                    "a public client has the method none, a confidential one a secret",
                )
            )
        return faults

    def _grant_faults(self) -> list[Fault]:
        faults: list[Fault] = []
        if unknown := set(self.grant_types) - GRANT_TYPES:
            faults.append(
                ("grant_types", f"grant types that this release does not have: {sorted(unknown)}")
            )
        # RFC 6749 §4.4: only confidential clients
        if self.type == "public" and "client_credentials" in self.grant_types:
            faults.append(("grant_types", "a public client can't have client_credentials"))
        if not all(map(is_scope_value, (*self.scopes, *self.default_scopes))):
            faults.append(("scopes", 'scope values are printable ASCII without space, " and \\'))
        if not set(self.default_scopes) <= set(self.scopes):
            faults.append(("default_scopes", "default scopes must be among the scopes"))
        if self.signing_alg not in TOKEN_ALGORITHMS:
            faults.append(
                ("signing_alg", f"tokens are signed with {' or '.join(TOKEN_ALGORITHMS)}")
            )
        if not MIN_ACCESS_TOKEN_TTL <= self.access_token_ttl <= MAX_ACCESS_TOKEN_TTL:
            faults.append(("access_token_ttl", "access token lifetime must be 60 to 600 seconds"))
        return faults

    def _audience_faults(self, issuer: str) -> list[Fault]:
        faults: list[Fault] = []
        faults += [
            (member, "an audience is 1 to 255 printable ASCII characters without space")
            for member in ("audiences", "serves")
            if not all(map(_AUDIENCE.fullmatch, getattr(self, member)))
        ]
        if {self.id, issuer} & set(self.audiences):
            faults.append(("audiences", "an audience can't be the client's id or the issuer"))
        # OpenID Connect alone: its tokens are for UserInfo (AT-3). A client's own never are.
        is_oidc = bool(self.scopes) and set(self.scopes) <= OIDC_SCOPES
        grants = [it for it in self.grant_types if it == "client_credentials" or not is_oidc]
        if grants and not self.audiences:
            named = " and ".join(grants)
            faults.append(("audiences", f"{named} needs an audience: the API the tokens are for"))
        return faults

    def _session_faults(self) -> list[Fault]:
        faults: list[Fault] = []
        if not timedelta(0) <= self.grace <= MAX_GRACE:
            faults.append(("grace", "the grace window must be 0 to 60 seconds"))
        if not MIN_SESSION_TTL <= self.session_idle_ttl <= self.session_absolute_ttl:
            faults.append(
                (
                    "session_idle_ttl",
                    "the idle lifetime must be 10 minutes to the absolute lifetime",
                )
            )
        if self.session_absolute_ttl > MAX_SESSION_TTL:
            faults.append(
                ("session_absolute_ttl", "the absolute lifetime must be at most 365 days")
            )
        return faults

    def _first_party_faults(self) -> list[Fault]:
        faults: list[Fault] = []
        if self.refresh_delivery not in {"body", "cookie"}:
            faults.append(("refresh_delivery", "refresh tokens are delivered by body or cookie"))
        if not self.first_party:
            if self.refresh_delivery == "cookie" or self.allowed_origins:
                faults.append(("first_party", "cookies and origins are for first-party clients"))
            return faults
        if self.type != "public":
            faults.append(("type", "a first-party client is public: it runs on people's devices"))
        if not (self.audiences and self.scopes):
            faults.append(
                (
                    "scopes" if self.audiences else "audiences",
                    "a first-party client needs an audience and a scope for its tokens",
                )
            )
        if self.refresh_delivery == "cookie" and self.grant_types:
            faults.append(
                (
                    "grant_types",
                    "a client with a cookie can't use the token endpoint: name no grant",
                )
            )
        faults += [
            (
                "allowed_origins",
                f"no origin: {origin!r}; write https://app.example, without a path",
            )
            for origin in self.allowed_origins
            if not is_origin(origin)
        ]
        return faults

    def _administrator_faults(self, issuer: str) -> list[Fault]:
        audience = admin_audience(issuer)
        if self.administrator and not (audience in self.audiences and ADMIN_SCOPE in self.scopes):
            return [
                (
                    "administrator",
                    f"an administrator has the audience {audience} and the scope {ADMIN_SCOPE}",
                )
            ]
        if not self.administrator and (audience in self.audiences or ADMIN_SCOPE in self.scopes):
            return [("administrator", f"{audience} and {ADMIN_SCOPE} are for administrators")]
        return []


CONFIDENTIAL = Registration(
    id="",
    name="",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",  # noqa: S106 (a method's name)
    grant_types=("client_credentials",),
    audiences=(),
    scopes=(),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
)
PUBLIC = replace(
    CONFIDENTIAL,
    type="public",
    token_endpoint_auth_method="none",  # noqa: S106 (a method's name)
    grant_types=(),
)
