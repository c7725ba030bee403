"""A PostgreSQL that is there but busy: one request is refused, and no other."""

import anyio

from service.embedded.postgres import EmbeddedPostgres
from service.sql.connection import Database, DatabaseUnavailable
from tests.sql.conftest import Open, answers, unavailable, words


async def test_that_every_connection_is_in_use_is_busy_and_not_away(open_database: Open) -> None:
    database = open_database(connections=2)
    refused = unavailable(database, "every connection is in use", away=False)
    async with database.connection(), database.connection(), refused:
        await answers(database)
    assert await answers(database)


async def test_a_lock_that_another_holds_is_busy_and_not_away(database: Database) -> None:
    async with database.transaction() as holder:
        await holder.execute("LOCK TABLE notes")
        async with unavailable(database, "a row in PostgreSQL is locked", away=False):
            await words(database)
    assert await words(database) == []


async def test_a_statement_that_takes_too_long_is_busy_and_not_away(database: Database) -> None:
    refused = unavailable(database, "is busy: QueryCanceledError", away=False)
    async with refused, database.connection() as connection:
        await connection.execute("SET statement_timeout = '50ms'")
        await connection.execute("SELECT pg_sleep(1)")
    assert await answers(database)


async def test_a_deadlock_is_busy_and_not_away(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute("INSERT INTO notes VALUES ('a'), ('b')")
    both = anyio.Event()
    outcomes: list[str] = []

    async def lock(first: str, then: str, waiting: anyio.Event) -> None:
        statement = "SELECT FROM notes WHERE word = $1 FOR UPDATE"
        try:
            async with database.transaction() as connection:
                await connection.execute(
                    "SET LOCAL lock_timeout = 0; SET LOCAL deadlock_timeout = '20ms'"
                )
                await connection.execute(statement, first)
                if waiting.is_set():
                    both.set()
                waiting.set()
                await both.wait()
                await connection.execute(statement, then)
            outcomes.append("done")
        except DatabaseUnavailable as error:
            outcomes.append(str(error))

    one_waits = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lock, "a", "b", one_waits)
        tasks.start_soon(lock, "b", "a", one_waits)
    assert sorted(outcomes) == ["PostgreSQL is busy: DeadlockDetectedError", "done"]
    assert not database.away


async def test_a_role_that_may_not_connect_once_more_is_busy(
    database: Database, open_database: Open, server: EmbeddedPostgres
) -> None:
    async with database.connection() as connection:
        await connection.execute("DROP ROLE IF EXISTS limited")
        await connection.execute("CREATE ROLE limited LOGIN PASSWORD 'x' CONNECTION LIMIT 1")
    limited = open_database(f"postgresql://limited:x@127.0.0.1:{server.port}/watchword")
    refused = unavailable(limited, "is busy: TooManyConnectionsError", away=False)
    async with limited.connection(), refused:
        await answers(limited)
    assert await answers(limited)
