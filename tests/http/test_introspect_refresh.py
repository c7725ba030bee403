"""POST /introspect of refresh tokens: RFC 7662 §2. Asking spends nothing and revokes nothing."""

from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from service.app import App
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import revoke_client
from service.flows.origin import OPERATOR
from tests.conftest import AUDIENCE, MakeClient, RegisteredClient, register
from tests.http.forge import INACTIVE, is_active
from tests.sessions import (
    Begun,
    age,
    at_generation,
    begin,
    execute,
    fetch_session,
    list_events,
    read,
    refresh,
)


@pytest.fixture
async def begun(app: App) -> Begun:
    """A session of a client that can ask."""
    client = await register(app, grant_types=("refresh_token",))
    return await begin(app, client)


async def test_the_newest_token_is_active_for_its_client(
    http: httpx.AsyncClient, app: App, begun: Begun
) -> None:
    """INT-3."""
    token = begun.token
    for _ in range(3):
        form = {"token": token, "token_type_hint": "access_token"}
        answer = await http.post("/introspect", data=form, auth=begun.client.auth)
        row = await fetch_session(app, begun.id)
        assert answer.json() == {
            "active": True,
            "scope": "orders:read orders:write",
            "client_id": begun.client.id,
            "exp": int(row["idle_expires_at"].timestamp()),
            "sub": str(begun.user.id),
            "iss": app.services.issuer,
            "sid": str(begun.id),
        }
        assert answer.headers.get_list("cache-control") == ["no-store"]
        token = await refresh(http, begun.client, token)


async def test_the_expiry_is_the_nearer_of_the_two(
    http: httpx.AsyncClient, app: App, begun: Begun
) -> None:
    """RT-4."""
    query = """
        UPDATE sessions SET expires_at = clock_timestamp() + interval '1 hour',
               idle_expires_at = clock_timestamp() + interval '1 hour'
        WHERE id = $1
    """
    await execute(app, query, begun.id)
    newest = await refresh(http, begun.client, begun.token)
    answer = await http.post("/introspect", data={"token": newest}, auth=begun.client.auth)
    row = await fetch_session(app, begun.id)
    assert answer.json()["exp"] == int(row["expires_at"].timestamp())


async def test_a_spent_token_is_inactive_and_asking_is_no_reuse(
    http: httpx.AsyncClient, app: App, begun: Begun
) -> None:
    """INT-2: within the window and after it. A log that is searched must not end sessions."""
    newest = await refresh(http, begun.client, begun.token, times=2)
    for seconds in (0, 31):
        await age(app, begun.id, seconds)
        for generation in (0, 1, 3):
            token = at_generation(app, begun.token, generation)
            assert not await is_active(http, begun.client, token)
    assert await list_events(app, begun.id) == [("session_begun", None)]
    assert await is_active(http, begun.client, newest)
    await refresh(http, begun.client, newest)


async def test_a_refresh_token_concerns_its_own_client_alone(
    http: httpx.AsyncClient, app: App, begun: Begun, make_client: MakeClient
) -> None:
    """INT-2: no resource server has to do with it, whatever it serves; and no event is written."""
    caller = await make_client(serves=(AUDIENCE,))
    assert not await is_active(http, caller, begun.token)
    assert await list_events(app, begun.id) == [("session_begun", None)]


@pytest.mark.parametrize("end", ["revoked", "idle", "client", "secret", "unknown", "key", "bad"])
async def test_what_is_over_or_never_was_is_inactive(
    http: httpx.AsyncClient, app: App, begun: Begun, end: str
) -> None:
    """INT-2."""
    token, tokens = begun.token, app.services.session_issuer.refresh_tokens
    match end:
        case "revoked":
            await end_one_session(app.services.database, begun.id, "test", OPERATOR)
        case "idle":
            query = "UPDATE sessions SET idle_expires_at = clock_timestamp() WHERE id = $1"
            await execute(app, query, begun.id)
        case "client":
            await revoke_client(app.services.database, begun.client.id, enabled=True)
        case "secret":
            token = tokens.write(replace(read(app, token), secret=b"?" * 32))
        case "unknown":
            token = tokens.write(replace(read(app, token), session_id=uuid4()))
        case "key":
            token = f"wwr_Af__{token[8:]}"
        case _:
            token = f"{token}x"
    assert not await is_active(http, begun.client, token)


async def test_who_has_no_secret_can_not_ask(http: httpx.AsyncClient, app: App) -> None:
    """INT-1: naming oneself is no authentication."""
    begun = await begin(app)
    form = {"token": begun.token, "client_id": begun.client.id}
    answer = await http.post("/introspect", data=form)
    assert answer.status_code == 401
    assert answer.content != INACTIVE


async def test_the_client_sees_its_sessions_access_token_end_with_it(
    http: httpx.AsyncClient, app: App, begun: Begun
) -> None:
    """REV-4."""

    async def active(client: RegisteredClient) -> list[bool]:
        tokens = (begun.token, begun.tokens.access_token)
        return [await is_active(http, client, token) for token in tokens]

    assert await active(begun.client) == [True, True]
    await end_one_session(app.services.database, begun.id, "test", OPERATOR)
    assert await active(begun.client) == [False, False]
