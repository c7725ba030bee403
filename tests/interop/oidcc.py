"""The OpenID Foundation's conformance suite, as a client and its user: what its tests do.

The suite is Java with a database and a browser of its own. Its tests are played here, each under
its name, by what their source demands (openid/conformance-suite, release of August 2026).
"""

import re
import secrets
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt

from service.app import App
from service.oauth.id_token import at_hash
from tests.conftest import RegisteredClient
from tests.http.browsing import (
    CALLBACK,
    Browser,
    Person,
    hidden,
    open_browser,
    response_of,
)

_TITLE = re.compile(r"<title>(.+?) · ")


@dataclass(frozen=True)
class Login:
    """What the client has after an authorization."""

    response: dict[str, str]
    tokens: dict[str, Any]
    claims: dict[str, Any]

    @property
    def id_token(self) -> str:
        return self.tokens["id_token"]


@dataclass
class Suite:
    """A client without PKCE, at one response mode. `shown`: titles of the pages that were seen."""

    app: App
    client: RegisteredClient
    person: Person
    mode: str
    browser: Browser = field(init=False)
    shown: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.forget_cookies()

    def forget_cookies(self) -> None:
        """Go on in a browser at which nobody is signed on."""
        self.browser = open_browser(self.app)

    def request(self, **changes: str | None) -> dict[str, str]:
        """The plan's authorization request; None leaves a parameter out."""
        members = {
            "response_type": "code",
            "client_id": self.client.id,
            "redirect_uri": CALLBACK,
            "scope": "openid",
            "state": secrets.token_urlsafe(16),
            "nonce": secrets.token_urlsafe(16),
            "response_mode": None if self.mode == "query" else self.mode,
            **changes,
        }
        return {name: value for name, value in members.items() if value is not None}

    async def ask(self, request: dict[str, str]) -> httpx.Response:
        """The page or the answer that the request leads to; nobody does anything yet."""
        return await self.browser.follow(await self.browser.get("/authorize", **request))

    async def finish(self, page: httpx.Response) -> dict[str, str]:
        """The response, once the user has done what is asked."""
        while page.status_code == 200 and 'id="answer"' not in page.text:
            self.shown.append(_TITLE.findall(page.text)[0])
            if 'name="password"' in page.text:
                who = {"username": self.person.username, "password": self.person.password}
                page = await self.browser.follow(await self.browser.submit(page, **who))
            else:
                page = await self.browser.follow(await self.browser.submit(page, decision="allow"))
        return self.read(page)

    def read(self, answer: httpx.Response) -> dict[str, str]:
        """The response in the plan's mode, and in no other."""
        if self.mode == "query":
            assert answer.headers["location"].startswith(f"{CALLBACK}?")
            return response_of(answer)
        assert answer.status_code == 200, answer.text
        assert f'action="{CALLBACK}"' in answer.text
        return hidden(answer)

    async def authorize(self, **changes: str | None) -> dict[str, str]:
        """The response to a request, with the state that was sent."""
        request = self.request(**changes)
        response = await self.finish(await self.ask(request))
        assert response["state"] == request["state"]
        assert response["iss"] == self.app.services.issuer
        return response

    async def log_in(self, **changes: str | None) -> Login:
        """An authorization and its tokens, checked as every test of the plan checks them."""
        request = self.request(**changes)
        return await self.take(request, await self.finish(await self.ask(request)))

    async def take(self, request: dict[str, str], response: dict[str, str]) -> Login:
        """The tokens of a response to this request."""
        assert response.keys() == {"code", "state", "iss"}
        assert response["state"] == request["state"]
        answer = await self.redeem(response["code"])
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        assert "no-store" in answer.headers["cache-control"]
        tokens = answer.json()
        assert tokens["token_type"] == "Bearer"
        assert tokens["expires_in"] > 0
        claims = await self.read_id_token(tokens)
        assert claims.get("nonce") == request.get("nonce")
        return Login(response, tokens, claims)

    async def redeem(self, code: str) -> httpx.Response:
        """What the token endpoint answers, by client_secret_basic and without PKCE."""
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
        return await self.browser.http.post("/token", data=form, auth=self.client.auth)

    async def read_id_token(self, tokens: dict[str, Any]) -> dict[str, Any]:
        """The claims of an ID Token, proven by the key of its kid."""
        keys = jwt.PyJWKSet.from_dict(
            (await self.browser.http.get("/.well-known/jwks.json")).json()
        )
        header = jwt.get_unverified_header(tokens["id_token"])
        assert header["alg"] == "RS256"
        claims = jwt.decode(
            tokens["id_token"],
            keys[header["kid"]],
            algorithms=["RS256"],
            audience=self.client.id,
            issuer=self.app.services.issuer,
            options={"require": ["iss", "sub", "aud", "exp", "iat", "auth_time"]},
        )
        assert claims["at_hash"] == at_hash(tokens["access_token"])
        return claims

    async def userinfo(self, login: Login, method: str = "GET") -> httpx.Response:
        """What UserInfo answers to the access token in a header."""
        bearer = {"authorization": f"Bearer {login.tokens['access_token']}"}
        return await self.browser.http.request(method, "/userinfo", headers=bearer)

    async def wait(self, seconds: int) -> None:
        """Let the user's sign-ons be older by this."""
        async with self.app.services.database.connection() as connection:
            await connection.execute(
                """
                UPDATE sign_ons SET auth_time = auth_time - make_interval(secs => $2)
                WHERE user_id = (SELECT id FROM users WHERE username = $1)
                """,
                self.person.username,
                float(seconds),
            )
