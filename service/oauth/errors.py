"""Refusals, each named after the error code that an RFC gives it.

OAuthError
├── InvalidRequest InvalidClient UnauthorizedClient UnsupportedGrantType InvalidScope
├── InvalidGrant
│   └── SessionGoesOn
├── AccessDenied UnsupportedResponseType ServerError
├── TemporarilyUnavailable
│   └── TooManyAttempts
├── InteractionRequired LoginRequired AccountSelectionRequired ConsentRequired
├── RequestNotSupported RequestUriNotSupported RegistrationNotSupported
├── InvalidToken
│   └── MissingToken
├── InsufficientScope
├── InvalidTarget
└── LoginFailed NameIsTaken ClientIdIsTaken NotFound MethodNotAllowed UnsupportedMediaType
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import ClassVar


class OAuthError(Exception):
    """A refusal. `description` goes to the client, `reason` only to our log.

    `fields`: for the client too, what is wrong with each member of a JSON body.
    """

    code: ClassVar[str]
    status: ClassVar[int] = 400

    def __init__(
        self,
        description: str,
        *,
        reason: str | None = None,
        retry_after: timedelta | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(description)
        self.fields = fields
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


class SessionGoesOn(InvalidGrant):
    """Refused, and yet the session lives: another client's token, or reuse in shadow mode."""


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


class AccessDenied(OAuthError):
    """The server does not do that for who asks."""

    code = "access_denied"
    status = 403


class UnsupportedResponseType(OAuthError):
    """The server has no such response type: codes alone travel through a browser."""

    code = "unsupported_response_type"


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


# OpenID Connect Core §3.1.2.6, in its order.


class InteractionRequired(OAuthError):
    """The user would have to be asked, and the request says `prompt=none`."""

    code = "interaction_required"


class LoginRequired(OAuthError):
    """The user would have to log in, and the request says `prompt=none`."""

    code = "login_required"


class AccountSelectionRequired(OAuthError):
    """The user would have to choose an account, and the request says `prompt=none`."""

    code = "account_selection_required"


class ConsentRequired(OAuthError):
    """The user would have to consent, and the request says `prompt=none`."""

    code = "consent_required"


class RequestNotSupported(OAuthError):
    """The server reads no request objects (RFC 9101)."""

    code = "request_not_supported"


class RequestUriNotSupported(OAuthError):
    """The server fetches no request objects."""

    code = "request_uri_not_supported"


class RegistrationNotSupported(OAuthError):
    """The server takes no registration inside a request."""

    code = "registration_not_supported"


# RFC 6750 §3.1.


class InvalidToken(OAuthError):
    """The access token is expired, revoked, malformed or otherwise no good here."""

    code = "invalid_token"
    status = 401


class MissingToken(InvalidToken):
    """No access token was sent; the challenge then names no error (RFC 6750 §3.1)."""


class InsufficientScope(OAuthError):
    """The access token is good and not for this; the challenge says which scope is."""

    code = "insufficient_scope"
    status = 403

    def __init__(self, description: str, scope: str, *, reason: str) -> None:
        super().__init__(description, reason=reason)
        self.scope = scope


# RFC 8707 §2.


class InvalidTarget(OAuthError):
    """The requested resource is malformed, unknown or not allowed for the client."""

    code = "invalid_target"


# No RFC's: first-party accounts under /api, and /admin.


class LoginFailed(OAuthError):
    """Unknown user, wrong password, disabled: one answer for all (LOGIN-10)."""

    code = "invalid_credentials"
    status = 401


class NameIsTaken(OAuthError):
    """Another user has that username or e-mail address."""

    status = 409

    def __init__(self, member: str) -> None:
        super().__init__(f"that {member} is taken", fields={member: "is taken"})
        self.code = f"{member}_taken"  # pyright: ignore[reportAttributeAccessIssue]


class ClientIdIsTaken(OAuthError):
    """Another client has that id."""

    code = "client_exists"
    status = 409


class NotFound(OAuthError):
    """There is no such thing, or it is somebody else's."""

    code = "not_found"
    status = 404


class MethodNotAllowed(OAuthError):
    """The endpoint has other methods (RFC 9110 §15.5.6)."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(f"send {' or '.join(allowed)}")
        self.allowed = allowed


class UnsupportedMediaType(OAuthError):
    """The body is in another format; under /api also what keeps foreign forms out."""

    code = "invalid_request"
    status = 415
