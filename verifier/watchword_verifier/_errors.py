"""What can be wrong, as a tree.

VerifierError
├── TokenError              the request is refused: 400, 401 or 403
│   ├── MissingToken        401 without an error code (RFC 6750 §3.1)
│   ├── InvalidRequest      400 invalid_request
│   ├── InvalidToken        401 invalid_token
│   │   ├── Malformed, BadSignature, UnknownKey, WrongIssuer, WrongAudience
│   │   ├── Expired, NotYetValid, Revoked
│   │   └── RefreshRequired the session lives: the client gets a new access token
│   └── Forbidden           403
│       ├── InsufficientScope   insufficient_scope
│       └── InsufficientRole    no challenge: another token of the same user would not help
└── Unavailable             503: the token is not at fault
    ├── KeysUnavailable
    └── RevocationsStale

`str(error)` is for your log and never holds a token; what a client may know is in `description`.
"""

import json
from typing import ClassVar

_REALM = "api"


class VerifierError(Exception):
    """Base of all; `status` is the HTTP status that the resource server answers with."""

    status: ClassVar[int]
    code: ClassVar[str | None] = None
    description: ClassVar[str] = ""

    def headers(
        self, *, realm: str = _REALM, resource_metadata: str | None = None
    ) -> list[tuple[str, str]]:
        """The answer's headers: type, no caching, and what the status calls for.

        `resource_metadata` is the URL of the resource's metadata (RFC 9728 §5.1).
        """
        return [
            ("content-type", "application/json"),
            ("cache-control", "no-store"),
            *self._own_headers(realm, resource_metadata),
        ]

    def body(self) -> bytes:
        """The answer's body: error and description as JSON, the same for all causes of one code."""
        members = {"error": self.code, "error_description": self.description}
        return json.dumps({name: value for name, value in members.items() if value}).encode()

    def _own_headers(self, realm: str, resource_metadata: str | None) -> list[tuple[str, str]]:
        del realm, resource_metadata
        return []


class TokenError(VerifierError):
    """The request is refused, with a challenge where RFC 6750 §3 asks for one."""

    status = 401

    def challenge(self, *, realm: str = _REALM, resource_metadata: str | None = None) -> str:
        """The value of WWW-Authenticate (RFC 6750 §3, RFC 9728 §5.1)."""
        parameters = {"realm": realm, **self._parameters(), "resource_metadata": resource_metadata}
        pairs = [f'{name}="{value}"' for name, value in parameters.items() if value]
        return f"Bearer {', '.join(pairs)}"

    def _parameters(self) -> dict[str, str | None]:
        return {"error": self.code, "error_description": self.description}

    def _own_headers(self, realm: str, resource_metadata: str | None) -> list[tuple[str, str]]:
        challenge = self.challenge(realm=realm, resource_metadata=resource_metadata)
        return [("www-authenticate", challenge)]


class MissingToken(TokenError):
    """No credentials were sent: the challenge has no error code (RFC 6750 §3.1)."""


class InvalidRequest(TokenError):
    """Credentials that can't be read in one way only (RFC 6750 §3.1)."""

    status = 400
    code = "invalid_request"
    description = "send one bearer token, in one Authorization header"


class InvalidToken(TokenError):
    """No token that this resource server accepts; a client is not told why (RS-2)."""

    code = "invalid_token"
    description = "the access token is invalid, expired or revoked"


class Malformed(InvalidToken):
    """Not a JWT access token (RFC 9068 §4, RFC 8725 §3)."""


class BadSignature(InvalidToken):
    """The issuer's key did not sign this."""


class UnknownKey(InvalidToken):
    """The issuer does not publish the key that the token names, or the key was killed."""


class WrongIssuer(InvalidToken):
    """`iss` is another issuer."""


class WrongAudience(InvalidToken):
    """`aud` is another resource server."""


class Expired(InvalidToken):
    """`exp` is over."""


class NotYetValid(InvalidToken):
    """`iat` or `nbf` is in the future."""


class Revoked(InvalidToken):
    """The token, its session, its client or its key was revoked."""


class RefreshRequired(InvalidToken):
    """What the token says has changed. The session lives: its client refreshes (DIST-7)."""

    description = "the access token is out of date: refresh it"


class Forbidden(TokenError):
    """A good token that may not do this."""

    status = 403
    code = "insufficient_scope"


class InsufficientScope(Forbidden):
    """The token lacks a scope; the challenge names those that are needed (RFC 6750 §3.1)."""

    description = "the access token lacks a scope that is needed here"

    def __init__(self, *needed: str) -> None:
        super().__init__(f"needs the scope {' '.join(needed)}")
        self.needed = needed

    def _parameters(self) -> dict[str, str | None]:
        return {**super()._parameters(), "scope": " ".join(self.needed)}


class InsufficientRole(Forbidden):
    """The user lacks a role. No challenge: getting another token would not help (RS-2)."""

    code = "access_denied"
    description = "the user lacks a role that is needed here"

    def __init__(self, *needed: str) -> None:
        super().__init__(f"needs the role {' '.join(needed)}")
        self.needed = needed

    def _own_headers(self, realm: str, resource_metadata: str | None) -> list[tuple[str, str]]:
        del realm, resource_metadata
        return []


class Unavailable(VerifierError):
    """The token can't be judged now; it may be good (503, never 401)."""

    status = 503
    code = "temporarily_unavailable"
    description = "tokens can't be verified at present; try again shortly"

    def _own_headers(self, realm: str, resource_metadata: str | None) -> list[tuple[str, str]]:
        del realm, resource_metadata
        return [("retry-after", "1")]


class KeysUnavailable(Unavailable):
    """The issuer's keys were not to be had, or are too old to be believed."""


class RevocationsStale(Unavailable):
    """Nobody said lately what was revoked."""
