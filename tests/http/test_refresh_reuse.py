"""Spent refresh tokens: retried within the window, and what betrays a thief. RFC 9700 §4.14.2."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import shadow_client
from tests.conftest import AUDIENCE, MakeClient, RegisteredClient
from tests.http.forge import is_active
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    age,
    at_generation,
    begin,
    claims_of,
    count_refreshes,
    execute,
    fetch,
    fetch_session,
    list_events,
    present,
    refresh,
)


@pytest.fixture
async def caller(make_client: MakeClient) -> RegisteredClient:
    """Whom the access tokens are for."""
    return await make_client(serves=(AUDIENCE,))


async def assert_over(app: App, http: httpx.AsyncClient, begun: Begun, newest: str) -> None:
    """The session is ended by one fact, and nobody gets anything from it any more."""
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"
    facts = "SELECT count(*) FROM revocations WHERE kind = 'sid' AND subject = $1"
    assert await fetch(app, facts, str(begun.id)) == 1
    for token in (newest, begun.token):
        assert_refused(await present(http, begun.client, token), "invalid_grant")


async def test_a_retry_within_the_window_gets_the_same_successor(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-9, RT-12: an answer may be lost. A new access token, and nothing is spent by it."""
    begun = await begin(app)
    retried = count_refreshes(app, "retried")
    first = (await present(http, begun.client, begun.token)).json()
    before = await fetch_session(app, begun.id)
    for _ in range(3):
        again = (await present(http, begun.client, begun.token)).json()
        assert again["refresh_token"] == first["refresh_token"]
        assert claims_of(again["access_token"])["jti"] != claims_of(first["access_token"])["jti"]
    assert await fetch_session(app, begun.id) == before
    assert count_refreshes(app, "retried") == retried + 3
    # RT-14: written down, once of each generation.
    assert await list_events(app, begun.id) == [("session_begun", None), ("refresh_retried", 0)]
    await refresh(http, begun.client, first["refresh_token"])


async def test_a_retry_may_ask_for_another_scope(app: App, http: httpx.AsyncClient) -> None:
    """RT-9: judged afresh against the session."""
    begun = await begin(app)
    first = await present(http, begun.client, begun.token, scope="orders:read")
    again = await present(http, begun.client, begun.token, scope="orders:write")
    assert again.json()["scope"] == "orders:write"
    assert again.json()["refresh_token"] == first.json()["refresh_token"]


async def test_a_spent_token_after_the_window_revokes_the_session(
    app: App, http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """RT-6, ATK-50: an attacker refreshes first, the client later."""
    begun = await begin(app)
    other = await begin(app, begun.client, begun.user)
    reuse = count_refreshes(app, "reuse")
    stolen = (await present(http, begun.client, begun.token)).json()
    await age(app, begun.id, 31)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    assert count_refreshes(app, "reuse") == reuse + 1
    assert not await is_active(http, caller, stolen["access_token"])
    assert not await is_active(http, caller, begun.tokens.access_token)
    query = """
        SELECT detail FROM audit_events
        WHERE session_id = $1 AND event = 'refresh_reuse' AND generation = 0
          AND user_id = $2 AND client_id = $3 AND address = '127.0.0.1' AND request_id IS NOT NULL
    """
    detail = await fetch(app, query, begun.id, begun.user.id, begun.client.id)
    assert detail == {"stored_generation": 1, "shadow": False}
    await assert_over(app, http, begun, stolen["refresh_token"])
    # It ends this session alone.
    await refresh(http, other.client, other.token)


async def test_within_the_window_it_is_no_reuse_up_to_its_last_second(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-9: measured by PostgreSQL, from the rotation and not from the last retry."""
    begun = await begin(app)
    successor = await refresh(http, begun.client, begun.token)
    await age(app, begun.id, 20)
    assert await refresh(http, begun.client, begun.token) == successor
    await age(app, begun.id, 10)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    await assert_over(app, http, begun, successor)


async def test_a_client_has_its_own_window(app: App, http: httpx.AsyncClient) -> None:
    """RT-9: at most 60 s; what another client has does not count."""
    for seconds in (5, 60):
        begun = await begin(app, grace=timedelta(seconds=seconds))
        successor = await refresh(http, begun.client, begun.token)
        await age(app, begun.id, seconds - 2)
        assert await refresh(http, begun.client, begun.token) == successor
        await age(app, begun.id, 2)
        assert_refused(await present(http, begun.client, begun.token), "invalid_grant")


async def test_a_spent_token_whose_successor_was_used_revokes_within_the_window(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-10, ATK-50: the client demonstrably has the successor."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=2)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    await assert_over(app, http, begun, newest)


async def test_any_ancestor_revokes_at_once(app: App, http: httpx.AsyncClient) -> None:
    """RT-10, ATK-50: however old, and with nothing stored for it."""
    begun = await begin(app)
    await execute(app, "UPDATE sessions SET generation = 4000000000 WHERE id = $1", begun.id)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    await assert_over(app, http, begun, at_generation(app, begun.token, 4_000_000_000))


async def test_a_window_of_nothing_makes_single_use_strict(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-8, RT-11: the second use is refused and revokes, however soon."""
    begun = await begin(app, grace=timedelta(0))
    successor = await refresh(http, begun.client, begun.token)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    await assert_over(app, http, begun, successor)


async def test_a_clock_that_fell_back_shortens_no_window(app: App, http: httpx.AsyncClient) -> None:
    """RT-13: after a fail-over to a slower clock a rotation may seem to be in the future."""
    begun = await begin(app)
    successor = await refresh(http, begun.client, begun.token)
    await age(app, begun.id, -3600)
    assert await refresh(http, begun.client, begun.token) == successor


async def test_each_event_is_written_once_for_a_session_and_generation(
    app: App, http: httpx.AsyncClient
) -> None:
    """However often a thief tries: no log is filled by it."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=4)
    await shadow_client(app.services.database, begun.client.id, on=True)
    for generation in (0, 1, 0, 1, 0, 3, 3):
        await present(http, begun.client, at_generation(app, begun.token, generation))
    assert await list_events(app, begun.id) == [
        ("session_begun", None),
        ("refresh_reuse", 0),
        ("refresh_reuse", 1),
        ("refresh_retried", 3),
    ]
    await refresh(http, begun.client, newest)


async def test_in_shadow_mode_reuse_is_refused_and_reported_and_revokes_nothing(
    app: App, http: httpx.AsyncClient
) -> None:
    """To learn what a client does before its sessions depend on it; it ends by itself."""
    begun = await begin(app)
    await shadow_client(app.services.database, begun.client.id, on=True)
    newest = await refresh(http, begun.client, begun.token, times=2)
    reuse = count_refreshes(app, "reuse")
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    assert count_refreshes(app, "reuse") == reuse + 1
    assert (await fetch_session(app, begun.id))["revoked_at"] is None
    query = "SELECT detail->>'shadow' FROM audit_events WHERE session_id = $1 AND generation = 0"
    assert await fetch(app, query, begun.id) == "true"
    newest = await refresh(http, begun.client, newest)
    query = "UPDATE clients SET shadow_until = shadow_until - interval '30 days' WHERE id = $1"
    await execute(app, query, begun.client.id)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    await assert_over(app, http, begun, newest)


async def walk(http: httpx.AsyncClient, begun: Begun, token: str, steps: str) -> str:
    """A refresh for each step; `r`: with a retry behind it."""
    for step in steps:
        successor = await refresh(http, begun.client, token)
        if step == "r":
            assert await refresh(http, begun.client, token) == successor
        token = successor
    return token


@pytest.mark.parametrize(
    ("steps", "followed"),
    [
        ("rrrr", []),
        ("rrrrr", [4]),
        ("rrrrrr", [4, 5]),
        ("rr.rrrr.rrrr", []),
        (".rrrrr.rrrrr", [5, 11]),
    ],
)
async def test_a_session_retried_in_five_generations_running_may_be_followed(
    app: App, http: httpx.AsyncClient, steps: str, followed: list[int]
) -> None:
    """RT-14: a thief who refreshes within the window behind each honest refresh."""
    begun = await begin(app)
    counted = count_refreshes(app, "followed")
    token = await walk(http, begun, begun.token, steps)
    events = await list_events(app, begun.id)
    assert [it for it in events if it[0] == "refresh_followed"] == [
        ("refresh_followed", generation) for generation in followed
    ]
    assert count_refreshes(app, "followed") == counted + len(followed)
    await refresh(http, begun.client, token)


async def test_a_forger_with_the_key_but_no_secret_revokes_nothing(
    app: App, http: httpx.AsyncClient
) -> None:
    """Whoever presents garbage with a known session id does no harm."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=3)
    tokens = app.services.session_issuer.refresh_tokens
    known = tokens.read(begun.token)
    assert known is not None
    for generation in (0, 2, 3, 9):
        forged = tokens.write(replace(known, generation=generation, secret=b"?" * 32))
        assert_refused(await present(http, begun.client, forged), "invalid_grant")
    assert await list_events(app, begun.id) == [("session_begun", None)]
    await refresh(http, begun.client, newest)
