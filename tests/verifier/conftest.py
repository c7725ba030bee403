"""A pod that answers over HTTP while the test's own loop stands still, and verifiers of it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, TypedDict, TypeVar

import httpx
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from watchword_verifier import Verifier

from service.app import App, open_app
from service.embedded.redis import EmbeddedRedis
from service.flows.manage_users import set_roles
from service.flows.origin import OPERATOR
from service.http.listening import bind
from service.http.server import serve
from service.settings import Settings
from tests.conftest import AUDIENCE, MakeSettings, RegisteredClient, register, until
from tests.sessions import Begun, begin, know_user, make_user

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class LivePod:
    """A pod in a thread and loop of its own. Its methods block, for milliseconds."""

    settings: Settings
    app: App
    http: httpx.Client
    portal: BlockingPortal

    @property
    def url(self) -> str:
        """Where it serves, which is its issuer."""
        return self.settings.issuer

    def call(self, run: Callable[..., Awaitable[T]], *args: object, **members: object) -> T:
        """What a coroutine function returns in the pod's loop, where its database lives."""
        return self.portal.call(partial(run, *args, **members))

    def make_client(self, **members: object) -> RegisteredClient:
        """A new confidential client; members replace those of REGISTRATION."""
        return self.call(register, self.app, **members)

    def token(self, client: RegisteredClient | None = None, **form: str) -> str:
        """A machine token, of a new client unless one is given; `form`: scope, resource."""
        client = client or self.make_client()
        data = {"grant_type": "client_credentials", **form}
        answer = self.http.post("/token", data=data, auth=client.auth)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def begin(self, roles: tuple[str, ...] = (), **members: Any) -> Begun:
        """A session of a new user at a new public client: `.tokens.access_token`, `.id`."""
        return self.call(self._begin, roles, **members)

    async def _begin(self, roles: tuple[str, ...], **members: Any) -> Begun:
        database = self.app.services.database
        user = await make_user(database)
        if roles:
            await set_roles(database, user.id, roles, OPERATOR)
            user = await know_user(database, user.id)
        return await begin(self.app, user=user, **members)

    def revoke(self, client: RegisteredClient, token: str) -> None:
        """Revoke at the endpoint."""
        answer = self.http.post("/revoke", data={"token": token}, auth=client.auth)
        assert answer.status_code == 200, answer.text


@pytest.fixture(scope="session")
def portal() -> Iterator[BlockingPortal]:
    """Into the loop of the pod, which runs in a thread: no test stops it."""
    with start_blocking_portal("asyncio") as opened:
        yield opened


@pytest.fixture(scope="session")
def pod(portal: BlockingPortal, make_settings: MakeSettings) -> Iterator[LivePod]:
    """A pod, ready, shared by the suite."""
    (listener,) = bind(["127.0.0.1:0"])
    issuer = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = portal.call(partial(make_settings, ISSUER=issuer))
    with (
        portal.wrap_async_context_manager(_serving(settings, listener)) as app,
        httpx.Client(base_url=issuer, timeout=10) as http,
    ):
        yield LivePod(settings=settings, app=app, http=http, portal=portal)


@asynccontextmanager
async def _serving(settings: Settings, listener: socket.socket) -> AsyncIterator[App]:
    async with open_app(settings, "0.0.0-test") as app:
        await until(lambda: app.services.readiness.ready)
        drain, second = app.services.drain, timedelta(seconds=1)
        serving = asyncio.create_task(
            serve(app.asgi, [listener], drain=second, grace=second, on_drain=drain)
        )
        yield app
        drain()  # answers who waits for news
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving


@pytest.fixture(scope="session")
def pod_url(pod: LivePod) -> str:
    """The issuer's URL."""
    return pod.url


class Options(TypedDict, total=False):
    """What the verifiers of tests are made with."""

    issuer: str
    audience: str
    revocations: str
    redis_prefix: str


@pytest.fixture(scope="session")
def options(pod: LivePod, redis_server: EmbeddedRedis) -> Options:
    """Of a verifier that follows the pod's stream in Redis: `Verifier(**options)`."""
    return {
        "issuer": pod.url,
        "audience": AUDIENCE,
        "revocations": redis_server.url,
        "redis_prefix": pod.settings.redis_prefix,
    }


@pytest.fixture
async def verifier(options: Options) -> AsyncIterator[Verifier]:
    """A verifier in the test's loop, ready."""
    async with Verifier(**options) as opened:
        assert opened.ready
        yield opened
