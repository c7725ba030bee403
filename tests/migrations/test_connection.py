import asyncio
import socket

import pytest

from migrations.connection import role_in
from migrations.files import MigrationError

pytestmark = pytest.mark.anyio

SECRET = "s3cret"


@pytest.fixture
def release(release):
    release.write("0001_add_a.expand", "CREATE TABLE a ()")
    return release


@pytest.mark.parametrize(
    "url",
    [
        f"mysql://ann:{SECRET}@127.0.0.1/x",
        f"postgresql://ann:{SECRET}/more@127.0.0.1/x",
        f"postgresql://ann:more/{SECRET}@127.0.0.1/x",
        f"postgresql://127.0.0.1:1/{SECRET}@127.0.0.1/x",
        f"postgresql://ann:{SECRET}#more@127.0.0.1/x",
        f"postgresql://ann:{SECRET}?more@127.0.0.1/x",
        f"postgresql://ann:{SECRET}[@127.0.0.1/x",
        f"postgresql://ann:pass@127.0.0.1:{SECRET}/x",
        f"postgresql://ann:{SECRET}@127.0.0.1/x?sslmode=wrong",
    ],
)
async def test_a_url_that_can_not_be_read_is_not_printed(release, url):
    with pytest.raises(MigrationError, match="the database URL can't be read: write ") as refused:
        await release.migrate(url)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None


async def test_a_wrong_password_is_not_printed(release, url):
    wrong = url.replace("@", f"{SECRET}@")
    with pytest.raises(MigrationError, match=r"no connection .* password auth") as refused:
        await release.migrate(wrong)
    assert SECRET not in str(refused.value)


async def test_a_database_that_is_not_there_is_said_in_one_line(release, url):
    with pytest.raises(MigrationError, match=r'no connection .* "nowhere" does not exist: correct'):
        await release.migrate(url.rpartition("/")[0] + "/nowhere")


async def test_a_server_that_is_not_there_is_said_in_one_line(release):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(MigrationError, match="no connection to PostgreSQL: ") as refused:
            await release.migrate(f"postgresql://ann:{SECRET}@127.0.0.1:{port}/x")
    assert SECRET not in str(refused.value)


async def test_a_pooler_is_refused_before_it_can_keep_the_lock(release):
    # What PgBouncer answers to start-up parameters that it does not carry.
    said = b"SERROR\0C08P01\0Munsupported startup parameter: lock_timeout\0\0"

    async def answer(reader, writer):
        await reader.read(1000)
        writer.write(b"E" + (len(said) + 4).to_bytes(4, "big") + said)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as pooler:
        port = pooler.sockets[0].getsockname()[1]
        url = f"postgresql://ann@127.0.0.1:{port}/x?sslmode=disable"
        with pytest.raises(MigrationError, match=r"not a pooler: set WATCHWORD_MIGRATE_DATABASE_U"):
            await release.migrate(url)


async def test_a_search_path_that_leads_nowhere_is_said(release, url):
    with pytest.raises(MigrationError, match="no schema of the search_path exists"):
        await release.migrate(f"{url}?search_path=nowhere")


async def test_a_role_that_may_not_create_is_told_what_it_lacks(release, database, url):
    await database.execute("CREATE SCHEMA shut; CREATE ROLE intruder LOGIN PASSWORD 'x'")
    try:
        await database.execute("GRANT USAGE ON SCHEMA shut TO intruder")
        _, _, address = url.rpartition("@")
        with pytest.raises(MigrationError, match=r"^PostgreSQL: permission denied .* shut:"):
            await release.migrate(f"postgresql://intruder:x@{address}?search_path=shut")
    finally:
        await database.execute("DROP OWNED BY intruder; DROP ROLE intruder")


@pytest.mark.parametrize(
    ("url", "role"),
    [
        ("postgresql://ann:x@db/watchword", "ann"),
        ("postgresql://ann%40home@db/watchword", "ann@home"),
        ("postgresql:///watchword", None),
        ("postgresql://one:5432,two:5432/watchword", None),
    ],
)
def test_the_role_in_a_url(url, role):
    assert role_in(url) == role
