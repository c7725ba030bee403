from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from migrations import connection, runner
from service.embedded.postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path


EMPTY = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid();
    ALTER DATABASE watchword RESET ALL;
    DO $$
    DECLARE
        name text;
    BEGIN
        FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_)' LOOP
            EXECUTE format('DROP SCHEMA %I CASCADE', name);
        END LOOP;
    END
    $$;
    CREATE SCHEMA public AUTHORIZATION pg_database_owner;
    GRANT USAGE ON SCHEMA public TO PUBLIC;
"""


@dataclass
class Run:
    """What one run left: its outcome and the lines it reported."""

    outcome: runner.Outcome
    lines: list[str]


@dataclass
class Release:
    """A folder of migration files, and the database that they are for."""

    folder: Path
    url: str

    def write(self, name: str, sql: str) -> None:
        (self.folder / f"{name}.sql").write_text(sql)

    async def migrate(self, url: str | None = None, **options: Any) -> Run:
        lines: list[str] = []
        outcome = await runner.migrate(
            url or self.url, directory=self.folder, report=lines.append, **options
        )
        return Run(outcome=outcome, lines=lines)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), settings={"fsync": "off"})
    server.start()
    yield server
    server.stop()


@pytest.fixture
def url(cluster: EmbeddedPostgres) -> str:
    """The address of an empty database, as a superuser."""

    async def empty() -> None:  # a new database took 0.2 s, this takes 0.02
        outside = await asyncpg.connect(cluster.url())
        await outside.execute(EMPTY)
        await outside.close()

    asyncio.run(empty())
    return cluster.url()


@pytest.fixture
def release(tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> Release:
    monkeypatch.setattr(connection, "POLL", 0.02)
    monkeypatch.setattr(runner, "LOCK_PAUSE", 0.02)
    folder = tmp_path / "migrations"
    folder.mkdir()
    return Release(folder=folder, url=url)


@pytest.fixture
async def connect(url: str) -> AsyncIterator[Callable[..., Any]]:
    """Open connections to the database that end with the test, however it ends."""
    connections = []

    async def connect(address: str = url) -> asyncpg.Connection:
        connections.append(await asyncpg.connect(address))
        return connections[-1]

    yield connect
    for opened in connections:
        opened.terminate()


@pytest.fixture
async def database(connect: Callable[..., Any]) -> asyncpg.Connection:
    """A look at the database from outside the runner."""
    return await connect()


@pytest.fixture
def has_table(database: asyncpg.Connection) -> Callable[[str], Any]:
    async def has_table(name: str) -> bool:
        return await database.fetchval("SELECT to_regclass($1) IS NOT NULL", name)

    return has_table


@pytest.fixture
def others(database: asyncpg.Connection) -> Callable[[str], Any]:
    """Wait until one of the database's other sessions is as the condition says."""

    async def others(condition: str) -> None:
        query = (  # of the tests' own words
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()"  # noqa: S608
            f" AND pid <> pg_backend_pid() AND {condition})"
        )
        async with asyncio.timeout(10):
            while not await database.fetchval(query):  # noqa: ASYNC110 - nothing here sets an event
                await asyncio.sleep(0.02)

    return others
