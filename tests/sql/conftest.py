"""A PostgreSQL of its own that tests may kill and freeze, and the pool over it."""

import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.sql import connection as under_test
from service.sql.connection import Database, DatabaseUnavailable

SECONDS = 0.5  # in place of the seconds that requests are given
AT_ONCE = 0.1

Open = Callable[..., Database]


@pytest.fixture(scope="session")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    folder = tmp_path_factory.mktemp("connection")
    with EmbeddedPostgres(folder, settings={"fsync": "off"}) as server:
        yield server


@pytest.fixture
def server(own_server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server, running again whatever the test before did to it."""
    own_server.start()
    own_server.thaw()
    return own_server


@pytest.fixture
async def open_database(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Open]:
    for name in ("_CONNECT_SECONDS", "_ACQUIRE_SECONDS", "STATEMENT_SECONDS"):
        monkeypatch.setattr(under_test, name, SECONDS)
    async with AsyncExitStack() as stack:

        def open_(url: str | None = None, *, connections: int = 4) -> Database:
            database = Database(url or server.url(), connections=connections, statement_cache=10)
            stack.push_async_callback(database.close)
            return database

        yield open_


@pytest.fixture
async def database(open_database: Open) -> Database:
    """A database with one connection that has been used."""
    database = open_database()
    async with database.connection() as connection:
        await connection.execute("DROP TABLE IF EXISTS notes")
        await connection.execute("CREATE TABLE notes (word text, UNIQUE (word) DEFERRABLE)")
    return database


async def answers(database: Database) -> bool:
    async with database.connection() as connection:
        return await connection.fetchval("SELECT true")


async def words(database: Database) -> list[str]:
    async with database.probe() as connection:
        return [row["word"] for row in await connection.fetch("SELECT word FROM notes ORDER BY 1")]


@asynccontextmanager
async def unavailable(
    database: Database, saying: str, *, away: bool, within: float = 2 * SECONDS + AT_ONCE
) -> AsyncIterator[None]:
    """What is done inside is refused in time, and PostgreSQL is taken for away, or is not."""
    began = time.monotonic()
    with pytest.raises(DatabaseUnavailable, match=saying):
        yield
    assert time.monotonic() - began < within
    assert database.away is away
