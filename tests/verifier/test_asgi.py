"""watchword_verifier.asgi: what only a bare ASGI application meets."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from watchword_verifier import RevocationsStale, Verifier
from watchword_verifier.asgi import BearerMiddleware, ProtectedResource, claims_of

from tests.conftest import AUDIENCE
from tests.verifier.conftest import LivePod, Options
from tests.verifier.serving import Message, open_websocket, running


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Says who asks, by HTTP or a WebSocket; takes no lifespan."""
    assert scope["type"] in {"http", "websocket"}
    subject = claims_of(scope).subject
    if scope["type"] == "websocket":
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": subject})
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": subject.encode()})


@pytest.fixture
def app(options: Options) -> BearerMiddleware:
    verifier = Verifier(**options)
    return BearerMiddleware(hello, verifier, resource=ProtectedResource.of(verifier))


@pytest.fixture
async def http(app: BearerMiddleware) -> AsyncIterator[httpx.AsyncClient]:
    async with running(app) as client:
        yield client


async def test_a_websocket_with_a_good_token_opens(
    app: BearerMiddleware, http: httpx.AsyncClient, pod: LivePod
) -> None:
    client = pod.make_client()
    said = await open_websocket(app, "/", pod.token(client))
    assert [it["type"] for it in said] == ["websocket.accept", "websocket.send"]
    assert said[1]["text"] == client.id


@pytest.mark.parametrize("token", [None, "garbage"])
async def test_a_websocket_without_one_is_closed_before_it_opens(
    app: BearerMiddleware, http: httpx.AsyncClient, token: str | None
) -> None:
    """Servers make a bare 403 of it."""
    assert await open_websocket(app, "/", token) == [{"type": "websocket.close", "code": 1008}]


async def test_a_websockets_refusal_is_a_401_where_the_server_can_say_so(
    app: BearerMiddleware, http: httpx.AsyncClient
) -> None:
    """RFC 6750 §3, by the extension for denial responses."""
    said = await open_websocket(app, "/", "garbage", extensions=["websocket.http.response"])
    assert [it["type"] for it in said] == [
        "websocket.http.response.start",
        "websocket.http.response.body",
    ]
    assert said[0]["status"] == 401
    assert b'error="invalid_token"' in dict(said[0]["headers"])[b"www-authenticate"]


async def test_a_refusal_says_how_long_it_is(http: httpx.AsyncClient) -> None:
    refused = await http.get("/", headers={"Authorization": "Bearer garbage"})
    assert refused.headers["content-length"] == str(len(refused.content))


async def test_every_token_must_have_the_middlewares_scopes(options: Options, pod: LivePod) -> None:
    app = BearerMiddleware(hello, Verifier(**options), scopes=["orders:read", "orders:write"])
    async with running(app) as http:
        for scope, status in (("orders:read", 403), ("orders:read orders:write", 200)):
            header = {"Authorization": f"Bearer {pod.token(scope=scope)}"}
            answer = await http.get("/", headers=header)
            assert answer.status_code == status
            if status == 403:
                assert 'scope="orders:read orders:write"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "path", ["/healthz/", "//healthz", "/Healthz", "/healthz%2f", "/healthz;x", "/x/../healthz"]
)
async def test_only_the_very_path_is_public(options: Options, path: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("it was let through")

    answer: list[Message] = []

    async def send(message: Message) -> None:
        answer.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    await BearerMiddleware(app, Verifier(**options))(scope, never, send)
    assert answer[0]["status"] == 401


async def test_a_public_path_is_found_wherever_the_application_is_mounted(
    options: Options,
) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["path"])

    guarded = BearerMiddleware(app, Verifier(**options))
    for path, root in (("/healthz", ""), ("/api/healthz", "/api"), ("/readyz", "/api")):
        scope = {"type": "http", "method": "GET", "path": path, "root_path": root, "headers": []}
        await guarded(scope, never, never)
    assert seen == ["/healthz", "/api/healthz", "/readyz"]


async def test_who_asks_for_claims_on_a_public_path_asks_for_a_token(
    options: Options, pod: LivePod
) -> None:
    async with running(BearerMiddleware(hello, Verifier(**options), public={"/"})) as http:
        answer = await http.get("/")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (
            401,
            'Bearer realm="api"',
        )


async def test_what_the_application_raises_in_the_middle_of_an_answer_is_its_own(
    options: Options, pod: LivePod
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "http"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RevocationsStale("in the middle")

    async with running(BearerMiddleware(app, Verifier(**options), public={"/"})) as http:
        with pytest.raises(RevocationsStale):
            await http.get("/")


async def raises(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("only HTTP here")


async def returns(scope: Any, receive: Any, send: Any) -> None:
    return


async def listens_and_raises(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    raise RuntimeError("only HTTP here")


@pytest.mark.parametrize("app", [raises, returns, listens_and_raises])
async def test_a_verifier_lives_also_where_the_application_has_no_lifespan(
    options: Options, app: Any
) -> None:
    verifier = Verifier(**options)
    async with running(BearerMiddleware(app, verifier)):
        assert verifier.ready


async def test_an_application_that_fails_to_start_says_so_and_the_verifier_is_closed(
    options: Options,
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise RuntimeError("no database")

    said: list[Message] = []

    async def receive() -> Message:
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        said.append(message)

    before = asyncio.all_tasks()
    guarded = BearerMiddleware(app, Verifier(**options))
    with pytest.raises(RuntimeError, match="no database"):
        await guarded({"type": "lifespan"}, receive, send)
    assert said == [{"type": "lifespan.startup.failed", "message": "no database"}]
    assert asyncio.all_tasks() == before


async def test_the_metadata_is_read_and_nothing_else(http: httpx.AsyncClient) -> None:
    path = ProtectedResource(resource=AUDIENCE, issuer="https://auth.example").path
    assert (await http.head(path)).status_code == 200
    assert (await http.post(path)).status_code == 401


def test_the_metadata_of_a_resource_with_a_path_has_that_path_behind_it() -> None:
    """RFC 9728 §3.1."""
    resource = ProtectedResource(resource="https://api.example/orders", issuer="https://a.example")
    assert resource.path == "/.well-known/oauth-protected-resource/orders"
    assert resource.url == "https://api.example/.well-known/oauth-protected-resource/orders"


@pytest.mark.parametrize(
    "resource", ["orders", "urn:orders", "//api.example", "https://a.example?b", "https://a.x#b"]
)
def test_a_resource_that_is_no_url_has_no_metadata(resource: str) -> None:
    with pytest.raises(ValueError, match="a resource"):
        ProtectedResource(resource=resource, issuer="https://auth.example")


def test_the_library_loads_no_framework() -> None:
    frameworks = ("starlette", "fastapi", "litestar", "redis", "prometheus_client", "service")
    script = (
        "import sys, watchword_verifier, watchword_verifier.asgi\n"
        f"print([name for name in {frameworks} if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


async def never(*_: object) -> Any:
    raise AssertionError("nobody asked for this")
