"""What each page shows: one frozen class for each, with the name of its template.

All texts may be hostile: templates escape them. `csrf` is the token that a form sends back
(LOGIN-4), `request` the handle of the stored authorization request that it is about (AUTHZ-17).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar
from urllib.parse import urlsplit


class Fault(StrEnum):
    """What is wrong with a field, where the rule is known here."""

    MISSING = "missing"
    TOO_LONG = "too_long"
    UNFIT = "unfit"
    TAKEN = "taken"
    WRONG = "wrong"


# By name of a field of the form; a text is a whole sentence, as `password_fault` has them.
Faults = Mapping[str, Fault | str]


class SignInProblem(StrEnum):
    """Why the sign-in before this one was none."""

    WRONG = "wrong"
    THROTTLED = "throttled"
    BUSY = "busy"
    STALE = "stale"


class Notice(StrEnum):
    """What has just been done."""

    REGISTERED = "registered"
    PROFILE_SAVED = "profile_saved"
    NAMES_SAVED = "names_saved"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 (what was done)
    SESSION_ENDED = "session_ended"
    CONSENT_WITHDRAWN = "consent_withdrawn"


class Trouble(StrEnum):
    """What an error page is about."""

    BAD_REQUEST = "bad_request"
    UNKNOWN_CLIENT = "unknown_client"
    BAD_REDIRECT = "bad_redirect"
    REQUEST_OVER = "request_over"
    STALE_FORM = "stale_form"
    REGISTRATION_CLOSED = "registration_closed"
    TOO_MANY = "too_many"
    NOT_FOUND = "not_found"
    UNAVAILABLE = "unavailable"
    FAILURE = "failure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """The user as shown to the user."""

    username: str
    email: str
    full_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """A client as shown to a user. `host`: where the browser is sent afterwards.

    `on_device`: its redirect URI is a private-use scheme or a loopback address, so that it can't
    prove who it is (RFC 8252 §8.6); then `host` is not shown.
    """

    name: str
    host: str
    owner: str | None = None
    on_device: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedScope:
    """A scope value that a client asks for, and what its resource server says that it is."""

    value: str
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownSession:
    """A session of the user's; it lives unless `ended_because`, a word of the API, says why not."""

    id: str
    application: str
    device: str | None
    created_at: datetime
    last_used_at: datetime
    current: bool = False
    ended_at: datetime | None = None
    ended_because: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenConsent:
    """What the user once allowed a client."""

    client_id: str
    application: Application
    scopes: tuple[AskedScope, ...]
    given_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Any page."""

    template: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form(View):
    """A page that sends something back."""

    csrf: str = field(repr=False)
    request: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignIn(Form):
    """Name and password. With `person`, that one again: the name is fixed.

    `username` is what was typed or hinted. `retry_after` goes with THROTTLED.
    """

    template = "sign_in.html"
    application: Application | None = None
    person: Person | None = None
    username: str = ""
    registration_open: bool = False
    problem: SignInProblem | None = None
    retry_after: timedelta | None = None
    notice: Notice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Form):
    """A new account; the values are what was typed before, but no password."""

    template = "register.html"
    application: Application | None = None
    username: str = ""
    email: str = ""
    full_name: str = ""
    faults: Faults = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent(Form):
    """Sends `decision`: `allow`, `deny` or `switch` (another user)."""

    template = "consent.html"
    application: Application
    person: Person
    scopes: tuple[AskedScope, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfirmSignOut(Form):
    """Sends `decision`: `sign_out` or `stay`; and `asked`, so that there is a way back then."""

    template = "confirm_sign_out.html"
    person: Person
    application: Application | None = None
    asked: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedOut(View):
    """It is over. `everywhere`: all sessions are."""

    template = "signed_out.html"
    everywhere: bool = False
    application: Application | None = None
    continue_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorPage(View):
    """For a person: what is wrong and what to do. `detail` is for the client's developer."""

    template = "error.html"
    trouble: Trouble
    request_id: str
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account(Form):
    """Profile, names, password, sessions, consents, each with a form of its own.

    `names` and `full_name` are what was typed, where that had faults; else the person's.
    """

    template = "account.html"
    person: Person
    now: datetime
    sessions: tuple[ShownSession, ...]
    consents: tuple[GivenConsent, ...]
    notice: Notice | None = None
    typed: Mapping[str, str] = field(default_factory=dict)
    profile_faults: Faults = field(default_factory=dict)
    names_faults: Faults = field(default_factory=dict)
    password_faults: Faults = field(default_factory=dict)

    @property
    def living(self) -> tuple[ShownSession, ...]:
        """The sessions that go on, the current one first."""
        living = [session for session in self.sessions if session.ended_because is None]
        return tuple(sorted(living, key=lambda session: not session.current))

    @property
    def ended(self) -> tuple[ShownSession, ...]:
        return tuple(session for session in self.sessions if session.ended_because is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormPost(View):
    """OAuth 2.0 Form Post Response Mode §2: `fields` go to the redirect URI, byte for byte.

    Raises ValueError unless that is http or https: nothing else takes a POST.
    """

    template = "form_post.html"
    action: str
    fields: tuple[tuple[str, str], ...] = field(repr=False)
    nonce: str = field(repr=False)
    application: Application

    def __post_init__(self) -> None:
        if urlsplit(self.action).scheme not in {"http", "https"}:
            raise ValueError("a form can only be posted to http or https")
