"""POST /revoke: whose tokens it ends, and that its answers tell nothing (RFC 7009)."""

import asyncio
import time

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import revoke_client
from service.settings import Settings
from tests.conftest import AUDIENCE, MakeApp, MakeClient, RegisteredClient, http_to
from tests.http.forge import Forge, is_active, issue


@pytest.fixture(scope="module")
async def client(make_client: MakeClient) -> RegisteredClient:
    return await make_client()


@pytest.fixture(scope="module")
async def resource_server(make_client: MakeClient) -> RegisteredClient:
    return await make_client(grant_types=(), audiences=(), serves=(AUDIENCE,))


async def revoke(
    http: httpx.AsyncClient, client: RegisteredClient, token: str, **form: str
) -> httpx.Response:
    return await http.post("/revoke", data={"token": token, **form}, auth=client.auth)


def assert_revoked(answer: httpx.Response) -> None:
    """REV-1: 200, nothing in it, not stored."""
    assert (answer.status_code, answer.content) == (200, b"")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert "set-cookie" not in answer.headers


async def facts(app: App, client_id: str) -> list[str]:
    async with app.services.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT subject FROM revocations WHERE kind = 'jti' AND client_id = $1", client_id
        )
    return [row["subject"] for row in rows]


async def test_revoked_token_is_void_and_no_other(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """REV-1, REV-4 [7009 §2.1]: that jti, at once."""
    token, other = await issue(http, client), await issue(http, client)
    assert_revoked(await revoke(http, client, token))
    assert not await is_active(http, client, token)
    assert await is_active(http, client, other)


async def test_revoking_again_changes_nothing(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """REV-1: already revoked is 200 too, also when five ask at once; one fact comes of it."""
    client = await make_client()
    token = await issue(http, client)
    for answer in await asyncio.gather(*(revoke(http, client, token) for _ in range(5))):
        assert_revoked(answer)
    assert_revoked(await revoke(http, client, token))
    assert len(await facts(app, client.id)) == 1


@pytest.mark.parametrize(
    "token",
    [
        *("garbage", "a", "wwr_1_2_3", "a.b.c", "e30.e30.e30", "a" * 8192, "=", "\ufeff", "ü"),
        *("' OR 1=1--", "*", "{ww}:feed:heartbeat", "../../etc/passwd", "\u202e", "a\r\nb: c"),
    ],
    ids=lambda token: f"{token!a:.20}",
)
async def test_unknown_token_is_200(
    http: httpx.AsyncClient, client: RegisteredClient, token: str
) -> None:
    """REV-1, ATK-97 [7009 §2.2]: it is void already."""
    assert_revoked(await revoke(http, client, token))


@pytest.mark.parametrize("fault", ["expired", "signature", "typ", "kid", "claims", "issuer"])
async def test_token_that_was_never_good_or_is_no_more_is_200(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, fault: str
) -> None:
    """REV-1: and leaves no fact behind, so that garbage can't fill the table."""
    client = await make_client()
    forge = Forge(app, client.id)
    past = str(int(time.time()) - 600)
    token = {
        "expired": forge.token(claims=forge.claims(iat=past, exp=f"{int(past) + 300}")),
        "signature": forge.token(sign=lambda _: bytes(256)),
        "typ": forge.token(header=forge.header(typ='"JWT"')),
        "kid": forge.token(header=forge.header(kid='"unknown"')),
        "claims": forge.token(claims=b"[]"),
        "issuer": forge.token(claims=forge.claims(iss='"https://evil.example"')),
    }[fault]
    assert_revoked(await revoke(http, client, token))
    assert await facts(app, client.id) == []


@pytest.mark.parametrize("body", ["x=1", "token=", "token=a&token=a", "token=%ff", "token=%00"])
async def test_missing_or_broken_token_parameter_is_refused(
    http: httpx.AsyncClient, client: RegisteredClient, body: str
) -> None:
    """REV-1, TOK-4, TOK-5, TOK-6."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = await http.post("/revoke", content=body, headers=headers, auth=client.auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert answer.headers["cache-control"] == "no-store"


async def test_token_beyond_the_limits_is_refused(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """TOK-41: 8 KiB a parameter, 64 a body."""
    for length, status in ((8193, 400), (70_000, 413)):
        answer = await revoke(http, client, "a" * length)
        assert (answer.status_code, answer.json()["error"]) == (status, "invalid_request")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_post_is_served(
    http: httpx.AsyncClient, client: RegisteredClient, method: str
) -> None:
    """REV-1, TOK-1, TOK-2: a token in the query of a GET is not revoked."""
    token = await issue(http, client)
    answer = await http.request(method, "/revoke", params={"token": token}, auth=client.auth)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert await is_active(http, client, token)


async def test_stranger_is_refused_and_revokes_nothing(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """REV-1, TOK-10: 401 where the header was tried, else 400."""
    token = await issue(http, client)
    wrong = RegisteredClient(client.id, "wws_wrong")
    by_header = await revoke(http, wrong, token)
    assert (by_header.status_code, by_header.json()["error"]) == (401, "invalid_client")
    assert by_header.headers["www-authenticate"] == 'Basic realm="as"'
    for form in ({}, {"client_id": client.id}, {"client_id": client.id, "client_secret": "x"}):
        answer = await http.post("/revoke", data={"token": token, **form})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_client")
        assert "www-authenticate" not in answer.headers
    assert await is_active(http, client, token)


async def test_public_client_revokes_its_own_by_naming_itself(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, resource_server: RegisteredClient
) -> None:
    """REV-1 [7009 §2.1]: it has no secret; TOK-12: one that it sends is refused."""
    public = await make_client(type="public")
    token = Forge(app, public.id).token()
    assert await is_active(http, resource_server, token)
    form = {"token": token, "client_id": public.id}
    refused = await http.post("/revoke", data={**form, "client_secret": "x"})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client")
    assert await is_active(http, resource_server, token)
    assert_revoked(await http.post("/revoke", data=form))
    assert not await is_active(http, resource_server, token)


async def test_token_of_another_client_is_refused_alike_live_or_dead(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, client: RegisteredClient
) -> None:
    """REV-2, ATK-106: one answer for live, expired, revoked and of a void epoch."""
    owner, forge = await make_client(), Forge(app, client.id)
    live, revoked = await issue(http, client), await issue(http, client)
    await revoke(http, client, revoked)
    past = int(time.time()) - 600
    dead = forge.token(claims=forge.claims(iat=str(past), exp=str(past + 300)))
    voided_client = await make_client()
    voided = await issue(http, voided_client)
    await revoke_client(app.services.database, voided_client.id, enabled=True)
    answers = [await revoke(http, owner, token) for token in (live, revoked, dead, voided)]
    assert len({answer.content for answer in answers}) == 1
    assert {answer.status_code for answer in answers} == {400}
    assert answers[0].json()["error"] == "invalid_request"
    assert await is_active(http, client, live)
    assert await facts(app, owner.id) == []


async def test_resource_server_can_ask_about_a_token_but_not_revoke_it(
    http: httpx.AsyncClient, client: RegisteredClient, resource_server: RegisteredClient
) -> None:
    """REV-2: `serves` is for introspection."""
    token = await issue(http, client)
    answer = await revoke(http, resource_server, token)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert await is_active(http, resource_server, token)


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "id_token", "nonsense", ""])
async def test_hint_is_ignored(
    http: httpx.AsyncClient, client: RegisteredClient, hint: str
) -> None:
    """REV-3 [7009 §2.1]: a wrong or unknown one too."""
    token = await issue(http, client)
    assert_revoked(await revoke(http, client, token, token_type_hint=hint))
    assert not await is_active(http, client, token)


async def test_effect_is_at_once_on_another_pod(
    http: httpx.AsyncClient, make_app: MakeApp, settings: Settings, client: RegisteredClient
) -> None:
    """REV-4: introspection asks PostgreSQL, so no pod has to hear of it first."""
    token, other = await issue(http, client), await issue(http, client)
    async with http_to(await make_app(settings)) as second:
        assert await is_active(second, client, token)
        assert_revoked(await revoke(http, client, token))
        assert not await is_active(second, client, token)
        assert_revoked(await revoke(second, client, other))
        assert not await is_active(http, client, other)
