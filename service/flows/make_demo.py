"""Demo clients and a demo user, for development databases alone."""

import os
import secrets
import time
from dataclasses import dataclass
from datetime import timedelta

from service.flows.manage_clients import create_client, rotate_secret
from service.hashing import hash_password
from service.oauth.client import Registration
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.clients import find_client
from service.sql.connection import Database
from service.sql.users import upsert_demo_user

CLIENT_ID = "demo"
WEB_CLIENT_ID = "demo-web"
USERNAME = "demo"
AUDIENCE = "https://orders.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a developer needs to try the product."""

    client_id: str
    client_secret: str
    web_client_id: str
    username: str
    password: str


async def make_demo(
    database: Database, issuer: str, *, known_secret: str | None, known_password: str | None
) -> Demo:
    """The demo, made or found again; a secret that is no longer known is replaced."""
    secret = await _make_client(database, issuer, known_secret)
    await _make_web_client(database, issuer)
    # With the known secret the known database was found, and the user in it.
    found = secret == known_secret
    password = (known_password if found else None) or await _make_user(database)
    return Demo(
        client_id=CLIENT_ID,
        client_secret=secret,
        web_client_id=WEB_CLIENT_ID,
        username=USERNAME,
        password=password,
    )


async def _make_client(database: Database, issuer: str, known_secret: str | None) -> str:
    async with database.connection() as connection:
        client = await find_client(connection, CLIENT_ID)
    if client is None:
        secret = await create_client(
            database,
            _registration(
                CLIENT_ID,
                grant_types=("client_credentials",),
                audiences=(AUDIENCE,),
                scopes=("orders:read", "orders:write"),
                serves=(AUDIENCE,),
            ),
            issuer,
        )
        if secret is None:
            raise AssertionError("a confidential client without a secret")
        return secret
    if known_secret is not None and client.has_secret(known_secret):
        return known_secret
    return await rotate_secret(database, CLIENT_ID, timedelta(0))


async def _make_web_client(database: Database, issuer: str) -> None:
    async with database.connection() as connection:
        exists = await find_client(connection, WEB_CLIENT_ID) is not None
    if not exists:
        await create_client(
            database, _registration(WEB_CLIENT_ID, public=True, audiences=(AUDIENCE,)), issuer
        )


def _registration(
    client_id: str,
    *,
    public: bool = False,
    grant_types: tuple[str, ...] = (),
    audiences: tuple[str, ...] = (),
    scopes: tuple[str, ...] = (),
    serves: tuple[str, ...] = (),
) -> Registration:
    return Registration(
        id=client_id,
        name=client_id,
        type="public" if public else "confidential",
        token_endpoint_auth_method="none" if public else "client_secret_basic",
        grant_types=grant_types,
        audiences=audiences,
        scopes=scopes,
        default_scopes=(),
        serves=serves,
        access_token_ttl=timedelta(seconds=300),
    )


async def _make_user(database: Database) -> str:
    password = secrets.token_urlsafe(18)
    user_id = uuid7(int(time.time() * 1000), os.urandom(RANDOM_BYTES))
    async with database.connection() as connection:
        await upsert_demo_user(
            connection,
            user_id,
            username=USERNAME,
            email="demo@example.com",
            password_hash=hash_password(password),
        )
    return password
