import asyncio
import sys

import pytest

from migrations import connection, runner
from migrations.files import MigrationError, load, read_applied

pytestmark = pytest.mark.anyio

INDEX = (
    "-- migrate: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a_b_key ON a (b)"
)


async def test_an_empty_database_gets_everything_in_one_run(release, database):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int); CREATE TABLE old ()")
    release.write("0002_index_a.expand", INDEX)
    release.write("0003_drop_old.contract", "DROP TABLE old")
    run = await release.migrate()
    assert run.outcome == runner.Outcome(
        applied=("0001_add_a", "0002_index_a", "0003_drop_old"), waiting=()
    )
    assert run.lines == [
        "applied 0001_add_a.expand.sql",
        "applied 0002_index_a.expand.sql",
        "applied 0003_drop_old.contract.sql",
    ]
    rows = await database.fetch("SELECT * FROM schema_migrations ORDER BY number")
    assert [(r["number"], r["name"], r["phase"], r["checksum"]) for r in rows] == [
        (m.number, m.name, m.phase, m.checksum) for m in load(release.folder)
    ]
    assert all(row["applied_at"] for row in rows)


async def test_a_second_run_finds_nothing_to_do(release):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate()
    run = await release.migrate()
    assert run.outcome == runner.Outcome(applied=(), waiting=())
    assert run.lines == ["nothing to apply: the schema is at 0001"]


async def test_a_later_release_applies_what_is_new(release):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate()
    release.write("0002_add_b.expand", "CREATE TABLE b ()")
    assert (await release.migrate()).outcome.applied == ("0002_add_b",)


async def test_an_older_release_leaves_a_newer_schema_alone(release):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    release.write("0002_add_b.expand", "CREATE TABLE b ()")
    await release.migrate()
    (release.folder / "0002_add_b.expand.sql").unlink()
    run = await release.migrate()
    assert run.lines == ["nothing to apply: the schema is at 0002"]


async def test_an_edited_file_is_refused_and_nothing_is_applied(release, has_table):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate()
    release.write("0001_add_a.expand", "CREATE TABLE a () -- a word more")
    release.write("0002_add_b.expand", "CREATE TABLE b ()")
    for dry_run in (True, False):
        with pytest.raises(MigrationError, match=r"^0001_add_a\.expand\.sql: edited .* put back"):
            await release.migrate(dry_run=dry_run)
    assert not await has_table("b")


async def test_a_failing_file_leaves_nothing_and_the_ones_before_it_stay(
    release, database, has_table
):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    release.write("0002_add_b.expand", "CREATE TABLE b ();\n\nALTER TABLE a ADD x wrong;")
    release.write("0003_add_c.expand", "CREATE TABLE c ()")
    said = r'^0002_add_b\.expand\.sql, line 3: type "wrong" does not exist: correct the cause'
    with pytest.raises(MigrationError, match=said):
        await release.migrate()
    assert [row.number for row in await read_applied(database)] == [1]
    assert [await has_table(name) for name in "abc"] == [True, False, False]
    release.write("0002_add_b.expand", "CREATE TABLE b ()")
    assert (await release.migrate()).outcome.applied == ("0002_add_b", "0003_add_c")


async def test_an_error_does_not_quote_rows(release):
    release.write("0001_add_a.expand", "CREATE TABLE a (b text)")
    release.write(
        "0002_key.expand", "INSERT INTO a VALUES ('ann@example.org'), ('ann@example.org')"
    )
    release.write("0003_key.expand", "CREATE UNIQUE INDEX a_b_key ON a (b)")
    with pytest.raises(MigrationError, match="could not create unique index") as refused:
        await release.migrate()
    assert "ann" not in str(refused.value)


async def test_a_lost_connection_leaves_nothing(release, database, has_table, others):
    release.write("0001_add_a.expand", "CREATE TABLE a (); SELECT pg_sleep(30)")
    run = asyncio.create_task(release.migrate())
    await others("wait_event = 'PgSleep'")
    await database.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    with pytest.raises(MigrationError, match=r"^0001_add_a\.expand\.sql: .*migrate again$"):
        await run
    assert not await has_table("a")
    assert await read_applied(database) == []


async def test_a_killed_runner_leaves_nothing_and_does_not_keep_the_lock(release, others):
    release.write("0001_add_a.expand", "CREATE TABLE a (); SELECT pg_sleep(0.5)")
    script = (
        "import asyncio, pathlib, sys; from migrations.runner import migrate\n"
        "folder = pathlib.Path(sys.argv[2])\n"
        "asyncio.run(migrate(sys.argv[1], directory=folder, report=print))"
    )
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, release.url, str(release.folder)
    )
    await others("wait_event = 'PgSleep'")
    killed.kill()
    await killed.wait()
    async with asyncio.timeout(10):
        assert (await release.migrate()).outcome.applied == ("0001_add_a",)


async def test_what_a_file_sets_does_not_reach_the_next(release, database):
    release.write("0001_add_a.expand", "CREATE SCHEMA s; SET search_path = s; SET lock_timeout = 0")
    release.write("0002_add_b.expand", "CREATE TABLE b AS SELECT current_setting('lock_timeout') t")
    await release.migrate()
    assert await database.fetchval("SELECT t FROM public.b") == "2s"


async def test_no_statement_is_timed_out(release, database):
    await database.execute("ALTER DATABASE watchword SET statement_timeout = '50ms'")
    release.write("0001_wait.expand", "SELECT pg_sleep(0.2)")
    assert (await release.migrate()).outcome.applied == ("0001_wait",)


async def test_a_lock_that_is_not_free_is_tried_again(release, database, connect, monkeypatch):
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", "50ms")
    await database.execute("CREATE TABLE a ()")
    release.write("0001_add_b.expand", "CREATE TABLE b (); ALTER TABLE a ADD b int")
    reader = await connect()
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM a")

    def report(line):
        lines.append(line)
        if len(lines) == 2:
            released.append(asyncio.create_task(reading.rollback()))

    lines, released = [], []
    async with asyncio.timeout(10):
        await runner.migrate(release.url, directory=release.folder, report=report)
    assert lines == [
        "0001_add_b.expand.sql: a lock is not free (attempt 1 of 5)",
        "0001_add_b.expand.sql: a lock is not free (attempt 2 of 5)",
        "applied 0001_add_b.expand.sql",
    ]


async def test_a_lock_that_never_comes_free_is_an_error_that_says_so(
    release, database, connect, monkeypatch, has_table
):
    monkeypatch.setattr(connection, "LOCK_TIMEOUT", "20ms")
    monkeypatch.setattr(runner, "LOCK_ATTEMPTS", 3)
    release.write("0001_add_b.expand", "CREATE TABLE b (); ALTER TABLE a ADD b int")
    await database.execute("CREATE TABLE a ()")
    reader = await connect()
    async with reader.transaction():
        await reader.execute("SELECT FROM a")
        said = r"0001_add_b\.expand\.sql: .* in 3 attempts of .*: end the long transactions"
        with pytest.raises(MigrationError, match=said):
            async with asyncio.timeout(10):
                await release.migrate()
    assert not await has_table("b")


async def test_two_statements_without_a_transaction_are_refused(release, database):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int)")
    release.write("0002_index_a.expand", f"{INDEX}; SELECT 1")
    with pytest.raises(MigrationError, match=r"0002_index_a\.expand\.sql.*multiple commands"):
        await release.migrate()
    assert [row.number for row in await read_applied(database)] == [1]
    assert await index_is_valid(database) is None


async def test_what_needs_no_transaction_around_it_says_so(release):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int)")
    release.write("0002_index_a.expand", INDEX.partition("\n")[2])
    with pytest.raises(MigrationError, match=r"0002_index_a\.expand\.sql.*transaction block"):
        await release.migrate()


async def test_a_broken_index_of_an_interrupted_run_is_made_again(release, database):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int)")
    await release.migrate()
    await database.execute("INSERT INTO a VALUES (1), (1)")
    release.write("0002_index_a.expand", INDEX)
    with pytest.raises(MigrationError, match="could not create unique index"):
        await release.migrate()
    assert await index_is_valid(database) is False
    await database.execute("DELETE FROM a")
    run = await release.migrate()
    drop = "DROP INDEX CONCURRENTLY public.a_b_key"
    assert run.lines == [
        "0002_index_a.expand.sql: an interrupted run left an invalid index: " + drop,
        "applied 0002_index_a.expand.sql",
    ]
    assert await index_is_valid(database) is True


async def test_a_statement_whose_row_was_lost_in_a_crash_is_repeated(release, database):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int)")
    release.write("0002_index_a.expand", INDEX)
    await release.migrate()
    await database.execute("DELETE FROM schema_migrations WHERE number = 2")
    assert (await release.migrate()).outcome.applied == ("0002_index_a",)


async def test_a_dry_run_says_what_it_would_do_and_writes_nothing(release, has_table):
    release.write("0001_add_a.expand", "CREATE TABLE a (b int)")
    release.write("0002_index_a.expand", INDEX)
    run = await release.migrate(dry_run=True)
    assert run.outcome.applied == ("0001_add_a", "0002_index_a")
    assert run.lines == [
        "would apply 0001_add_a.expand.sql",
        "would apply 0002_index_a.expand.sql",
    ]
    assert [await has_table(name) for name in ("a", "schema_migrations")] == [False, False]


async def test_the_release_itself_applies(release, database):
    release.folder = runner.PACKAGE
    run = await release.migrate()
    assert run.outcome.applied == tuple(migration.name for migration in load())
    assert len(await read_applied(database)) == len(load())
    assert (await release.migrate()).outcome.applied == ()


async def index_is_valid(database):
    return await database.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('a_b_key')"
    )
