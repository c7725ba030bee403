"""POST /introspect over time: revoked, expired, a client's epochs, clocks that differ, outages."""

import asyncio
import time
from dataclasses import replace

import anyio
import httpx
import jwt
import msgspec
import pytest

from service.app import App, create_app, open_database
from service.environment import Secret
from service.flows.client_cache import ClientCache
from service.flows.live_tokens import LiveTokens
from service.flows.manage_clients import reenable_client, revoke_client
from service.settings import Settings
from tests.conftest import AUDIENCE, MakeClient, MakeSettings, RegisteredClient, http_to
from tests.http.forge import INACTIVE, Forge, introspect, is_active, issue


@pytest.fixture(scope="module")
async def resource_server(make_client: MakeClient) -> RegisteredClient:
    """A client that has no tokens and serves AUDIENCE."""
    return await make_client(grant_types=(), audiences=(), serves=(AUDIENCE,))


async def test_revoked_token_is_inactive_at_once_and_alone(
    http: httpx.AsyncClient, make_client: MakeClient, resource_server: RegisteredClient
) -> None:
    """INT-2, REV-4, DIST-1: that token, for everybody; the client's other one stays good."""
    client = await make_client()
    first, second = await issue(http, client), await issue(http, client)
    await http.post("/revoke", data={"token": first}, auth=client.auth)
    for caller in (client, resource_server):
        assert not await is_active(http, caller, first)
        assert await is_active(http, caller, second)


@pytest.mark.parametrize("enabled", [True, False], ids=["revoked", "disabled"])
async def test_tokens_of_a_revoked_or_disabled_client_are_inactive(
    http: httpx.AsyncClient, app: App, make_client, resource_server, enabled
) -> None:
    """INT-2, DIST-4: by the epoch; other clients' tokens stay good."""
    client, other = await make_client(), await make_client()
    token, others = await issue(http, client), await issue(http, other)
    assert await is_active(http, resource_server, token)
    assert await revoke_client(app.services.database, client.id, enabled=enabled) == 1
    assert not await is_active(http, resource_server, token)
    assert await is_active(http, resource_server, others)


async def test_token_that_carries_the_new_epoch_is_inactive_while_its_client_is_disabled(
    http: httpx.AsyncClient, app: App, make_client, resource_server
) -> None:
    """INT-2: a disabled client has no good token, whatever its epoch."""
    client = await make_client()
    await revoke_client(app.services.database, client.id, enabled=False)
    forge = Forge(app, client.id)
    token = forge.token(claims=forge.claims(cep="1"))
    assert not await is_active(http, resource_server, token)
    await reenable_client(app.services.database, client.id)
    assert await is_active(http, resource_server, token)


@pytest.mark.parametrize("enabled", [True, False], ids=["revoked", "disabled and enabled"])
async def test_revocation_parts_two_tokens_of_the_same_second(
    http: httpx.AsyncClient, app: App, make_client, resource_server, enabled
) -> None:
    """DIST-9, ATK-103: the token before is void for good, the one after is good at once."""
    client = await make_client()
    await anyio.sleep(1 - time.time() % 1)
    before = await issue(http, client)
    await revoke_client(app.services.database, client.id, enabled=enabled)
    if not enabled:
        await reenable_client(app.services.database, client.id)
    app.services.clients.drop(client.id)  # what the feed does within a second
    after = await issue(http, client)
    seconds = {jwt.decode(t, options={"verify_signature": False})["iat"] for t in (before, after)}
    assert len(seconds) == 1
    assert not await is_active(http, resource_server, before)
    assert await is_active(http, resource_server, after)


async def test_counters_decide_whatever_the_clocks_say(
    http: httpx.AsyncClient, app: App, make_client, resource_server
) -> None:
    """DIST-9: a fast clock makes no old epoch good, a slow one no new epoch void."""
    client = await make_client()
    await revoke_client(app.services.database, client.id, enabled=True)
    forge, now = Forge(app, client.id), int(time.time())
    fast = forge.token(claims=forge.claims(cep="0", iat=str(now + 30)))
    slow = forge.token(claims=forge.claims(cep="1", iat=str(now - 30)))
    assert not await is_active(http, resource_server, fast)
    assert await is_active(http, resource_server, slow)


async def test_pod_with_a_stale_client_makes_tokens_that_are_void_already(
    app: App, make_client, resource_server
) -> None:
    """DIST-9: it signs under the old epoch, so there is no window in which they were good."""
    client = await make_client()
    database = app.services.database
    cut_off = replace(app.services, clients=ClientCache(database))  # follows no feed
    async with http_to(replace(app, asgi=create_app(cut_off), services=cut_off)) as http:
        assert await is_active(http, resource_server, await issue(http, client))
        await revoke_client(database, client.id, enabled=True)
        assert not await is_active(http, resource_server, await issue(http, client))


async def test_token_of_a_client_that_is_gone_is_inactive(
    http: httpx.AsyncClient, app: App, make_client, resource_server
) -> None:
    """INT-2, ATK-23."""
    client = await make_client()
    token = await issue(http, client)
    async with app.services.database.connection() as connection:
        await connection.execute("DELETE FROM clients WHERE id = $1", client.id)
    assert not await is_active(http, resource_server, token)


@pytest.mark.parametrize("ahead", [0, 30, 55], ids="{}s ahead".format)
async def test_token_of_a_clock_that_is_ahead_is_active(
    http: httpx.AsyncClient, app: App, resource_server, ahead: int
) -> None:
    """ATK-103: pods' clocks differ by 30 s; up to 60 are forgiven."""
    assert await is_active(http, resource_server, await _timed(app, resource_server, ahead, 300))


@pytest.mark.parametrize("ahead", [65, 3600], ids="{}s ahead".format)
async def test_token_from_beyond_the_leeway_is_inactive(
    http: httpx.AsyncClient, app: App, resource_server, ahead: int
) -> None:
    """ATK-103, ATK-12: no false accept beyond the leeway."""
    token = await _timed(app, resource_server, ahead, 300)
    assert not await is_active(http, resource_server, token)


@pytest.mark.parametrize("seconds_ago", [0, 1, 30, 86400], ids="{}s ago".format)
async def test_expired_token_is_inactive(
    http: httpx.AsyncClient, app: App, resource_server, seconds_ago: int
) -> None:
    """ATK-103, INT-2: the issuer itself has no leeway for `exp`."""
    token = await _timed(app, resource_server, -300 - seconds_ago, 300)
    assert not await is_active(http, resource_server, token)
    assert await is_active(http, resource_server, await _timed(app, resource_server, -290, 300))


async def _timed(app: App, client: RegisteredClient, ahead: int, ttl: int) -> str:
    forge, now = Forge(app, client.id), int(time.time())
    return forge.token(claims=forge.claims(iat=str(now + ahead), exp=str(now + ahead + ttl)))


async def test_inactive_answers_have_identical_bytes(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """ATK-106: invalid, expired, revoked, of a void epoch, foreign: one answer."""
    client, foreign, voided = [await make_client() for _ in range(3)]
    revoked = await issue(http, client)
    await http.post("/revoke", data={"token": revoked}, auth=client.auth)
    old = await issue(http, voided)
    await revoke_client(app.services.database, voided.id, enabled=True)
    app.services.clients.drop(voided.id)
    asked = [
        (client, "garbage"),
        (client, "e30.e30.e30"),
        (client, Forge(app, client.id).token(sign=lambda _: bytes(256))),
        (client, await _timed(app, client, -400, 300)),
        (client, revoked),
        (client, await issue(http, foreign)),
        (voided, old),
    ]
    answers = [await introspect(http, caller, token) for caller, token in asked]
    assert {answer.content for answer in answers} == {INACTIVE}
    assert {answer.status_code for answer in answers} == {200}
    headers = [
        [(name, value) for name, value in answer.headers.raw if name != b"x-request-id"]
        for answer in answers
    ]
    assert all(each == headers[0] for each in headers)


async def test_questions_that_come_together_get_their_own_answers(
    http: httpx.AsyncClient, make_client: MakeClient, resource_server: RegisteredClient
) -> None:
    """INT-2: the pod asks PostgreSQL about many tokens in one statement."""
    client = await make_client()
    tokens = [await issue(http, client) for _ in range(24)]
    for token in tokens[::3]:
        await http.post("/revoke", data={"token": token}, auth=client.auth)
    answers = await asyncio.gather(
        *(introspect(http, resource_server, token) for token in [*tokens, "garbage"])
    )
    expected = [None if i % 3 == 0 else _jti(token) for i, token in enumerate(tokens)]
    assert [answer.json().get("jti") for answer in answers] == [*expected, None]


def _jti(token: str) -> str:
    return jwt.decode(token, options={"verify_signature": False})["jti"]


async def test_lost_postgresql_is_503_and_never_active(
    http: httpx.AsyncClient, app: App, settings: Settings, make_client: MakeClient
) -> None:
    """ATK-104, INT-2: what can't be asked is not answered; garbage needs no asking."""
    client = await make_client()
    token = await issue(http, client)
    nowhere = msgspec.structs.replace(settings, database_url=Secret("postgresql://127.0.0.1:1/x"))
    answer = await _ask_over(app, nowhere, client, token)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert (await _ask_over(app, nowhere, client, "garbage")).content == INACTIVE


async def test_database_that_may_have_forgotten_revocations_is_503(
    http: httpx.AsyncClient, app: App, make_settings: MakeSettings, make_client: MakeClient
) -> None:
    """ATK-104: until its new life begins, 'not revoked' would be a guess."""
    client = await make_client()
    answer = await _ask_over(app, await make_settings(), client, await issue(http, client))
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0


async def _ask_over(
    app: App, settings: Settings, client: RegisteredClient, token: str
) -> httpx.Response:
    """Ask a pod that knows clients and keys as the shared one does, over another database."""
    database = open_database(settings)
    services = replace(app.services, database=database, live_tokens=LiveTokens(database))
    async with http_to(replace(app, asgi=create_app(services), services=services)) as http:
        answer = await introspect(http, client, token)
    await database.close()
    return answer
