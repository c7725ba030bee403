"""Refusals, each named after the error code that an RFC gives it.

OAuthError
├── InvalidRequest InvalidClient InvalidGrant UnauthorizedClient UnsupportedGrantType InvalidScope
├── TooManyAttempts ServerError TemporarilyUnavailable
└── InvalidTarget
"""

from datetime import timedelta
from typing import ClassVar


class OAuthError(Exception):
    """A refusal. `description` goes to the client, `reason` only to our log."""

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(
        self,
        description: str,
        *,
        reason: str | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        super().__init__(description)
        self.description = description
        self.reason = reason
        self.retry_after = retry_after


# RFC 6749 §5.2, in its order.


class InvalidRequest(OAuthError):
    """The request is malformed: a parameter is missing, repeated or unreadable."""

    code = "invalid_request"


class InvalidClient(OAuthError):
    """Client authentication failed; 401 with a challenge, or 400 (`error_responses` picks)."""

    code = "invalid_client"


class InvalidGrant(OAuthError):
    """The grant or refresh token is invalid, expired, revoked or another client's."""

    code = "invalid_grant"


class UnauthorizedClient(OAuthError):
    """The client may not use this grant type."""

    code = "unauthorized_client"


class UnsupportedGrantType(OAuthError):
    """The server does not support the grant type."""

    code = "unsupported_grant_type"


class InvalidScope(OAuthError):
    """The scope is unknown, malformed, or beyond what the client may have."""

    code = "invalid_scope"


# RFC 6749 §4.1.2.1; at the back-channel endpoints as bodies of 500 and 503.


class ServerError(OAuthError):
    """A fault of ours. It carries no detail."""

    code = "server_error"
    status = 500


class TemporarilyUnavailable(OAuthError):
    """A dependency is away or the server is overloaded; the request can be sent again."""

    code = "temporarily_unavailable"
    status = 503


class TooManyAttempts(TemporarilyUnavailable):
    """Too many failed attempts; same code as above, so that clients need not learn a new one."""

    status = 429


# RFC 8707 §2.


class InvalidTarget(OAuthError):
    """The requested resource is malformed, unknown or not allowed for the client."""

    code = "invalid_target"
