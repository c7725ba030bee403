"""A PostgreSQL that is away: noticed in time, told at once from then on, and found again."""

import asyncio
import time

import anyio
import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.sql.connection import Database, DatabaseUnavailable, _is_open
from tests.conftest import until
from tests.sql.conftest import AT_ONCE, SECONDS, Open, answers, unavailable, words


async def test_a_killed_server_is_away_until_a_probe_is_answered(
    database: Database, server: EmbeddedPostgres
) -> None:
    server.kill()
    async with unavailable(database, "is away: ", away=True):
        await answers(database)
    for _ in range(3):  # nobody waits twice
        async with unavailable(database, "PostgreSQL is away$", away=True, within=AT_ONCE):
            await answers(database)
    async with unavailable(database, "is away: ConnectionRefusedError", away=True):
        await words(database)
    server.start()
    async with unavailable(database, "PostgreSQL is away$", away=True, within=AT_ONCE):
        await answers(database)
    assert await words(database) == []
    assert not database.away
    assert await answers(database)


async def test_what_runs_when_the_server_is_killed_is_told_so(
    database: Database, server: EmbeddedPostgres
) -> None:
    async def sleep() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(1)")

    async with anyio.create_task_group() as tasks, unavailable(database, "is away: ", away=True):
        tasks.start_soon(anyio.to_thread.run_sync, server.kill)
        await sleep()


async def test_a_frozen_server_is_away_after_the_seconds_of_a_statement(
    database: Database, server: EmbeddedPostgres
) -> None:
    server.freeze()
    began = time.monotonic()
    async with unavailable(database, "is away: TimeoutError", away=True):
        await answers(database)
    assert time.monotonic() - began >= SECONDS
    async with unavailable(database, "PostgreSQL is away$", away=True, within=AT_ONCE):
        await answers(database)
    async with unavailable(database, "is away: TimeoutError", away=True):
        await words(database)  # on a new connection, which is not answered either
    server.thaw()
    assert await words(database) == []
    assert await answers(database)


async def test_requests_that_wait_for_a_frozen_server_all_end_in_time(
    open_database: Open, server: EmbeddedPostgres
) -> None:
    database = open_database(connections=2)
    assert await answers(database)
    server.freeze()
    began = time.monotonic()
    results = await asyncio.gather(*(answers(database) for _ in range(20)), return_exceptions=True)
    assert {type(result) for result in results} == {DatabaseUnavailable}
    assert time.monotonic() - began < 3 * SECONDS
    assert database.away


async def test_a_frozen_server_does_not_hold_up_the_end(
    database: Database, server: EmbeddedPostgres
) -> None:
    server.freeze()
    began = time.monotonic()
    await database.close()
    assert time.monotonic() - began < 2 * SECONDS


async def test_a_pool_that_was_never_used_is_closed_without_a_server(open_database: Open) -> None:
    await open_database("postgresql://nobody@127.0.0.1:1/nothing").close()


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("postgresql://watchword:wrong@127.0.0.1:{port}/watchword", "InvalidPasswordError"),
        ("postgresql://watchword:{password}@127.0.0.1:{port}/absent", "InvalidCatalogNameError"),
        ("postgresql://watchword:wrong@127.0.0.1:1/watchword", "ConnectionRefusedError"),
        ("postgresql://watchword:wrong@127.0.0.1/x?sslmode=odd", "ClientConfigurationError"),
    ],
)
async def test_an_address_that_leads_nowhere_is_away(
    open_database: Open, server: EmbeddedPostgres, url: str, cause: str
) -> None:
    database = open_database(url.format(port=server.port, password=server.password))
    async with unavailable(database, f"is away: {cause}", away=True):
        await answers(database)


async def test_a_server_that_takes_no_writes_is_away_and_its_connection_not_used_again(
    database: Database,
) -> None:
    refused = unavailable(database, "is away: ReadOnlySQLTransactionError", away=True)
    async with refused, database.connection() as connection:
        await connection.execute("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        await connection.execute("INSERT INTO notes VALUES ('lost')")
    async with database.probe() as connection:
        await connection.execute("INSERT INTO notes VALUES ('kept')")
    assert await words(database) == ["kept"]


async def test_a_server_that_stops_in_good_order_is_away(
    database: Database, server: EmbeddedPostgres
) -> None:
    await anyio.to_thread.run_sync(server.stop)
    async with unavailable(database, "is away: ", away=True):
        await answers(database)
    await anyio.to_thread.run_sync(server.start)
    assert await words(database) == []


async def test_however_many_connections_were_cut_the_first_probe_finds_it_again(
    open_database: Open, server: EmbeddedPostgres
) -> None:
    """What was kept at hand is not tried one by one, a second each."""
    database = open_database(connections=4)
    async with database.connection(), database.connection(), database.connection():
        assert await answers(database)
    server.kill()
    server.start()
    await until(lambda: not any(map(_is_open, database._spare)))
    async with database.probe() as connection:
        assert await connection.fetchval("SELECT true")
    assert not database.away
