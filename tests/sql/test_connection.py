"""Connections as every statement finds them, and what becomes of a transaction."""

import asyncio
import gc

import anyio
import asyncpg
import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.sql.connection import Database
from tests.sql.conftest import Open, answers, unavailable, words


async def test_every_connection_has_the_session_s_settings(database: Database) -> None:
    expected = {
        "default_transaction_isolation": "read committed",
        "synchronous_commit": "on",
        "lock_timeout": "200ms",
        "statement_timeout": "1500ms",
        "idle_in_transaction_session_timeout": "10s",
    }
    async with database.connection() as one, database.connection() as other:
        for connection in (one, other):
            rows = await connection.fetch(
                "SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY($1)",
                list(expected),
            )
            assert dict(rows) == expected
            document = {"a": [1, None, "\u2028"]}
            assert await connection.fetchval("SELECT $1::jsonb", document) == document


async def test_a_commit_that_can_not_be_made_is_reported(
    database: Database, server: EmbeddedPostgres
) -> None:
    refused = unavailable(database, "is away: ", away=True)
    async with refused, database.transaction() as connection:
        await connection.execute("INSERT INTO notes VALUES ('lost')")
        server.kill()
    server.start()
    assert await words(database) == []


async def test_a_commit_on_a_connection_that_was_ended_is_reported(database: Database) -> None:
    refused = unavailable(database, "is away: ", away=True)
    async with refused, database.connection() as other, database.transaction() as connection:
        await connection.execute("INSERT INTO notes VALUES ('lost')")
        pid = await connection.fetchval("SELECT pg_backend_pid()")
        await other.execute("SELECT pg_terminate_backend($1, 5000)", pid)
    assert await words(database) == []


async def test_a_commit_that_postgresql_refuses_is_a_defect_and_no_outage(
    database: Database,
) -> None:
    async def write_twice() -> None:
        async with database.transaction() as connection:
            await connection.execute("SET CONSTRAINTS ALL DEFERRED")
            await connection.execute("INSERT INTO notes VALUES ('twice'), ('twice')")

    with pytest.raises(asyncpg.UniqueViolationError):
        await write_twice()
    assert not database.away
    assert await words(database) == []


async def test_what_is_raised_inside_rolls_back_and_goes_through(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO notes VALUES ('lost')")
            raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        await fail()
    assert not database.away
    assert await words(database) == []


@pytest.mark.parametrize("argument", ["\ud800", "\0", 7], ids=["surrogate", "NUL", "number"])
async def test_an_argument_that_postgresql_can_not_have_is_no_outage(
    database: Database, argument: object
) -> None:
    async with database.connection() as connection:
        with pytest.raises(asyncpg.DataError):
            await connection.fetchval("SELECT $1::text", argument)
    assert not database.away
    assert await answers(database)


async def test_one_that_is_cancelled_gives_its_connection_back(open_database: Open) -> None:
    database = open_database(connections=1)
    with anyio.move_on_after(0.05) as scope:
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(1)")
    assert scope.cancelled_caught
    assert not database.away
    assert await answers(database)


async def test_who_is_cancelled_while_a_connection_opens_leaves_no_error_behind(
    open_database: Open,
) -> None:
    """At any moment of it; and the pool has its place again."""
    faults: list[object] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    try:
        for step in range(40):
            database = open_database()
            opening = asyncio.ensure_future(use(database))
            await asyncio.sleep(step * 0.0005)
            opening.cancel()
            await asyncio.wait([opening])
            await database.close()
            assert database.connections.in_use == 0
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(before)
    assert faults == []


async def use(database: Database) -> None:
    async with database.probe() as connection:
        await connection.execute("SELECT 1")
