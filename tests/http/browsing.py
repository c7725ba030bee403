"""A browser without scripts, played by httpx: cookies, forms, redirects."""

import base64
import re
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import uuid4

import httpx

from service.app import App
from tests.conftest import RegisteredClient, http_to, register

CALLBACK = "https://app.example/callback"
PASSWORD = "four words for Ada"
SCOPES = ("openid", "profile", "email", "offline_access", "orders:read")
_INPUT = re.compile(r"<input\b[^>]*>")
_ATTRIBUTE = re.compile(r'(\w+)="([^"]*)"')


@dataclass
class Browser:
    """One browser at the hosted pages."""

    app: App
    http: httpx.AsyncClient
    cookies: dict[str, str] = field(default_factory=dict)

    @property
    def origin(self) -> str:
        return self.app.services.issuer

    async def get(self, url: str, **params: Any) -> httpx.Response:
        return await self._send("GET", url, params=params or None)

    async def post(self, url: str, **fields: str) -> httpx.Response:
        return await self._send("POST", url, data=fields, headers={"origin": self.origin})

    async def follow(self, answer: httpx.Response) -> httpx.Response:
        """The page to which redirects lead, or the redirect to another site."""
        while answer.status_code == 303:
            target = answer.headers["location"]
            if urlsplit(target).netloc not in ("", urlsplit(self.origin).netloc):
                return answer
            answer = await self.get(target)
        return answer

    async def submit(self, page: httpx.Response, **fields: str) -> httpx.Response:
        """Send the page's first form, with its hidden fields and these."""
        action = re.search(r'<form\b[^>]*\baction="([^"]*)"', page.text)
        assert action, page.text
        return await self.post(unescape(action[1]), **hidden(page), **fields)

    async def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        headers = arguments.pop("headers", None) or {}
        if self.cookies:
            headers["cookie"] = "; ".join(f"{name}={it}" for name, it in self.cookies.items())
        answer = await self.http.request(method, url, headers=headers, **arguments)
        for text in answer.headers.get_list("set-cookie"):
            name, _, rest = text.partition("=")
            value = rest.partition(";")[0]
            assert "; Path=/; Secure; HttpOnly; SameSite=" in text
            if "Max-Age=0" in text:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = value
        return answer


def hidden(page: httpx.Response) -> dict[str, str]:
    """The hidden fields of a page's first form."""
    form = page.text[page.text.index("<form") :].partition("</form>")[0]
    found = (dict(_ATTRIBUTE.findall(each)) for each in _INPUT.findall(form))
    return {it["name"]: unescape(it["value"]) for it in found if it.get("type") == "hidden"}


def open_browser(app: App) -> Browser:
    return Browser(app, http_to(app))


@dataclass(frozen=True)
class Person:
    """A user with a password."""

    username: str
    password: str = PASSWORD

    @property
    def email(self) -> str:
        return f"{self.username}@example.com"


async def sign_up(browser: Browser, page: httpx.Response | None = None) -> Person:
    """A new account, made at the hosted page; the browser is signed on then."""
    person = Person(f"u{uuid4().hex[:12]}")
    page = page or await browser.get("/register")
    answer = await browser.submit(
        page,
        username=person.username,
        email=person.email,
        full_name="Ada Lovelace",
        password=person.password,
    )
    assert answer.status_code == 303, answer.text
    return person


async def make_web_client(app: App, **members: Any) -> RegisteredClient:
    """A confidential client of the code flow."""
    given = {
        "name": "Notebook",
        "grant_types": ("authorization_code", "refresh_token"),
        "scopes": SCOPES,
        "redirect_uris": (CALLBACK,),
        **members,
    }
    return await register(app, **given)


@dataclass(frozen=True)
class Pkce:
    """A verifier and its challenge."""

    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def challenge(self) -> str:
        digest = sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def request_of(client: RegisteredClient, pkce: Pkce, **changes: str | None) -> dict[str, str]:
    """An authorization request; None leaves a parameter out."""
    members = {
        "response_type": "code",
        "client_id": client.id,
        "redirect_uri": CALLBACK,
        "scope": "openid profile email orders:read",
        "state": "a state +%é",
        "nonce": "a nonce",
        "code_challenge": pkce.challenge,
        "code_challenge_method": "S256",
        **changes,
    }
    return {name: value for name, value in members.items() if value is not None}


def response_of(answer: httpx.Response) -> dict[str, str]:
    """The parameters of an authorization response in a redirect."""
    assert answer.status_code == 303, answer.text
    location = urlsplit(answer.headers["location"])
    return {name: it[0] for name, it in parse_qs(location.query).items()}


async def obtain_code(
    browser: Browser, client: RegisteredClient, pkce: Pkce, **changes: Any
) -> str:
    """A code, for a browser that is signed on; the user allows what is asked for."""
    page = await browser.follow(
        await browser.get("/authorize", **request_of(client, pkce, **changes))
    )
    if page.status_code == 200:
        page = await browser.follow(await browser.submit(page, decision="allow"))
    return response_of(page)["code"]


async def redeem(
    app: App, client: RegisteredClient, code: str, pkce: Pkce | None, **changes: str
) -> httpx.Response:
    """What the token endpoint answers to a code."""
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    if pkce is not None:
        form["code_verifier"] = pkce.verifier
    async with http_to(app) as http:
        return await http.post("/token", data={**form, **changes}, auth=client.auth)
