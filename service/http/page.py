"""Hosted pages: who is at the browser, whether a form is one of ours, and how answers look.

LOGIN-1, LOGIN-4, AUTHZ-16, BCP-17.
"""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from urllib.parse import urlsplit

from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.origin import Origin
from service.http.browser import Headers, read_cookie_named
from service.http.endpoint import send_response
from service.http.error_responses import Response, as_refusal, retry_after_header
from service.http.form import Form, parse_form, read_raw_form
from service.http.headers import NO_STORE, header_values
from service.http.request import Request, request_of
from service.http.services import Services
from service.oauth.errors import (
    AccessDenied,
    MethodNotAllowed,
    NotFound,
    OAuthError,
    ServerError,
    TemporarilyUnavailable,
    TooManyAttempts,
)
from service.oauth.jws import decode_base64url, encode_base64url
from service.oauth.sign_on import SignOn
from service.pages.render import Page
from service.pages.views import ErrorPage, Trouble
from service.pages.views import Form as SentForm

SIGN_ON_COOKIE = "__Host-watchword_session"
# What a form is bound to before anybody is signed on, and after.
BROWSER_COOKIE = "__Host-watchword_browser"
_BROWSER_BYTES = 32
# What pages and their forms send, each once.
_PARAMETERS = frozenset(
    {
        *("request", "csrf", "decision", "scope", "session", "client"),
        *("username", "password", "email"),
        *("full_name", "current_password", "new_password", "id_token_hint", "client_id"),
        *("post_logout_redirect_uri", "state", "done"),
    }
)
_SAFE = frozenset({"GET", "HEAD"})
# As a source of Content Security Policy: this server.
OURS = "'self'"
_HTML = (b"content-type", b"text/html; charset=utf-8")
_SEE_OTHER = 303


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A page, or where the browser goes instead.

    `form_action`: where a form of the page may lead; None where that can't be said (AUTHZ-16).
    `nonce`: of the page's one script, if it has one.
    """

    page: Page | None = None
    location: str | None = None
    status: int = 200
    headers: Headers = ()
    form_action: str | None = OURS
    nonce: str | None = None


@dataclass(kw_only=True)
class Visit:
    """One request of a browser for a page. `raw`: what it posted, else its query."""

    services: Services
    scope: Scope
    request: Request
    browser: bytes
    is_new: bool
    raw: bytes = b""
    cookies: list[tuple[bytes, bytes]] = field(default_factory=list)
    _sign_on: SignOn | None = None

    @cached_property
    def form(self) -> Form:
        """What was sent. Raises InvalidRequest."""
        return parse_form(self.raw, _PARAMETERS)

    @property
    def browser_digest(self) -> bytes:
        """What a stored request keeps of the browser that it is for."""
        return sha256(self.browser).digest()

    @property
    def origin(self) -> Origin:
        """For audit events: the user's, once somebody is known to be signed on."""
        actor = f"user:{self._sign_on.user_id}" if self._sign_on else "browser"
        return Origin(actor=actor, address=self.request.address, request_id=self.request.id)

    @property
    def handle(self) -> str | None:
        """The handle of the stored request that a page or form is about."""
        return self.form.get("request")

    async def sign_on(self, client_id: str | None = None) -> SignOn | None:
        """Who is signed on at this browser; two cookies are nobody's (ATK-75)."""
        cookie = read_cookie_named(self.scope, SIGN_ON_COOKIE)
        self._sign_on = await self.services.sign_ons.find(cookie, client_id)
        return self._sign_on

    def csrf(self, handle: str | None = None) -> str:
        """What a form of this browser, sign-on and stored request sends back (AUTHZ-17)."""
        bound_to = f"{self._sign_on.id if self._sign_on else '-'}\0{handle or '-'}"
        return encode_base64url(hmac_digest(self.browser, bound_to.encode(), "sha256"))

    async def check_form(self) -> SignOn | None:
        """Who is signed on, having sent a form of ours. Raises AccessDenied (LOGIN-4)."""
        sign_on = await self.sign_on()
        sent = self.form.get("csrf") or ""
        if self.is_new or not compare_digest(sent.encode(), self.csrf(self.handle).encode()):
            raise AccessDenied("the form is out of date", reason="no or another CSRF token")
        return sign_on

    def check_site(self) -> None:
        """Take forms from our own pages alone (LOGIN-4). Raises AccessDenied.

        What the browser says of the site goes first: pages without a referrer have the origin null.
        """
        headers = self.scope["headers"]
        sites = header_values(headers, b"sec-fetch-site")
        origins = header_values(headers, b"origin")
        parts = urlsplit(self.services.issuer)
        ours = f"{parts.scheme}://{parts.netloc}".encode()
        if (sites or origins) != ([b"same-origin"] if sites else [ours]):
            raise AccessDenied("the form came from elsewhere", reason="another site or origin")

    def keep_browser(self) -> None:
        """Let the browser be known again, to which a stored request or form is bound."""
        if self.is_new:
            self.keep(BROWSER_COOKIE, encode_base64url(self.browser))

    def keep(self, name: str, value: str, seconds: int | None = None) -> None:
        """Set a cookie with the answer; without seconds until the browser is closed."""
        age = "" if seconds is None else f"; Max-Age={seconds}"
        text = f"{name}={value}{age}; Path=/; Secure; HttpOnly; SameSite=Lax"
        self.cookies.append((b"set-cookie", text.encode()))


Action = Callable[[Visit], Awaitable[Reply]]


def page_endpoint(
    services: Services, actions: Mapping[str, Action], *, foreign: bool = False
) -> ASGIApp:
    """The endpoint with an action for each of its methods.

    `foreign`: other sites may post here, too, for nothing is done without a form of ours after it.
    """

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:
        visit = _visit(services, scope)
        try:
            response = render(visit, await _act(visit, receive, actions, foreign=foreign))
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become pages)
            response = render(visit, error_page(visit, error))
        await send_response(send, response)

    return endpoint


async def _act(
    visit: Visit, receive: Receive, actions: Mapping[str, Action], *, foreign: bool
) -> Reply:
    method: str = visit.scope["method"]  # pyright: ignore[reportGeneralTypeIssues]
    action = actions.get("GET" if method == "HEAD" else method)
    if action is None:
        raise MethodNotAllowed(sorted(actions))
    if method in _SAFE:
        visit.raw = visit.scope["query_string"]
    else:
        if not foreign:
            visit.check_site()
        visit.raw = await read_raw_form(visit.scope, receive)
    return await action(visit)


def _visit(services: Services, scope: Scope) -> Visit:
    cookie = read_cookie_named(scope, BROWSER_COOKIE)
    browser = decode_base64url(cookie) if cookie and cookie.isascii() else None
    known = browser is not None and len(browser) == _BROWSER_BYTES
    return Visit(
        services=services,
        scope=scope,
        request=request_of(scope),
        browser=browser if browser is not None and known else os.urandom(_BROWSER_BYTES),
        is_new=not known,
    )


_TROUBLES: tuple[tuple[type[OAuthError], Trouble], ...] = (
    (TooManyAttempts, Trouble.TOO_MANY),
    (TemporarilyUnavailable, Trouble.UNAVAILABLE),
    (ServerError, Trouble.FAILURE),
    (NotFound, Trouble.NOT_FOUND),
    (AccessDenied, Trouble.STALE_FORM),
)


def error_page(visit: Visit, error: Exception, trouble: Trouble | None = None) -> Reply:
    """The page for a person; what it is for the client's developer stands small below."""
    refusal = as_refusal(error)
    visit.request.error, visit.request.reason = refusal.code, refusal.reason
    found = (it for kind, it in _TROUBLES if isinstance(refusal, kind))
    page = ErrorPage(
        trouble=trouble or next(found, Trouble.BAD_REQUEST),
        request_id=visit.request.id,
        detail=refusal.description,
    )
    headers: list[tuple[bytes, bytes]] = []
    if isinstance(refusal, TemporarilyUnavailable):
        headers.append(retry_after_header(refusal))
    if isinstance(refusal, MethodNotAllowed):
        headers.append((b"allow", ", ".join(refusal.allowed).encode()))
    return Reply(page=page, status=refusal.status, headers=tuple(headers))


def render(visit: Visit, reply: Reply) -> Response:
    """The whole response: its page, and what keeps others from framing or reading it."""
    if isinstance(reply.page, SentForm):
        visit.keep_browser()
    headers = (*NO_STORE, *_guards(reply), *reply.headers, *visit.cookies)
    if reply.location is not None:
        location = (b"location", reply.location.encode("ascii"))
        return Response(_SEE_OTHER, (*headers, location), b"")
    body = b"" if reply.page is None else visit.services.pages.render(reply.page).encode()
    return Response(reply.status, (_HTML, *headers), body)


def _guards(reply: Reply) -> Headers:
    form_action = f"; form-action {reply.form_action}" if reply.form_action else ""
    script = f"; script-src 'nonce-{reply.nonce}'" if reply.nonce else ""
    policy = (
        "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; "
        f"base-uri 'none'{form_action}{script}"
    )
    return (
        (b"content-security-policy", policy.encode("ascii")),
        (b"x-frame-options", b"DENY"),
        (b"cross-origin-opener-policy", b"same-origin"),
    )
