"""watchword_verifier.starlette: decorators on whatever Starlette takes for an endpoint."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket
from watchword_verifier import Verifier
from watchword_verifier.starlette import (
    BearerMiddleware,
    claims_of,
    requires_role,
    requires_scope,
)

from tests.verifier.conftest import LivePod, Options
from tests.verifier.serving import open_websocket, running


@requires_scope("orders:write")
async def later(request: Request) -> PlainTextResponse:
    """Asynchronous."""
    return PlainTextResponse(claims_of(request).client_id)


@requires_scope("orders:write")
def at_once(request: Request) -> PlainTextResponse:
    """In a thread."""
    return PlainTextResponse(claims_of(request).client_id)


class Orders(HTTPEndpoint):
    """A class."""

    async def get(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(claims_of(request).client_id)

    @requires_scope("orders:write")
    async def post(self, request: Request) -> PlainTextResponse:
        return await self.get(request)


@requires_scope("orders:write")
async def live(websocket: WebSocket) -> None:
    """A WebSocket."""
    await websocket.accept()
    await websocket.send_text(claims_of(websocket).client_id)
    await websocket.close()


@pytest.fixture
def app(options: Options) -> Starlette:
    return Starlette(
        routes=[
            Route("/later", later, methods=["POST"]),
            Route("/at-once", at_once, methods=["POST"]),
            Route("/class", Orders),
            Mount("/mounted", routes=[Route("/later", later, methods=["POST"])]),
            WebSocketRoute("/live", live),
        ],
        middleware=[Middleware(BearerMiddleware, verifier=Verifier(**options))],
    )


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


@pytest.mark.parametrize("path", ["/later", "/at-once", "/class", "/mounted/later"])
async def test_an_endpoint_of_any_kind_asks_for_a_scope(
    http: httpx.AsyncClient, pod: LivePod, path: str
) -> None:
    client = pod.make_client()
    wide, narrow = pod.token(client), pod.token(client, scope="orders:read")
    answer = await http.post(path, headers={"Authorization": f"Bearer {wide}"})
    assert (answer.status_code, answer.text) == (200, client.id)
    refused = await http.post(path, headers={"Authorization": f"Bearer {narrow}"})
    assert refused.status_code == 403
    assert 'scope="orders:write"' in refused.headers["www-authenticate"]


async def test_a_websocket_asks_for_a_scope_before_it_opens(
    app: Starlette, http: httpx.AsyncClient, pod: LivePod
) -> None:
    client = pod.make_client()
    said = await open_websocket(app, "/live", pod.token(client))
    assert [it["type"] for it in said][:2] == ["websocket.accept", "websocket.send"]
    assert said[1]["text"] == client.id
    for token in (None, "garbage", pod.token(client, scope="orders:read")):
        said = await open_websocket(app, "/live", token)
        assert said == [{"type": "websocket.close", "code": 1008}]


@pytest.mark.parametrize("decorate", [requires_scope, requires_role])
def test_an_endpoint_without_a_request_is_a_mistake_that_shows(decorate: Any) -> None:
    @decorate("orders:write")
    def endpoint() -> None:
        raise AssertionError("it was let through")

    with pytest.raises(TypeError, match="takes the request"):
        endpoint()


def test_a_decorated_endpoint_keeps_its_name() -> None:
    assert (later.__name__, later.__doc__) == ("later", "Asynchronous.")
