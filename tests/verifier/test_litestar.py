"""watchword_verifier.litestar: guards, the dependency, and what the plugin documents."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from litestar import Litestar, WebSocket, get, websocket
from litestar.di import NamedDependency
from watchword_verifier import Claims, Verifier
from watchword_verifier.litestar import (
    BearerPlugin,
    ProtectedResource,
    require_role,
    require_scope,
    require_token,
)

from tests.verifier.conftest import LivePod, Options
from tests.verifier.serving import open_websocket, running

Socket = WebSocket[Any, Any, Any]


@get("/healthz", exclude_from_auth=True)
async def health() -> str:
    return "alive"


@get("/orders")
async def orders() -> str:
    """Protected by the application's guard."""
    return "all of them"


@get("/mine", guards=[require_scope("orders:read"), require_scope("orders:write")])
async def mine(claims: NamedDependency[Claims]) -> str:
    return claims.client_id


@websocket("/guarded", guards=[require_scope("orders:write")])
async def guarded(socket: Socket) -> None:
    await socket.accept()
    await socket.send_text("open")


@websocket("/of-role", guards=[require_role("clerk")])
async def of_role(socket: Socket) -> None:
    await socket.accept()
    await socket.send_text("open")


@websocket("/dependent", exclude_from_auth=True)
async def dependent(socket: Socket, claims: NamedDependency[Claims]) -> None:
    await socket.accept()
    await socket.send_text(claims.client_id)


@pytest.fixture
def verifier(options: Options) -> Verifier:
    """Not started."""
    return Verifier(**options)


@pytest.fixture
def app(verifier: Verifier) -> Litestar:
    return Litestar(
        [health, orders, mine, guarded, of_role, dependent],
        guards=[require_token],
        plugins=[BearerPlugin(verifier, resource=ProtectedResource.of(verifier))],
        logging_config=None,
    )


@pytest.fixture
async def http(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def test_a_whole_application_asks_for_a_token_but_where_it_says_otherwise(
    http: httpx.AsyncClient, pod: LivePod
) -> None:
    assert (await http.get("/orders")).status_code == 401
    assert (await http.get("/orders", headers=bearing(pod.token()))).status_code == 200
    assert (await http.get("/healthz")).status_code == 200
    assert (await http.get("/.well-known/oauth-protected-resource")).status_code == 200


async def test_one_request_is_verified_once_whatever_its_guards(
    http: httpx.AsyncClient, pod: LivePod, verifier: Verifier
) -> None:
    client = pod.make_client()
    before = verifier.status.tokens.get("verified", 0)
    answer = await http.get("/mine", headers=bearing(pod.token(client)))
    assert (answer.status_code, answer.text) == (200, client.id)
    assert verifier.status.tokens["verified"] == before + 1
    narrow = bearing(pod.token(client, scope="orders:read"))
    assert (await http.get("/mine", headers=narrow)).status_code == 403


@pytest.mark.parametrize("path", ["/guarded", "/dependent", "/of-role"])
async def test_a_websocket_is_closed_before_it_opens_without_a_reason(
    app: Litestar, http: httpx.AsyncClient, pod: LivePod, path: str
) -> None:
    clerk = pod.begin(roles=("clerk",), scopes=("orders:write",)).tokens.access_token
    said = await open_websocket(app, path, clerk)
    assert [it["type"] for it in said][:2] == ["websocket.accept", "websocket.send"]
    tokens = [None, "garbage"]
    if path != "/dependent":
        tokens.append(pod.token(scope="orders:read"))
    for token in tokens:
        said = await open_websocket(app, path, token)
        assert said == [{"type": "websocket.close", "code": 1008, "reason": "refused"}]


def test_the_openapi_document_has_the_scheme(app: Litestar, verifier: Verifier) -> None:
    document = app.openapi_schema.to_schema()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert document["security"] == [{"bearer": []}]
    assert not [path for path in document["paths"] if "well-known" in path]


def test_another_application_of_the_process_documents_nothing_of_it(app: Litestar) -> None:
    other = Litestar([health], logging_config=None).openapi_schema.to_schema()
    assert "security" not in other
    assert "securitySchemes" not in other.get("components", {})


def test_an_application_may_do_without_a_document(verifier: Verifier) -> None:
    app = Litestar(
        [mine], plugins=[BearerPlugin(verifier)], openapi_config=None, logging_config=None
    )
    assert [route.path for route in app.routes] == ["/mine"]
