"""The demo of a development database: found again, and mended where a part of it is gone."""

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from service.app import open_database
from service.flows.make_demo import CLIENT_ID, Demo, make_demo
from service.hashing import PasswordHasher as Pool
from service.sql.clients import find_client
from service.sql.connection import Database
from tests.conftest import ISSUER, MakeSettings

HASHER = Pool()


@pytest.fixture
async def database(make_settings: MakeSettings):
    database = open_database(await make_settings())
    yield database
    await database.close()


async def make(database: Database, known: Demo | None = None) -> Demo:
    return await make_demo(
        database,
        ISSUER,
        HASHER,
        known_secret=known and known.client_secret,
        known_password=known and known.password,
    )


async def is_true(database: Database, demo: Demo) -> bool:
    """Whether the database has the demo's secret and password."""
    async with database.connection() as connection:
        client = await find_client(connection, CLIENT_ID)
        hashed = await connection.fetchval("SELECT password_hash FROM users")
    try:
        return PasswordHasher().verify(hashed, demo.password) and bool(
            client and client.has_secret(demo.client_secret)
        )
    except VerifyMismatchError:
        return False


async def test_a_known_demo_is_found_again(database: Database) -> None:
    made = await make(database)
    assert await is_true(database, made)
    assert await make(database, made) == made
    assert await is_true(database, made)


async def test_what_is_no_longer_known_is_replaced(database: Database) -> None:
    made = await make(database)
    again = await make(database)
    assert await is_true(database, again)
    assert not await is_true(database, made)


async def test_a_demo_known_from_another_database_is_made_anew(
    database: Database, make_settings: MakeSettings
) -> None:
    known = await make(database)
    other = open_database(await make_settings())
    try:
        made = await make(other, known)
        assert await is_true(other, made)
    finally:
        await other.close()
