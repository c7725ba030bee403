"""Sessions for tests: a user, a client, a login's tokens, and what then happens to them."""

import base64
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx

from service.app import App
from service.flows.begin_session import begin_session
from service.flows.manage_users import create_user
from service.flows.origin import OPERATOR
from service.flows.session_tokens import SessionTokens
from service.oauth.client import Client
from service.oauth.refresh_token import RefreshToken
from service.oauth.user import KnownUser, Profile
from service.sql.clients import find_client
from service.sql.connection import Database
from service.sql.users import get_known_user
from tests.conftest import RegisteredClient, register

# No test proves it: who begins a session here has proven the password already.
PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHQ$bm9ib2R5J3M"


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """A session as it began: whose it is, and the first tokens."""

    client: RegisteredClient
    user: KnownUser
    tokens: SessionTokens

    @property
    def id(self) -> UUID:
        return self.tokens.session_id

    @property
    def token(self) -> str:
        """The first refresh token."""
        return self.tokens.refresh_token


async def make_user(database: Database, password_hash: str = PASSWORD_HASH) -> KnownUser:
    """A new user, as a login reads it."""
    name = f"user-{secrets.token_hex(6)}"
    profile = Profile(username=name, email=f"{name}@example.com")
    user = await create_user(database, profile, password_hash, OPERATOR)
    return await know_user(database, user.id)


async def know_user(database: Database, user_id: UUID) -> KnownUser:
    """The user as it stands now, with its credential version."""
    async with database.connection() as connection:
        known = await get_known_user(connection, user_id)
    assert known is not None
    return known


async def know_client(database: Database, client_id: str) -> Client:
    """The client as it stands now, past any cache."""
    async with database.connection() as connection:
        client = await find_client(connection, client_id)
    assert client is not None
    return client


async def make_public(app: App, **members: Any) -> RegisteredClient:
    """A public client that may refresh; `members` replace those of REGISTRATION."""
    return await register(app, **{"type": "public", "grant_types": ("refresh_token",), **members})


async def begin(
    app: App,
    client: RegisteredClient | None = None,
    user: KnownUser | None = None,
    **members: Any,
) -> Begun:
    """A session of a new user at a new public client, but for what is given.

    `members` are those of the new client, such as grace.
    """
    services = app.services
    client = client or await make_public(app, **members)
    user = user or await make_user(services.database)
    tokens = await begin_session(
        services.database,
        services.session_issuer,
        user,
        await know_client(services.database, client.id),
        OPERATOR,
        device=None,
    )
    assert tokens is not None
    return Begun(client=client, user=user, tokens=tokens)


async def present(
    http: httpx.AsyncClient, client: RegisteredClient, token: str, **form: Any
) -> httpx.Response:
    """The answer of the token endpoint to the client's refresh; `form` adds parameters."""
    data = {"grant_type": "refresh_token", "refresh_token": token, **form}
    if client.secret:
        return await http.post("/token", data=data, auth=client.auth)
    return await http.post("/token", data={"client_id": client.id, **data})


async def refresh(
    http: httpx.AsyncClient, client: RegisteredClient, token: str, times: int = 1
) -> str:
    """The refresh token after so many refreshes, each of which must succeed."""
    for _ in range(times):
        answer = await present(http, client, token)
        assert answer.status_code == 200, answer.text
        token = answer.json()["refresh_token"]
    return token


async def fetch(app: App, query: str, *args: object) -> Any:
    """One value from the pod's database."""
    async with app.services.database.connection() as connection:
        return await connection.fetchval(query, *args)  # pyright: ignore[reportArgumentType]


async def execute(app: App, query: str, *args: object) -> None:
    """A statement against the pod's database."""
    async with app.services.database.connection() as connection:
        await connection.execute(query, *args)  # pyright: ignore[reportArgumentType]


async def fetch_session(app: App, session_id: UUID) -> dict[str, Any]:
    """The session's row."""
    async with app.services.database.connection() as connection:
        row = await connection.fetchrow("SELECT * FROM sessions WHERE id = $1", session_id)
    assert row is not None
    return dict(row)


async def age(app: App, session_id: UUID, seconds: float) -> None:
    """Let the session's last rotation be so much longer ago."""
    query = "UPDATE sessions SET rotated_at = rotated_at - $2::interval WHERE id = $1"
    await execute(app, query, session_id, timedelta(seconds=seconds))


async def new_life(app: App) -> UUID:
    """Another incarnation of the database, as if the one before had ended in a crash."""
    return await fetch(app, "UPDATE database_life SET id = $1 RETURNING id", uuid4())


async def lose_rotations(app: App, session_id: UUID, count: int) -> None:
    """Let a crash have lost the session's last rotations: a new life, and an older row."""
    query = "UPDATE sessions SET generation = generation - $2 WHERE id = $1"
    async with app.services.database.transaction() as connection:
        await connection.execute(query, session_id, count)
        await connection.execute("UPDATE database_life SET id = $1", uuid4())


async def list_events(app: App, session_id: UUID) -> list[tuple[str, int | None]]:
    """The session's audit events in their order: name and generation."""
    query = "SELECT event, generation FROM audit_events WHERE session_id = $1 ORDER BY id"
    async with app.services.database.connection() as connection:
        rows = await connection.fetch(query, session_id)
    return [(row["event"], row["generation"]) for row in rows]


def read(app: App, token: str) -> RefreshToken:
    """What a refresh token of the pod says."""
    found = app.services.session_issuer.refresh_tokens.read(token)
    assert found is not None
    return found


def at_generation(app: App, token: str, generation: int) -> str:
    """The token of that generation, of the same session."""
    tokens, known = app.services.session_issuer.refresh_tokens, read(app, token)
    return tokens.write(
        RefreshToken(
            key_id=known.key_id,
            session_id=known.session_id,
            generation=generation,
            secret=known.secret,
        )
    )


def claims_of(access_token: str) -> dict[str, Any]:
    """The claims of an access token, unproven."""
    payload = access_token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def count_refreshes(app: App, verdict: str) -> float:
    """How many presentations with that verdict the pod has counted."""
    return app.services.metrics.refreshes.labels(verdict)._value.get()
