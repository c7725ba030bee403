"""Where the policy of a page lets its forms lead. AUTHZ-15, AUTHZ-16."""

import re

import httpx
import pytest

from service.app import App
from tests.http.browsing import (
    CALLBACK,
    Browser,
    Pkce,
    make_web_client,
    open_browser,
    request_of,
    sign_up,
)

FIRST = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@pytest.fixture
def browser(app: App) -> Browser:
    return open_browser(app)


def rest(page: httpx.Response) -> str:
    """What the page's policy says beyond what all say."""
    policy = page.headers["content-security-policy"]
    assert policy.startswith(FIRST)
    return policy.removeprefix(FIRST)


async def test_forms_of_our_own_lead_here(browser: Browser) -> None:
    assert rest(await browser.get("/login")) == "; form-action 'self'"
    await sign_up(browser)
    for path in ("/account", "/logout"):
        assert rest(await browser.get(path)) == "; form-action 'self'"


async def test_a_form_that_leads_to_a_client_may_lead_on(app: App, browser: Browser) -> None:
    """Browsers hold every redirect after a form to its page's form-action: the client's, too."""
    request = request_of(await make_web_client(app), Pkce())
    page = await browser.follow(await browser.get("/authorize", **request))
    assert (page.url.path, rest(page)) == ("/login", "")
    await sign_up(browser)
    page = await browser.follow(await browser.get("/authorize", **request))
    assert (page.url.path, rest(page)) == ("/consent", "")


@pytest.mark.parametrize(
    ("uri", "target"),
    [(CALLBACK, "https://app.example"), ("http://[::1]:8000/callback", "http:")],
)
async def test_a_form_for_the_client_alone_leads_there(
    app: App, browser: Browser, uri: str, target: str
) -> None:
    """A policy has no spelling for an IPv6 address."""
    client = await make_web_client(app, redirect_uris=(uri,))
    changes = {"redirect_uri": uri, "response_mode": "form_post", "prompt": "none"}
    page = await browser.get("/authorize", **request_of(client, Pkce(), **changes))
    script = r"; script-src 'nonce-[A-Za-z0-9_-]{22}'"
    assert re.fullmatch(f"; form-action {re.escape(target)}{script}", rest(page))
