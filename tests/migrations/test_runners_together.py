import asyncio

import pytest

from migrations import connection
from migrations.files import load

pytestmark = pytest.mark.anyio


async def test_five_runners_apply_each_file_once_and_all_succeed(release, database):
    release.write("0001_add_log.expand", "CREATE TABLE log (file int); SELECT pg_sleep(0.1)")
    release.write("0002_log.expand", "INSERT INTO log VALUES (2); SELECT pg_sleep(0.1)")
    release.write(
        "0003_index_log.expand",
        "-- migrate: no-transaction\n"
        "CREATE INDEX CONCURRENTLY IF NOT EXISTS log_file_idx ON log (file)",
    )
    release.write("0004_log.contract", "INSERT INTO log VALUES (4)")
    async with asyncio.timeout(10):
        runs = await asyncio.gather(*(release.migrate() for _ in range(5)))
    applied = [name for run in runs for name in run.outcome.applied]
    assert sorted(applied) == [migration.name for migration in load(release.folder)]
    assert await database.fetchval("SELECT array_agg(file ORDER BY file) FROM log") == [2, 4]


async def test_a_waiting_runner_says_once_for_whom_it_waits(release, others):
    release.write("0001_wait.expand", "SELECT pg_sleep(0.3)")
    first = asyncio.create_task(release.migrate())
    await others("wait_event = 'PgSleep'")
    second = await release.migrate()
    await first
    waiting, done = second.lines
    assert waiting.startswith("waiting for another runner on this database: watchword migrate on ")
    assert done == "nothing to apply: the schema is at 0001"


async def test_a_waiting_runner_does_not_stop_an_index_that_is_made_concurrently(
    release, database, connect, others
):
    await database.execute("CREATE TABLE a (b int)")
    release.write(
        "0001_index_a.expand",
        "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_b_idx ON a (b)",
    )
    # The index waits for this writer first, and for the snapshots that it then finds last: the
    # second runner's would be among them.
    writer = await connect()
    writing = writer.transaction()
    await writing.start()
    await writer.execute("INSERT INTO a VALUES (1)")
    async with asyncio.timeout(10):
        first = asyncio.create_task(release.migrate())
        await others("wait_event_type = 'Lock' AND query LIKE '%CONCURRENTLY%'")
        second = asyncio.create_task(release.migrate())
        await others("query LIKE '%advisory%'")
        await writing.commit()
        assert (await first).outcome.applied == ("0001_index_a",)
        assert (await second).outcome.applied == ()


async def test_an_index_made_concurrently_outwaits_a_long_transaction(
    release, database, connect, monkeypatch
):
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", "50ms")
    await database.execute("CREATE TABLE a (b int)")
    release.write(
        "0001_index_a.expand",
        "-- migrate: no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS a_b_idx ON a (b)",
    )
    reader = await connect()
    async with reader.transaction(isolation="repeatable_read"):
        await reader.execute("SELECT FROM a")
        run = asyncio.create_task(release.migrate())
        await asyncio.sleep(0.3)  # longer than the runner's lock_timeout
        assert not run.done()
    assert (await run).lines == ["applied 0001_index_a.expand.sql"]
