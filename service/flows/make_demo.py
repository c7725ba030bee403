"""Demo clients and a demo user, for development databases alone."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from service.flows.manage_clients import change_client, create_client, rotate_secret
from service.flows.manage_users import create_user, set_password
from service.flows.origin import OPERATOR
from service.hashing import PasswordHasher
from service.oauth.registration import Registration
from service.oauth.user import Profile
from service.sql.clients import find_client
from service.sql.connection import Database
from service.sql.users import find_known_user

CLIENT_ID = "demo"
WEB_CLIENT_ID = "demo-web"
USERNAME = "demo"
AUDIENCE = "https://orders.example"
# Where examples/web is served from.
WEB_ORIGINS = ("http://localhost:8080",)


_CLIENT = Registration(
    id=CLIENT_ID,
    name="Demo client",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",  # noqa: S106 (a method)
    grant_types=("client_credentials",),
    audiences=(AUDIENCE,),
    scopes=("orders:read", "orders:write"),
    default_scopes=(),
    serves=(AUDIENCE,),
    access_token_ttl=timedelta(seconds=300),
)
_WEB_CLIENT = Registration(
    id=WEB_CLIENT_ID,
    name="Demo web app",
    type="public",
    token_endpoint_auth_method="none",  # noqa: S106 (a method)
    grant_types=(),
    audiences=(AUDIENCE,),
    scopes=("orders:read", "orders:write"),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
    first_party=True,
    refresh_delivery="cookie",
    allowed_origins=WEB_ORIGINS,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """What a developer needs to try the product."""

    client_id: str
    client_secret: str
    web_client_id: str
    username: str
    password: str


async def make_demo(
    database: Database,
    issuer: str,
    passwords: PasswordHasher,
    *,
    known_secret: str | None,
    known_password: str | None,
) -> Demo:
    """The demo, made or found again; a secret that is no longer known is replaced."""
    secret = await _make_client(database, issuer, known_secret)
    await _make_web_client(database, issuer)
    # With the known secret the known database was found, and the user in it.
    found = secret == known_secret
    password = (known_password if found else None) or await _make_user(database, passwords)
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
        secret = await create_client(database, _CLIENT, issuer)
        if secret is None:
            raise AssertionError("a confidential client without a secret")
        return secret
    if known_secret is not None and client.has_secret(known_secret):
        return known_secret
    return await rotate_secret(database, CLIENT_ID, timedelta(0))


async def _make_web_client(database: Database, issuer: str) -> None:
    async with database.connection() as connection:
        exists = await find_client(connection, WEB_CLIENT_ID) is not None
    if exists:  # perhaps by a release that knew less of it
        await change_client(database, _WEB_CLIENT, issuer)
    else:
        await create_client(database, _WEB_CLIENT, issuer)


async def _make_user(database: Database, passwords: PasswordHasher) -> str:
    password = secrets.token_urlsafe(18)
    password_hash = await passwords.hash(password)
    async with database.connection() as connection:
        known = await find_known_user(connection, USERNAME)
    if known is None:
        profile = Profile(username=USERNAME, email="demo@example.com", full_name="Demo User")
        await create_user(database, profile, password_hash, OPERATOR)
    else:
        await set_password(database, known.id, password_hash, OPERATOR)
    return password
