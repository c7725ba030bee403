"""Each page in each of its states, with harmless and with hostile values."""

from datetime import UTC, datetime, timedelta

from service.pages import views
from service.pages.render import Page
from service.pages.views import Fault, Notice, SignInProblem, Trouble

NOW = datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
CSRF, HANDLE, NONCE = "csrf-6hYk0aLw", "request-Q2f9", "nonce-Zk3v"
ANNA = views.Person(username="anna", email="anna@example.com", full_name="Anna Lindqvist")
NOTES = views.Application(name="Notebook", host="notes.example.com", owner="Paper & Pine Ltd")
CLI = views.Application(name="shipyard", host="127.0.0.1", on_device=True)
SCOPES = tuple(
    views.AskedScope(value=value)
    for value in ("openid", "profile", "email", "offline_access", "orders:read")
)

BIDI, SCRIPT = "\u202emoc.knab\u202c", "<script>alert(1)</script>"
MARKS = "Z" + "\u0335\u0321\u034f" * 60
LONG = f'{SCRIPT}{BIDI}" onfocus="alert(2)"{{{{7*7}}}}'.ljust(200, "W")
MALLORY = views.Person(
    username="m" * 32, email="m" * 64 + "@" + "long." * 36 + "example", full_name=LONG
)
EVIL = views.Application(name=LONG, host="xn--" + "evil-" * 40 + "example", owner=MARKS + BIDI)
EVIL_SCOPES = (
    views.AskedScope(value="unknown"),
    views.AskedScope(value="x:" + "W" * 250),
    views.AskedScope(value="orders", description=SCRIPT + BIDI + " and more" * 40),
    views.AskedScope(value="{scope}"),
)
REASONS = [
    "logged_out",
    "revoked_by_client",
    "ended_by_user",
    "logged_out_everywhere",
    "password_changed",
    "not_used",
    "expired",
    "too_many_sessions",
    "refresh_reuse",
    "refresh_impossible",
    "revoked_by_operator",
    "user_disabled",
    "client_revoked",
    "taken_back_from_feed",
    "recovered",
]


def session(number: int, device: str | None, **more: object) -> views.ShownSession:
    """One that was used `number` to the third minutes ago."""
    used = NOW - timedelta(minutes=number**3)
    return views.ShownSession(
        **{
            "id": f"01a1fd5f-f6f4-756f-a237-70a7a26aba{number:02x}",
            "application": "Notebook",
            "device": device,
            "created_at": used - timedelta(days=3),
            "last_used_at": used,
            **more,
        }
    )


SESSIONS = (
    session(3, "Firefox on Linux"),
    session(0, "Safari on macOS", current=True),
    session(9, "Chrome on Android", application="Shop"),
    session(14, "curl", application="shipyard"),
    session(11, None, ended_because="refresh_reuse", ended_at=NOW - timedelta(minutes=40)),
    session(12, "Edge on Windows", ended_because="client_revoked"),
)
CONSENTS = (
    views.GivenConsent(
        client_id="notes", application=NOTES, scopes=SCOPES, given_at=NOW - timedelta(days=40)
    ),
    views.GivenConsent(
        client_id="cli", application=CLI, scopes=SCOPES[:1], given_at=NOW - timedelta(hours=1)
    ),
)


def sign_in(**more: object) -> views.SignIn:
    return views.SignIn(csrf=CSRF, request=HANDLE, **more)


def register(**more: object) -> views.Register:
    return views.Register(csrf=CSRF, request=HANDLE, **more)


def account(**more: object) -> views.Account:
    usual = {"person": ANNA, "now": NOW, "sessions": SESSIONS, "consents": CONSENTS}
    return views.Account(csrf=CSRF, **(usual | more))


def consent(**more: object) -> views.Consent:
    usual = {"application": NOTES, "person": ANNA, "scopes": SCOPES}
    return views.Consent(csrf=CSRF, request=HANDLE, **(usual | more))


def form_post(**more: object) -> views.FormPost:
    usual = {
        "action": "https://notes.example.com/callback",
        "fields": (("code", "wwc_8s7"), ("state", "a b&c"), ("iss", "https://auth.example.com")),
        "nonce": NONCE,
        "application": NOTES,
    }
    return views.FormPost(**(usual | more))


PAGES: dict[str, Page] = {
    "sign_in": sign_in(application=NOTES, registration_open=True),
    "sign_in_wrong": sign_in(username="anna", problem=SignInProblem.WRONG, application=NOTES),
    "sign_in_throttled": sign_in(
        username="anna", problem=SignInProblem.THROTTLED, retry_after=timedelta(minutes=12)
    ),
    "sign_in_registered": sign_in(username="anna", notice=Notice.REGISTERED),
    "sign_in_again": sign_in(person=ANNA, application=NOTES),
    "register": register(application=NOTES),
    "register_faults": register(
        full_name="Anna Lindqvist",
        username="Anna!",
        email="anna@example.com",
        faults={
            "email": Fault.TAKEN,
            "username": Fault.UNFIT,
            "password": "Use at least 15 characters, such as four words or more.",
        },
    ),
    "consent": consent(),
    "consent_on_device": consent(application=CLI, scopes=SCOPES[:3]),
    "confirm_sign_out": views.ConfirmSignOut(
        csrf=CSRF, request=HANDLE, person=ANNA, application=NOTES
    ),
    "signed_out": views.SignedOut(),
    "signed_out_continue": views.SignedOut(
        everywhere=True, application=NOTES, continue_url="https://notes.example.com/"
    ),
    "account": account(),
    "account_bare": account(sessions=SESSIONS[1:2], consents=(), notice=Notice.PROFILE_SAVED),
    "account_faults": account(
        typed={"username": "a b"},
        names_faults={"username": Fault.UNFIT, "current_password": Fault.WRONG},
    ),
    "form_post": form_post(),
    **{
        f"error_{trouble}": views.ErrorPage(
            trouble=trouble, request_id="01a1fd60-2b7c-7d31-9e0a-5f1c2d3e4f50"
        )
        for trouble in Trouble
    },
}

HOSTILE: dict[str, Page] = {
    "hostile_sign_in": sign_in(application=EVIL, username=LONG, problem=SignInProblem.WRONG),
    "hostile_sign_in_again": sign_in(application=EVIL, person=MALLORY),
    "hostile_register": register(
        application=EVIL,
        username=LONG,
        email=LONG,
        full_name=LONG,
        faults={"username": LONG, "email": Fault.TAKEN},
    ),
    "hostile_consent": consent(application=EVIL, person=MALLORY, scopes=EVIL_SCOPES),
    "hostile_confirm": views.ConfirmSignOut(
        csrf=CSRF, request=HANDLE, person=MALLORY, application=EVIL
    ),
    "hostile_signed_out": views.SignedOut(
        application=EVIL, continue_url="https://evil.example/?a='\"><i>"
    ),
    "hostile_error": views.ErrorPage(
        trouble=Trouble.BAD_REQUEST, request_id="9" * 64, detail=f"invalid_request: {LONG}"
    ),
    "hostile_account": account(
        person=MALLORY,
        typed={"full_name": LONG, "email": LONG},
        sessions=tuple(
            session(number, LONG[:100] if number % 2 else "W" * 100, application=LONG)
            for number in range(100)
        )
        + tuple(
            session(number, LONG[:100], application=LONG, ended_because=reason, ended_at=NOW)
            for number, reason in enumerate([*REASONS, "unheard_of", LONG])
        ),
        consents=(
            views.GivenConsent(
                client_id="evil", application=EVIL, scopes=EVIL_SCOPES, given_at=NOW
            ),
        ),
    ),
    "hostile_form_post": form_post(application=EVIL, fields=(("state", LONG), ("submit", BIDI))),
}
