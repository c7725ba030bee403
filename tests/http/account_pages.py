"""The account page in tests: a person signed on at browsers, with applications beside it."""

import re
import secrets
from dataclasses import dataclass
from html import unescape
from typing import Any

import httpx

from service.app import App
from tests.conftest import RegisteredClient, http_to
from tests.http.accounts import PASSWORD, Accounts
from tests.http.browsing import (
    Browser,
    Pkce,
    hidden,
    make_web_client,
    obtain_code,
    open_browser,
    redeem,
)
from tests.sessions import claims_of, fetch, present


@dataclass
class Visitor:
    """Somebody who is signed on at one browser."""

    app: App
    browser: Browser
    username: str
    password: str = PASSWORD

    async def page(self) -> httpx.Response:
        """The account page. A redirect means: nobody is signed on."""
        return await self.browser.get("/account")

    async def send(self, form: str, **fields: str) -> httpx.Response:
        """The answer to a form of the page."""
        csrf = hidden(await self.page())["csrf"]
        return await self.browser.post(f"/account/{form}", csrf=csrf, **fields)

    async def is_signed_on(self) -> bool:
        answer = await self.page()
        assert answer.status_code in (200, 303)
        return answer.status_code == 200


@dataclass
class Application:
    """A client that the person allowed, with what it was given."""

    app: App
    client: RegisteredClient
    tokens: dict[str, Any]

    async def is_active(self) -> bool:
        """Whether introspection finds the access token alive."""
        async with http_to(self.app) as http:
            token = {"token": self.tokens["access_token"]}
            answer = await http.post("/introspect", data=token, auth=self.client.auth)
        return answer.json()["active"]

    async def refresh(self) -> httpx.Response:
        async with http_to(self.app) as http:
            answer = await present(http, self.client, self.tokens["refresh_token"])
        if answer.status_code == 200:
            self.tokens = answer.json()
        return answer

    async def is_void_everywhere(self) -> bool:
        """Whether there is the fact that voids the session's tokens at every verifier (DIST-2)."""
        query = "SELECT EXISTS (SELECT FROM revocations WHERE kind = 'sid' AND subject = $1)"
        return await fetch(self.app, query, claims_of(self.tokens["access_token"])["sid"])

    async def lives(self) -> bool:
        """Whether access token and refresh token are both good; else both must be dead."""
        active, refreshed = await self.is_active(), await self.refresh()
        assert active == (refreshed.status_code == 200)
        return active


async def visit(accounts: Accounts, visitor: Visitor | None = None) -> Visitor:
    """A new person at a browser, or the same at another."""
    if visitor is None:
        user = await accounts.user()
        visitor = Visitor(accounts.app, open_browser(accounts.app), user.username or "")
    else:
        browser = open_browser(accounts.app)
        visitor = Visitor(accounts.app, browser, visitor.username, visitor.password)
    page = await visitor.browser.get("/login")
    name, password = visitor.username, visitor.password
    answer = await visitor.browser.submit(page, username=name, password=password)
    assert answer.status_code == 303, answer.text
    return visitor


async def allow(
    visitor: Visitor, client: RegisteredClient | None = None, **changes: Any
) -> Application:
    """An application that the visitor allows; `changes` are of its authorization request."""
    client = client or await make_web_client(visitor.app, name=f"Notebook {secrets.token_hex(3)}")
    pkce = Pkce()
    code = await obtain_code(visitor.browser, client, pkce, **changes)
    answer = await redeem(visitor.app, client, code, pkce)
    assert answer.status_code == 200, answer.text
    return Application(visitor.app, client, answer.json())


def fault_of(page: httpx.Response, field: str) -> str | None:
    """What the page says is wrong with a field, by its id; the summary links to it."""
    found = re.search(rf'<p class="fault" id="{field}-fault">(.*?)</p>', page.text, re.DOTALL)
    assert (f'href="#{field}"' in page.text) == bool(found)
    return unescape(re.sub("<[^>]+>", "", found[1])) if found else None


def faults_of(page: httpx.Response) -> set[str]:
    """The ids of all fields with something wrong."""
    return set(re.findall(r'<p class="fault" id="([\w-]+)-fault">', page.text))


def value_of(page: httpx.Response, field: str) -> str | None:
    """What stands in a field, by its id."""
    found = re.search(rf'<input id="{field}"[^>]*? value="([^"]*)"', page.text)
    return unescape(found[1]) if found else None


def lines_of(page: httpx.Response) -> dict[str, str]:
    """What can be ended: the text of each line with a button, by the button's value."""
    lines = re.findall(r"<li>(.*?)</li>", page.text, re.DOTALL)
    found = [(re.search(r'name="session" value="([^"]+)"', line), line) for line in lines]
    return {match[1]: line for match, line in found if match}


def hint_of(application: Application) -> str:
    """An `id_token_hint` for the sign-out."""
    return application.tokens["id_token"]


async def log_out(visitor: Visitor, **params: Any) -> httpx.Response:
    """What a client's word to sign the visitor out comes to."""
    return await visitor.browser.get("/logout", **params)


def assert_page(answer: httpx.Response, words: str) -> None:
    """A page of ours, and no redirect."""
    assert answer.status_code == 200
    assert "location" not in answer.headers
    assert words in answer.text
    assert answer.headers["cache-control"] == "no-store"
