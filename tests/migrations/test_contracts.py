import asyncio
import re

import pytest

from migrations.files import read_applied

pytestmark = pytest.mark.anyio

# What the runner reads of the release's table, and one column more.
INSTANCES = """
    CREATE TABLE instances (
        id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        name text NOT NULL,
        release text NOT NULL,
        schema_number integer NOT NULL,
        last_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
"""


@pytest.fixture
async def rolled_out(release):
    """A release whose fourth file has to wait for the pods of the one before."""
    release.write("0001_add_instances.expand", INSTANCES)
    release.write("0002_add_old.expand", "CREATE TABLE old ()")
    await release.migrate()
    release.write("0003_add_new.expand", "CREATE TABLE new ()")
    release.write("0004_drop_old.contract", "DROP TABLE old")
    release.write("0005_add_more.expand", "CREATE TABLE more ()")
    return release


async def add_pod(database, name, schema_number, *, seconds=0, release="0.1.0"):
    await database.execute(
        "INSERT INTO instances (name, release, schema_number, last_seen_at)"
        " VALUES ($1, $2, $3, clock_timestamp() - make_interval(secs => $4))",
        name,
        release,
        schema_number,
        seconds,
    )


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_contract_waits_for_an_older_pod_and_names_it(
    rolled_out, database, has_table, dry_run
):
    await add_pod(database, "watchword-7f", 2, seconds=3)
    run = await rolled_out.migrate(dry_run=dry_run)
    said = "0004_drop_old waits for pod watchword-7f (release 0.1.0), last seen 3 s ago"
    verb = "would apply" if dry_run else "applied"
    assert run.outcome.applied == ("0003_add_new", "0005_add_more")
    assert run.outcome.waiting == (said,)
    assert run.lines == [
        f"{verb} 0003_add_new.expand.sql",
        said,
        f"{verb} 0005_add_more.expand.sql",
    ]
    assert await has_table("old")
    assert await has_table("more") is not dry_run


async def test_a_contract_goes_on_when_the_older_pod_is_gone(rolled_out, database, has_table):
    await add_pod(database, "watchword-7f", 2)
    await rolled_out.migrate()
    await database.execute("DELETE FROM instances")
    run = await rolled_out.migrate()
    assert run.outcome.applied == ("0004_drop_old",)
    assert not await has_table("old")
    assert sorted(row.number for row in await read_applied(database)) == [1, 2, 3, 4, 5]


async def test_a_pod_not_seen_for_a_minute_is_dead(rolled_out, database):
    await add_pod(database, "watchword-7f", 2, seconds=60)
    assert (await rolled_out.migrate()).outcome.waiting == ()


async def test_a_pod_seen_within_the_minute_is_alive(rolled_out, database):
    await add_pod(database, "watchword-7f", 2, seconds=57)
    assert (await rolled_out.migrate()).outcome.waiting != ()


async def test_a_pod_that_knows_the_contract_does_not_hold_it_up(rolled_out, database):
    await add_pod(database, "same", 4)
    await add_pod(database, "newer", 5)
    assert (await rolled_out.migrate()).outcome.waiting == ()


async def test_a_pod_from_just_before_the_contract_holds_it_up(rolled_out, database):
    await add_pod(database, "before", 3)
    assert (await rolled_out.migrate()).outcome.waiting != ()


async def test_every_older_pod_is_named_the_liveliest_first(rolled_out, database):
    await add_pod(database, "b", 2, seconds=20)
    await add_pod(database, "a", 3, seconds=5, release="0.2.0")
    await add_pod(database, "c", 5)
    (said,) = (await rolled_out.migrate()).outcome.waiting
    assert said == (
        "0004_drop_old waits for pod a (release 0.2.0), last seen 5 s ago; "
        "pod b (release 0.1.0), last seen 20 s ago"
    )


async def test_contracts_stop_at_the_first_that_waits(rolled_out, database, has_table):
    rolled_out.write("0006_drop_new.contract", "DROP TABLE new")
    await add_pod(database, "watchword-7f", 2)
    run = await rolled_out.migrate()
    assert run.outcome.waiting[1] == "0006_drop_new waits for 0004_drop_old"
    assert await has_table("new")


async def test_a_contract_without_a_transaction_waits_too(rolled_out, database):
    rolled_out.write(
        "0004_drop_old.contract",
        "-- migrate: no-transaction\nDROP INDEX CONCURRENTLY IF EXISTS old_idx",
    )
    await add_pod(database, "watchword-7f", 2)
    assert re.match("0004_drop_old waits", (await rolled_out.migrate()).outcome.waiting[0])


async def test_a_schema_without_instances_has_no_pods(release):
    release.write("0001_add_old.expand", "CREATE TABLE old ()")
    await release.migrate()
    release.write("0002_drop_old.contract", "DROP TABLE old")
    assert (await release.migrate()).outcome.applied == ("0002_drop_old",)


async def test_a_pod_that_registers_during_a_contract_finds_it_applied(rolled_out, connect, others):
    rolled_out.write("0004_drop_old.contract", "DROP TABLE old; SELECT pg_sleep(0.3)")
    run = asyncio.create_task(rolled_out.migrate())
    pod = await connect()
    async with asyncio.timeout(10):
        await others("wait_event = 'PgSleep'")
        await add_pod(pod, "late", 2)
        assert 4 in {row.number for row in await read_applied(pod)}
        await run
