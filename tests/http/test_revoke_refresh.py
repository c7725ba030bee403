"""POST /revoke of refresh tokens: RFC 7009 §2.1. Any generation ends the session."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from service.app import App
from tests.conftest import AUDIENCE, MakeClient, RegisteredClient
from tests.http.forge import is_active
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    at_generation,
    begin,
    execute,
    fetch,
    fetch_session,
    list_events,
    make_public,
    present,
    read,
    refresh,
)


async def revoke(
    http: httpx.AsyncClient, client: RegisteredClient, token: str, **form: str
) -> httpx.Response:
    return await http.post("/revoke", data={"token": token, "client_id": client.id, **form})


def assert_done(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers.get_list("cache-control") == ["no-store"]


FACTS = "SELECT count(*) FROM revocations WHERE kind = 'sid' AND subject = $1"


@pytest.mark.parametrize("generation", [0, 1, 2, 3, 4])
async def test_a_token_of_any_generation_ends_the_session(
    app: App, http: httpx.AsyncClient, make_client: MakeClient, generation: int
) -> None:
    """REV-4: who logs out with a token that was rotated meanwhile must not stay logged in.

    Also with one that the database forgot in a crash, which is one generation ahead of it.
    """
    begun, caller = await begin(app), await make_client(serves=(AUDIENCE,))
    other = await begin(app, begun.client, begun.user)
    newest = await refresh(http, begun.client, begun.token, times=3)
    token = at_generation(app, begun.token, generation)
    assert_done(await revoke(http, begun.client, token, token_type_hint="access_token"))
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "revoked_by_client"
    assert await fetch(app, FACTS, str(begun.id)) == 1
    assert [event for event, _ in await list_events(app, begun.id)] == [
        "session_begun",
        "session_ended",
    ]
    assert not await is_active(http, caller, begun.tokens.access_token)
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    await refresh(http, other.client, other.token)


async def test_revoking_again_changes_nothing(app: App, http: httpx.AsyncClient) -> None:
    """REV-1: 200 for a token that is void already; the first end stands."""
    begun = await begin(app)
    for _ in range(3):
        assert_done(await revoke(http, begun.client, begun.token))
    assert await fetch(app, FACTS, str(begun.id)) == 1
    assert len(await list_events(app, begun.id)) == 2


async def test_many_revocations_at_once_end_it_once(app: App, http: httpx.AsyncClient) -> None:
    begun = await begin(app)
    answers = await asyncio.gather(*(revoke(http, begun.client, begun.token) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert await fetch(app, FACTS, str(begun.id)) == 1
    assert len(await list_events(app, begun.id)) == 2


async def test_another_clients_token_is_refused_alike_whether_it_lives(
    app: App, http: httpx.AsyncClient
) -> None:
    """REV-2: nothing is revoked, and nothing is told."""
    begun, other = await begin(app), await make_public(app)
    newest = await refresh(http, begun.client, begun.token)
    living = [await revoke(http, other, token) for token in (begun.token, newest)]
    assert (await fetch_session(app, begun.id))["revoked_at"] is None
    await refresh(http, begun.client, newest)
    assert_done(await revoke(http, begun.client, newest))
    dead = [await revoke(http, other, token) for token in (begun.token, newest)]
    for answer in (*living, *dead):
        assert_refused(answer, "invalid_request")
    assert len({answer.content for answer in (*living, *dead)}) == 1


@pytest.mark.parametrize("kind", ["secret", "session", "mac", "prefix", "key"])
async def test_what_is_no_token_is_void_already(
    app: App, http: httpx.AsyncClient, kind: str
) -> None:
    """REV-1; and a session's id alone ends nothing."""
    begun = await begin(app)
    tokens, known = app.services.session_issuer.refresh_tokens, read(app, begun.token)
    token = {
        "secret": tokens.write(replace(known, secret=b"?" * 32)),
        "session": tokens.write(replace(known, session_id=uuid4())),
        "mac": begun.token[:-4] + "AAAA",
        "prefix": "wwr_",
        "key": f"wwr_Af__{begun.token[8:]}",
    }[kind]
    assert_done(await revoke(http, begun.client, token))
    await refresh(http, begun.client, begun.token)


async def test_a_key_that_another_pod_has_is_worth_another_try(
    app: App, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REV-3: 503 rather than a 200 after which the session lives on."""
    begun = await begin(app)
    grant = app.services.refresh_tokens
    monkeypatch.setattr(grant, "foreign_keys", frozenset({65535}))
    answer = await revoke(http, begun.client, f"wwr_Af__{begun.token[8:]}")
    assert_refused(answer, "temporarily_unavailable", 503)


async def test_a_session_that_expired_can_still_be_ended(app: App, http: httpx.AsyncClient) -> None:
    """Its last access tokens may live for minutes yet."""
    begun = await begin(app)
    query = "UPDATE sessions SET idle_expires_at = clock_timestamp() WHERE id = $1"
    await execute(app, query, begun.id)
    assert_done(await revoke(http, begun.client, begun.token))
    assert await fetch(app, FACTS, str(begun.id)) == 1


async def test_an_access_token_that_is_revoked_ends_no_session(
    app: App, http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """REV-4: that token alone."""
    begun: Begun = await begin(app)
    caller = await make_client(serves=(AUDIENCE,))
    assert_done(await revoke(http, begun.client, begun.tokens.access_token))
    assert not await is_active(http, caller, begun.tokens.access_token)
    await refresh(http, begun.client, begun.token)
