"""watchword_verifier.fastapi: the dependency, what it documents, what `install` leaves alone."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from watchword_verifier import Claims, Verifier
from watchword_verifier.fastapi import Bearer, ProtectedResource, claims_of, install

from tests.verifier.conftest import LivePod, Options
from tests.verifier.serving import open_websocket, running


@pytest.fixture
def bearer(options: Options) -> Bearer:
    verifier = Verifier(**options)
    return Bearer(verifier, resource=ProtectedResource.of(verifier))


@pytest.fixture
def app(bearer: Bearer) -> FastAPI:
    """Every path of it asks for a token."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        yield {"database": "open"}

    app = FastAPI(dependencies=[Depends(bearer)], lifespan=lifespan)
    install(app, bearer)

    @app.get("/database")
    async def database(request: Request) -> list[str]:
        return [request.state.database, claims_of(request).client_id]

    @app.post("/orders")
    async def write(
        claims: Annotated[Claims, Security(bearer, scopes=["orders:write"])],
    ) -> str:
        return claims.client_id

    @app.put("/orders")
    async def replace(
        claims: Annotated[Claims, Depends(bearer.require_scope("orders:read", "orders:write"))],
    ) -> str:
        return claims.client_id

    @app.websocket("/live")
    async def live(websocket: WebSocket, claims: Annotated[Claims, Depends(bearer)]) -> None:
        await websocket.accept()
        await websocket.send_text(claims.client_id)

    admin = APIRouter(dependencies=[Depends(bearer.require_role("clerk"))])

    @admin.get("/users")
    async def users() -> str:
        return "all of them"

    app.include_router(admin)
    return app


@pytest.fixture
async def http(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_scopes_are_asked_for_by_either_spelling(
    http: httpx.AsyncClient, pod: LivePod, method: str
) -> None:
    client = pod.make_client()
    narrow = bearing(pod.token(client, scope="orders:read"))
    refused = await http.request(method, "/orders", headers=narrow)
    assert refused.status_code == 403
    assert "orders:write" in refused.headers["www-authenticate"]
    answer = await http.request(method, "/orders", headers=bearing(pod.token(client)))
    assert (answer.status_code, answer.json()) == (200, client.id)


async def test_a_whole_router_asks_for_a_role(http: httpx.AsyncClient, pod: LivePod) -> None:
    clerk = pod.begin(roles=("clerk",)).tokens.access_token
    assert (await http.get("/users", headers=bearing(clerk))).status_code == 200
    assert (await http.get("/users", headers=bearing(pod.token()))).status_code == 403
    assert (await http.get("/users")).status_code == 401


async def test_one_request_is_verified_once_whatever_its_dependencies(
    http: httpx.AsyncClient, pod: LivePod, bearer: Bearer
) -> None:
    verifier = bearer.gate.verifier
    token = pod.token()
    before = verifier.status.tokens.get("verified", 0)
    assert (await http.put("/orders", headers=bearing(token))).status_code == 200
    assert verifier.status.tokens["verified"] == before + 1


async def test_the_applications_own_lifespan_and_state_stay(
    http: httpx.AsyncClient, pod: LivePod
) -> None:
    client = pod.make_client()
    answer = await http.get("/database", headers=bearing(pod.token(client)))
    assert answer.json() == ["open", client.id]


async def test_the_metadata_needs_no_token_where_everything_else_does(
    http: httpx.AsyncClient,
) -> None:
    """PRM-1."""
    path = "/.well-known/oauth-protected-resource"
    assert (await http.get(path)).status_code == 200
    assert (await http.get("/database")).status_code == 401


async def test_a_websocket_depends_on_a_token(
    app: FastAPI, http: httpx.AsyncClient, pod: LivePod
) -> None:
    client = pod.make_client()
    said = await open_websocket(app, "/live", pod.token(client))
    assert [it["type"] for it in said][:2] == ["websocket.accept", "websocket.send"]
    assert said[1]["text"] == client.id
    for token in (None, "garbage"):
        (close,) = await open_websocket(app, "/live", token)
        assert (close["type"], close["code"]) == ("websocket.close", 1008)
        assert not close.get("reason")
        said = await open_websocket(app, "/live", token, extensions=["websocket.http.response"])
        assert said[0]["status"] == 401
        assert b"www-authenticate" in dict(said[0]["headers"])


def test_the_openapi_document_has_the_scheme_and_what_each_path_needs(app: FastAPI) -> None:
    document = app.openapi()
    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    operations = document["paths"]["/orders"]
    assert operations["post"]["security"] == [{"bearer": ["orders:write"]}]
    assert operations["put"]["security"] == [{"bearer": ["orders:read", "orders:write"]}]
    assert document["paths"]["/database"]["get"]["security"] == [{"bearer": []}]
    assert not [path for path in document["paths"] if "well-known" in path]
    assert "requestBody" not in operations["post"]
    assert "parameters" not in operations["post"]
