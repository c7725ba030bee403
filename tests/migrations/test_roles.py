from dataclasses import dataclass
from urllib.parse import quote, urlsplit
from uuid import uuid4

import asyncpg
import pytest

from migrations.files import MigrationError, judge, load, read_applied

pytestmark = pytest.mark.anyio

WEIRD = 'App "role"; --'
PASSWORD = "p@ss/word"


@dataclass
class Roles:
    owner: str
    owner_url: str
    app: str
    app_url: str


@pytest.fixture
async def roles(database, url):
    """A role that owns the schema, and the service's, which so far may do nothing."""
    owner, app = f"owner_{uuid4().hex}", f"{WEIRD} {uuid4().hex[:8]}"
    for name in (owner, app):
        identifier = quoted(name)
        await database.execute(f"CREATE ROLE {identifier} LOGIN PASSWORD '{PASSWORD}'")
    await database.execute(f"ALTER SCHEMA public OWNER TO {owner}")
    await database.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
    return Roles(owner=owner, owner_url=as_role(url, owner), app=app, app_url=as_role(url, app))


@pytest.fixture
async def app(roles, connect):
    return await connect(roles.app_url)


@pytest.fixture
async def tables(release, roles):
    release.write(
        "0001_add_a.expand",
        "CREATE TABLE a (id int GENERATED ALWAYS AS IDENTITY, b int);"
        'CREATE TABLE "Odd; name" (id serial);',
    )
    await release.migrate(roles.owner_url, app_role=roles.app)
    return release


async def test_the_service_reads_and_writes(tables, app):
    await app.execute("INSERT INTO a (b) VALUES (1)")
    await app.execute("UPDATE a SET b = 2")
    assert await app.fetchval("SELECT b FROM a") == 2
    await app.execute("DELETE FROM a")
    assert await app.fetchval('INSERT INTO "Odd; name" DEFAULT VALUES RETURNING id') == 1


async def test_the_service_can_not_change_the_schema(tables, app):
    for statement in (
        "CREATE TABLE c ()",
        "CREATE INDEX ON a (b)",
        "ALTER TABLE a ADD c int",
        "DROP TABLE a",
        "TRUNCATE a",
        "SELECT setval(pg_get_serial_sequence('a', 'id'), 1)",
        "INSERT INTO schema_migrations VALUES (9, 'x', 'expand', 'x', now())",
        "UPDATE schema_migrations SET checksum = 'x'",
        "DELETE FROM schema_migrations",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await app.execute(statement)
    await app.execute("GRANT SELECT ON a TO PUBLIC")  # refused with a mere warning
    assert not await app.fetchval("SELECT has_table_privilege('public', 'a', 'SELECT')")


async def test_the_service_reads_what_has_been_applied(tables, app):
    assert judge(await read_applied(app), load(tables.folder)).fits


async def test_before_the_first_run_the_service_finds_everything_missing(release, app):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    state = judge(await read_applied(app), load(release.folder))
    assert state.missing == ("0001_add_a.expand.sql",)


async def test_rights_come_with_the_file_that_needs_them(tables, roles, app):
    tables.write("0002_add_c.expand", "SET LOCAL search_path = pg_temp; CREATE TABLE public.c ()")
    tables.write("0003_fail.expand", "SELECT wrong")
    with pytest.raises(MigrationError, match="wrong"):
        await tables.migrate(roles.owner_url, app_role=roles.app)
    assert await app.fetch("SELECT FROM c") == []


async def test_granting_again_changes_nothing(tables, roles, database):
    before = await rights(database)
    await tables.migrate(roles.owner_url, app_role=roles.app)
    assert await rights(database) == before


async def test_a_role_named_later_gets_its_rights(release, roles, app, database):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate(roles.owner_url)
    with pytest.raises(asyncpg.PostgresError):
        await app.fetch("SELECT FROM a")
    await database.execute(f"GRANT USAGE ON SCHEMA public TO {quoted(roles.app)}")
    assert await read_applied(app) == []  # there, but not to be read: so not ready for the service
    await release.migrate(roles.owner_url, app_role=roles.app)
    assert len(await read_applied(app)) == 1
    assert await app.fetch("SELECT FROM a") == []


async def test_writing_to_schema_migrations_is_taken_back(tables, roles, app, database):
    await database.execute(f"GRANT ALL ON schema_migrations TO {quoted(roles.app)}")
    await tables.migrate(roles.owner_url, app_role=roles.app)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute("DELETE FROM schema_migrations")
    assert len(await read_applied(app)) == 1


async def test_tables_of_others_in_the_schema_are_left_alone(release, roles, app, database):
    await database.execute("CREATE TABLE of_others ()")
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate(roles.owner_url, app_role=roles.app)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.fetch("SELECT FROM of_others")


async def test_one_role_for_both_needs_no_rights(release, roles, database):
    for number in (1, 2):
        release.write(f"000{number}_add.expand", f"CREATE TABLE t{number} ()")
        await release.migrate(roles.owner_url, app_role=roles.owner)
    assert await database.fetchval("SELECT count(*) FROM pg_class WHERE relname ~ '^t[12]$'") == 2


@pytest.mark.parametrize("name", ["nobody_of_this_name", "public", "none"])
async def test_a_role_that_does_not_exist_is_refused_before_anything(
    release, roles, has_table, name
):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    with pytest.raises(MigrationError, match=f"no role '{name}' .* create it"):
        await release.migrate(roles.owner_url, app_role=name)
    assert not await has_table("schema_migrations")


async def test_a_schema_that_is_not_ours_to_grant_is_said_before_anything(
    release, roles, database, has_table
):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await database.execute("ALTER SCHEMA public OWNER TO pg_database_owner")
    await database.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {roles.owner}")
    with pytest.raises(MigrationError, match=r"may not use schema 'public', .* GRANT USAGE"):
        await release.migrate(roles.owner_url, app_role=roles.app)
    assert not await has_table("schema_migrations")
    await database.execute(f"GRANT USAGE ON SCHEMA public TO {quoted(roles.app)}")
    run = await release.migrate(roles.owner_url, app_role=roles.app)
    assert run.outcome.applied == ("0001_add_a",)


async def test_a_dry_run_grants_nothing(release, roles, app):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    await release.migrate(roles.owner_url)
    await release.migrate(roles.owner_url, app_role=roles.app, dry_run=True)
    with pytest.raises(asyncpg.PostgresError):
        await app.fetch("SELECT FROM a")


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def as_role(url, name):
    parts = urlsplit(url)
    address = f"{quote(name, '')}:{quote(PASSWORD, '')}@{parts.hostname}:{parts.port}"
    return parts._replace(netloc=address).geturl()


async def rights(database):
    """Every right in the schema, and the version of its row in the catalog."""
    return await database.fetch(
        "SELECT relname, relacl::text, xmin::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace"
        " UNION ALL SELECT nspname, nspacl::text, xmin::text FROM pg_namespace ORDER BY 1"
    )
