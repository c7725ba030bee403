"""Real servers for the suite: one PostgreSQL, one Redis, and one pod over both for HTTP tests."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import anyio
import asyncpg
import httpx
import pytest

from migrations.runner import migrate
from service.app import App, open_app
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.flows.manage_clients import create_client
from service.keys.master_keys import create_master_keys
from service.oauth.registration import Registration
from service.settings import Settings, load_settings
from service.sql.connection import _prepare_connection  # pyright: ignore[reportPrivateUsage]
from tests.leaks import Issued, watched_logs

ISSUER = "http://localhost:8000"
AUDIENCE = "https://orders.example"

# Faster, and no test of the shared servers pulls their plug.
_FAST = {"fsync": "off", "full_page_writes": "off", "max_connections": "300"}


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """A client made for one test."""

    id: str
    secret: str

    @property
    def auth(self) -> tuple[str, str]:
        """For httpx: HTTP Basic. Generated ids and secrets need no form-encoding (TOK-14)."""
        return (self.id, self.secret)


MakeClient = Callable[..., Awaitable[RegisteredClient]]


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """One event loop for the suite, so that a pod can live in it."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def issued(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issued]:
    """Every secret of the run; when it ends, none may stand in any log (ATK-96)."""
    with watched_logs(tmp_path_factory.getbasetemp()) as issued:
        yield issued


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """The suite's PostgreSQL; make a database of your own in it, or take `settings`."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings=_FAST) as server:
        yield server


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The suite's Redis; take a prefix of your own in it."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="session")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Master keys made for this run."""
    directory = tmp_path_factory.mktemp("keys")
    create_master_keys(directory)
    return directory


MakeSettings = Callable[..., Awaitable[Settings]]


@pytest.fixture(scope="session")
def make_settings(
    postgres: EmbeddedPostgres, redis_server: EmbeddedRedis, keys_dir: Path
) -> MakeSettings:
    """Settings over a migrated database and a Redis prefix of their own; WATCHWORD_* overrides."""

    async def make(**overrides: str) -> Settings:
        name = f"t{uuid4().hex[:12]}"
        await anyio.to_thread.run_sync(postgres.create_database, name)
        await migrate(postgres.url(name), report=lambda _: None)
        environment = {
            "ISSUER": ISSUER,
            "DATABASE_URL": postgres.url(name),
            "REDIS_URL": redis_server.url,
            "REDIS_PREFIX": name,
            "KEYS_DIR": str(keys_dir),
            "CLIENT_FAILURES_PER_MINUTE": "1000000",
            "CODES_PER_USER": "1000000",
            "DRAIN": "0s",
            **overrides,
        }
        return load_settings({f"WATCHWORD_{k}": v for k, v in environment.items()})

    return make


@pytest.fixture(scope="session")
async def settings(make_settings: MakeSettings) -> Settings:
    """The settings of the shared pod."""
    return await make_settings()


MakeApp = Callable[[Settings], Awaitable[App]]


@pytest.fixture
async def make_app() -> AsyncIterator[MakeApp]:
    """Pods of a test's own, each ready when it is returned."""
    async with AsyncExitStack() as stack:

        async def make(settings: Settings) -> App:
            app = await stack.enter_async_context(open_app(settings, "0.0.0-test"))
            await until(lambda: app.services.readiness.ready)
            return app

        yield make


async def _prepare_for_standstill(connection: asyncpg.Connection) -> None:
    await _prepare_connection(connection)
    await connection.execute("SET idle_in_transaction_session_timeout = 0")


@pytest.fixture(scope="session")
async def app(settings: Settings) -> AsyncIterator[App]:
    """The shared pod, ready."""
    async with AsyncExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            # It stands still while tests run that use no loop: nothing came late for that.
            patch.setattr("service.app._REDIS_SECONDS", 60.0)
            for name in ("_CONNECT_SECONDS", "_ACQUIRE_SECONDS", "STATEMENT_SECONDS"):
                patch.setattr(f"service.sql.connection.{name}", 60.0)
            patch.setattr("service.sql.connection._prepare_connection", _prepare_for_standstill)
            opened = await stack.enter_async_context(open_app(settings, "0.0.0-test"))
        await until(lambda: opened.services.readiness.ready)
        yield opened


@pytest.fixture(scope="session")
async def http(app: App) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the shared pod, in process."""
    async with http_to(app) as client:
        yield client


def http_to(app: App, **kwargs: object) -> httpx.AsyncClient:
    """HTTP to a pod, in process, from 127.0.0.1 unless `client=(address, port)` says otherwise."""
    transport = httpx.ASGITransport(app.asgi, raise_app_exceptions=False, **kwargs)  # pyright: ignore[reportArgumentType]
    return httpx.AsyncClient(transport=transport, base_url=app.services.issuer)


REGISTRATION = Registration(
    id="",
    name="A test",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",
    grant_types=("client_credentials",),
    audiences=(AUDIENCE,),
    scopes=("orders:read", "orders:write"),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
)


async def register(app: App, **members: object) -> RegisteredClient:
    """A new client of a pod; `members` replace those of REGISTRATION."""
    client_id = str(members.pop("id", f"test-{uuid4().hex[:12]}"))
    if members.get("type") == "public":
        members = {"token_endpoint_auth_method": "none", "grant_types": (), **members}
    registration = replace(REGISTRATION, id=client_id, **members)  # pyright: ignore[reportArgumentType]
    secret = await create_client(app.services.database, registration, app.services.issuer)
    return RegisteredClient(client_id, secret or "")


@pytest.fixture(scope="session")
def make_client(app: App) -> MakeClient:
    """A new client of the shared pod; members replace those of REGISTRATION."""

    async def make(**members: object) -> RegisteredClient:
        return await register(app, **members)

    return make


async def until(statement: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait for a statement to come true, looking again and again."""
    deadline = time.monotonic() + seconds
    while not statement():
        assert time.monotonic() < deadline, "it did not come true in time"
        await anyio.sleep(0.01)
