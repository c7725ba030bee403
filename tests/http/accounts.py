"""First-party accounts for tests: a pod with a web app and a native one, and devices that ask it.

Hashes are cheap here, and counted: no test judges their cost, some judge their number.
"""

import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest

from service.app import App, create_app
from service.flows.live_tokens import LiveTokens
from service.flows.manage_users import create_user
from service.flows.origin import OPERATOR
from service.flows.prove_password import PasswordProof
from service.flows.refresh_token import RefreshTokenGrant
from service.flows.refresh_verdicts import RefreshVerdicts
from service.hashing import PasswordHasher, Verification
from service.oauth.user import Profile, User
from service.redis import rate_limits
from service.redis.login_limits import LoginLimit
from service.redis.rate_limits import RateLimit
from service.sql.connection import Database
from tests.conftest import RegisteredClient, http_to
from tests.sessions import Begun, make_public

ORIGIN = "https://app.example"
COOKIE = "__Host-watchword_refresh"
PASSWORD = "a lantern under the old bridge"
OTHER_PASSWORD = "three herons on a wet meadow"
DAY = timedelta(days=1)  # no test runs into its end
DEAD_REDIS = "redis://127.0.0.1:1/0"

CLEARED = f"{COOKIE}=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict"
# RFC 6749 §5.2: what may stand in an error_description.
_DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5B\x5D-\x7E]+")
_COOKIE = re.compile(
    rf"{COOKIE}=(?P<token>\S+); Max-Age=(?P<seconds>\d+); "
    "Path=/; Secure; HttpOnly; SameSite=Strict"
)


class CountedHasher(PasswordHasher):
    """Remembers which hashes it verified against, and how many passwords it hashed."""

    def __init__(self, **places: int) -> None:
        super().__init__(memory_kib=8, passes=1, **places)
        self.verified: list[str | None] = []
        self.hashed = 0

    async def hash(self, password: str) -> str:
        self.hashed += 1
        return await super().hash(password)

    async def verify(self, stored: str | None, password: str) -> Verification:
        verification = await super().verify(stored, password)
        self.verified.append(stored)
        return verification


class Device:
    """Somebody's device: sends what a first-party client sends, keeps what it is given.

    The page of a web app has an origin; a native app has none.
    """

    def __init__(self, accounts: "Accounts", client: RegisteredClient, origin: str | None) -> None:
        self.http, self.client, self.origin = accounts.http, client, origin
        self.address = (
            f"10.{secrets.randbelow(256)}.{secrets.randbelow(256)}.{1 + secrets.randbelow(254)}"
        )
        self.access: str | None = None
        self.refresh_token: str | None = None

    def headers(self, method: str = "POST") -> dict[str, str]:
        """What goes with a request, unless a test changes it."""
        changing = method not in ("GET", "HEAD", "OPTIONS")
        found = {
            "x-forwarded-for": self.address,
            "origin": self.origin,
            "content-type": "application/json" if changing else None,
            "x-requested-with": "tests" if changing else None,
            "authorization": f"Bearer {self.access}" if self.access else None,
            "cookie": f"{COOKIE}={self.refresh_token}" if self.keeps_cookie else None,
        }
        return {name: value for name, value in found.items() if value is not None}

    @property
    def keeps_cookie(self) -> bool:
        return self.origin is not None and self.refresh_token is not None

    async def ask(
        self, method: str, path: str, members: object = None, **changes: Any
    ) -> httpx.Response:
        """The answer. `content` is a raw body; other changes are headers, None leaves one out."""
        content = changes.pop("content", None)
        headers: list[tuple[str, str]] = list(changes.pop("more", ()))
        sent = self.headers(method) | {k.replace("_", "-"): v for k, v in changes.items()}
        headers += [(name, value) for name, value in sent.items() if value is not None]
        if content is None and members is not None:
            content = msgspec.json.encode(members)
        return await self.http.request(method, f"/api/{path}", headers=headers, content=content)

    async def post(self, path: str, members: object = None, **changes: Any) -> httpx.Response:
        return await self.ask("POST", path, members, **changes)

    async def get(self, path: str, **changes: Any) -> httpx.Response:
        return await self.ask("GET", path, **changes)

    async def login(
        self, name: str | None, password: str = PASSWORD, /, **members: Any
    ) -> httpx.Response:
        """The answer to a login; its tokens are kept."""
        body = {"client_id": self.client.id, "username": name, "password": password, **members}
        return self.keep(await self.post("login", body))

    async def refresh(self, **changes: Any) -> httpx.Response:
        """The answer to a refresh; its tokens are kept."""
        return self.keep(await self.post("refresh", self.shown(), **changes))

    async def logout(self, **changes: Any) -> httpx.Response:
        return await self.post("logout", self.shown(), **changes)

    async def me(self, **changes: Any) -> httpx.Response:
        return await self.get("me", **changes)

    def shown(self) -> dict[str, Any]:
        """The members by which the client presents its refresh token."""
        token = {} if self.origin is not None else {"refresh_token": self.refresh_token}
        return {"client_id": self.client.id, **token}

    def keep(self, answer: httpx.Response) -> httpx.Response:
        """Keep the tokens of a good answer."""
        if answer.status_code == 200:
            self.access = answer.json()["access_token"]
            cookie = read_set_cookie(answer)
            self.refresh_token = cookie["token"] if cookie else answer.json()["refresh_token"]
        return answer

    def take(self, begun: Begun) -> "Device":
        """Be where that session began."""
        self.access, self.refresh_token = begun.tokens.access_token, begun.token
        return self


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """A pod whose default client is `web`, with a cookie; `native` gets its tokens in the body."""

    app: App
    http: httpx.AsyncClient
    hasher: CountedHasher
    web: RegisteredClient
    native: RegisteredClient

    def browser(self, client: RegisteredClient | None = None) -> Device:
        """A browser with a page of the web app."""
        return Device(self, client or self.web, ORIGIN)

    def phone(self, client: RegisteredClient | None = None) -> Device:
        """A phone with the native app."""
        return Device(self, client or self.native, None)

    async def user(self, password: str = PASSWORD, **members: Any) -> User:
        """A new user with that password."""
        name = f"anna-{secrets.token_hex(6)}"
        known = {"username": name, "email": f"{name}@example.com", "full_name": "Anna Ek"}
        password_hash = await self.hasher.hash(password)
        profile = Profile(**{**known, **members})
        return await create_user(self.app.services.database, profile, password_hash, OPERATOR)


@asynccontextmanager
async def open_accounts(
    app: App,
    *,
    hasher: CountedHasher | None = None,
    redis_url: str | None = None,
    database: Database | None = None,
    limits: dict[str, int] | None = None,
    **settings: Any,
) -> AsyncIterator[Accounts]:
    """The shared pod, but for cheap hashes, limits of its own and two first-party clients.

    `limits` are those of LoginLimit; `database` is what requests find instead of the pod's.
    """
    services = app.services
    redis_url, prefix = redis_url or services.settings.redis_url.reveal(), f"t{uuid4().hex[:12]}"
    hasher, database = hasher or CountedHasher(), database or services.database
    web = await register_web(app)
    native = await make_public(app, first_party=True, grant_types=())
    known = {"registrations_per_address": 1000, "first_party_client_id": web.id}
    settings = {**known, **settings}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rate_limits, "_SECONDS", 60.0)  # a busy machine is no outage
        limit = LoginLimit(redis_url, prefix, window=DAY, **(limits or {}))
        amount = settings["registrations_per_address"]
        registrations = RateLimit(redis_url, prefix, amount=amount, window=DAY)
        own = replace(
            services,
            settings=msgspec.structs.replace(services.settings, **settings),
            database=database,
            passwords=hasher,
            proof=PasswordProof(database, hasher, limit, services.metrics),
            registration_limit=registrations,
            live_tokens=LiveTokens(database),
            refresh_tokens=_refresh_tokens(app, database),
        )
        pod = App(asgi=create_app(own), services=own)
        async with http_to(pod) as http:
            yield Accounts(app=pod, http=http, hasher=hasher, web=web, native=native)
        for each in (limit, registrations):
            await each.close()
        hasher.close()


def _refresh_tokens(app: App, database: Database) -> RefreshTokenGrant:
    services = app.services
    return RefreshTokenGrant(
        database,
        services.session_issuer,
        services.refresh_tokens._healer,
        RefreshVerdicts(database, services.metrics, services.keeper.nudge),
        commit="off",
    )


async def register_web(app: App, **members: Any) -> RegisteredClient:
    """A web app of ours; `members` replace those of its registration."""
    known = {"first_party": True, "refresh_delivery": "cookie", "allowed_origins": (ORIGIN,)}
    return await make_public(app, grant_types=(), **{**known, **members})


def read_set_cookie(answer: httpx.Response) -> dict[str, str] | None:
    """The token and the Max-Age of the one cookie that was set, exactly as it has to be."""
    cookies = answer.headers.get_list("set-cookie")
    if not cookies:
        return None
    (cookie,) = cookies
    match = _COOKIE.fullmatch(cookie)
    assert match, cookie
    return match.groupdict()


def assert_refused(
    answer: httpx.Response,
    error: str,
    status: int = 400,
    *,
    fields: set[str] | None = None,
    cleared: bool = False,
) -> None:
    """{"error", "error_description"}, with `fields` where members are at fault."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert set(answer.json()) - {"fields"} == {"error", "error_description"}
    assert set(answer.json().get("fields", ())) == (fields or set()), answer.text
    assert _DESCRIPTION.fullmatch(answer.json()["error_description"])
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("vary") == ["Origin"]
    assert answer.headers.get_list("set-cookie") == ([CLEARED] if cleared else [])
    challenges = answer.headers.get_list("www-authenticate")
    assert [text[:6] for text in challenges] == (["Bearer"] if error == "invalid_token" else [])
    if status in (429, 503):
        assert int(answer.headers["retry-after"]) > 0
