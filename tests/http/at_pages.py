"""People at the hosted pages, each with a browser and an address of their own."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from service.app import App, create_app
from service.flows.manage_users import create_user
from service.flows.origin import OPERATOR
from service.oauth.user import KnownUser, Profile
from tests.conftest import RegisteredClient
from tests.http.browsing import PASSWORD, Browser, Pkce, open_browser, redeem, request_of
from tests.sessions import fetch, know_user

SIGN_ON = "__Host-watchword_session"
BROWSER = "__Host-watchword_browser"
COUNT_REQUESTS = "SELECT count(*) FROM authorization_requests WHERE client_id = $1"
COUNT_CODES = "SELECT count(*) FROM authorization_codes WHERE client_id = $1"


def visitor(app: App) -> Browser:
    """A browser of somebody who is not signed on."""
    browser = open_browser(app)
    address = ".".join(str(1 + secrets.randbelow(250)) for _ in range(3))
    browser.http.headers["x-forwarded-for"] = f"10.{address}"
    return browser


@dataclass(frozen=True)
class Visitor:
    """Somebody who is signed on."""

    browser: Browser
    user: KnownUser

    @property
    def app(self) -> App:
        return self.browser.app

    async def ask(self, client: RegisteredClient, pkce: Pkce, **changes: Any) -> httpx.Response:
        """The answer to an authorization request."""
        return await self.browser.get("/authorize", **request_of(client, pkce, **changes))


async def make_person(app: App, password: str = PASSWORD) -> KnownUser:
    """A user with that password."""
    name = f"p-{secrets.token_hex(6)}"
    profile = Profile(username=name, email=f"{name}@example.com", full_name="Ada Lovelace")
    password_hash = await app.services.passwords.hash(password)
    user = await create_user(app.services.database, profile, password_hash, OPERATOR)
    return await know_user(app.services.database, user.id)


async def sign_on(browser: Browser, user: KnownUser) -> Visitor:
    """Sign on without the page, which other tests are about."""
    cookie = await browser.app.services.sign_ons.begin(user, None, OPERATOR, device=None)
    assert cookie is not None
    browser.cookies[SIGN_ON] = cookie.write()
    return Visitor(browser, user)


async def signed_on(app: App) -> Visitor:
    """A new user, signed on at a browser."""
    return await sign_on(visitor(app), await make_person(app))


async def sign_in(browser: Browser, page: httpx.Response, user: KnownUser) -> httpx.Response:
    """What the sign-in page answers to the right password."""
    assert user.username
    return await browser.submit(page, username=user.username, password=PASSWORD)


async def tokens_of(
    app: App, client: RegisteredClient, code: str, pkce: Pkce | None, **changes: str
) -> dict[str, Any]:
    """The tokens that the code is worth."""
    answer = await redeem(app, client, code, pkce, **changes)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def count(app: App, query: str, *args: object) -> int:
    """A number from the pod's database."""
    return await fetch(app, query, *args)


def assert_page(answer: httpx.Response, status: int = 400) -> None:
    """A page of ours, from which nothing goes anywhere."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "location" not in answer.headers
    assert "http-equiv" not in answer.text
    assert_guarded(answer)


def assert_guarded(answer: httpx.Response) -> None:
    """AUTHZ-16: what every answer of a page says to the browser."""
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'self'; img-src 'self'; ")
    assert "frame-ancestors 'none'; base-uri 'none'" in policy
    assert "unsafe" not in policy
    expected = {
        "x-frame-options": "DENY",
        "cross-origin-opener-policy": "same-origin",
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
    }
    assert {name: answer.headers[name] for name in expected} == expected
    assert "access-control-allow-origin" not in answer.headers


@asynccontextmanager
async def changed(app: App, **changes: Any) -> AsyncIterator[App]:
    """The shared pod with some of its services replaced."""
    services = replace(app.services, **changes)
    yield App(asgi=create_app(services), services=services)
