"""Administrators for tests: what asks /admin with a token that may, and how refusals look."""

from dataclasses import dataclass, replace
from typing import Any

import httpx
import msgspec

from service.app import App
from service.flows.administer_users import set_administrator
from service.flows.origin import OPERATOR
from service.oauth.client import ADMIN_SCOPE, admin_audience
from tests.conftest import RegisteredClient, register
from tests.http.forge import issue
from tests.sessions import Begun, begin, make_public

UNKNOWN_ID = "01a1fd52-3991-7b98-b0e3-b7a63839c280"
NEEDED = (
    'Bearer realm="watchword", error="insufficient_scope", '
    'error_description="this needs an administrator\'s access token", scope="watchword:admin"'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Administrator:
    """Somebody with a token for /admin, and the pod that it is asked at."""

    app: App
    http: httpx.AsyncClient
    client: RegisteredClient
    token: str

    @property
    def actor(self) -> str:
        """As audit events and revocations name it."""
        return f"client:{self.client.id}"

    def bearing(self, token: str) -> "Administrator":
        """The same with another token."""
        return replace(self, token=token)

    async def ask(
        self, method: str, path: str, members: object = None, **changes: Any
    ) -> httpx.Response:
        """The answer. `content` is a raw body, `params` a query; other changes are headers."""
        content, params = changes.pop("content", None), changes.pop("params", None)
        sent: dict[str, str | None] = {"authorization": f"Bearer {self.token}"}
        if content is None and members is not None:
            content = msgspec.json.encode(members)
        if content is not None:
            sent["content-type"] = "application/json"
        sent |= {name.replace("_", "-"): value for name, value in changes.items()}
        headers = [(name, value) for name, value in sent.items() if value is not None]
        return await self.http.request(
            method, f"/admin/{path}", headers=headers, content=content, params=params
        )

    async def get(self, path: str, **params: Any) -> httpx.Response:
        """The answer to a GET with that query."""
        return await self.ask("GET", path, params=params or None)

    async def post(self, path: str, **members: Any) -> httpx.Response:
        """The answer to a POST; without members it has no body."""
        return await self.ask("POST", path, members or None)

    async def walk(self, path: str, name: str, **params: Any) -> list[dict[str, Any]]:
        """Every item of a list, page after page."""
        found: list[dict[str, Any]] = []
        while True:
            answer = await self.get(path, **params)
            assert answer.status_code == 200, answer.text
            found += answer.json()[name]
            if "next" not in answer.json():
                return found
            params["after"] = answer.json()["next"]


async def make_administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    """A client that may administer, with a token of its own."""
    client = await register_administrator(app)
    return Administrator(app=app, http=http, client=client, token=await issue(http, client))


async def register_administrator(app: App, **members: Any) -> RegisteredClient:
    """A client that may administer."""
    known = {
        "administrator": True,
        "audiences": (admin_audience(app.services.issuer),),
        "scopes": (ADMIN_SCOPE,),
    }
    return await register(app, **{**known, **members})


async def begin_administration(app: App, *, marked: bool = True) -> Begun:
    """A session of a user, who is an administrator if `marked`, at a console that may."""
    audiences = (admin_audience(app.services.issuer),)
    console = await make_public(
        app, first_party=True, administrator=True, audiences=audiences, scopes=(ADMIN_SCOPE,)
    )
    begun = await begin(app, console)
    if marked:
        await set_administrator(app.services.database, begun.user.id, OPERATOR, on=True)
    return begun


def assert_admin_refusal(
    answer: httpx.Response, error: str, status: int, *, fields: set[str] | None = None
) -> None:
    """The form of a refusal; it is kept nowhere, and no page of another origin may read it."""
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert set(answer.json()) - {"fields"} == {"error", "error_description"}
    assert set(answer.json().get("fields", ())) == (fields or set()), answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert "set-cookie" not in answer.headers
    assert not [name for name in answer.headers if name.startswith("access-control-")]
