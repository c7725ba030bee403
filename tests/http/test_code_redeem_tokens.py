"""What a code is redeemed for: tokens, their audience, the ID Token and its repetition."""

from datetime import timedelta
from typing import Any

import httpx
import jwt
import pytest

from service.app import App
from tests.conftest import AUDIENCE, RegisteredClient, http_to
from tests.http.at_pages import Visitor, signed_on, tokens_of
from tests.http.browsing import SCOPES, Pkce, make_web_client, obtain_code, redeem
from tests.http.refusals import assert_refused
from tests.sessions import claims_of, execute, fetch, fetch_session, present

PKCE = Pkce("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
OTHER = "https://invoices.example"


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app, audiences=(AUDIENCE, OTHER))


@pytest.fixture(scope="module")
async def someone(app: App) -> Visitor:
    return await signed_on(app)


@pytest.fixture
async def code(someone: Visitor, client: RegisteredClient) -> str:
    return await obtain_code(someone.browser, client, PKCE)


async def test_the_resource_is_one_of_those_allowed(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """RES-1: named in the request, it is the only one; named at the token endpoint, one of them."""
    code = await obtain_code(someone.browser, client, PKCE, resource=OTHER)
    answer = await redeem(app, client, code, PKCE, resource=AUDIENCE)
    assert_refused(answer, "invalid_target")
    tokens = await tokens_of(app, client, code, PKCE)
    assert claims_of(tokens["access_token"])["aud"] == OTHER
    code = await obtain_code(someone.browser, client, PKCE)
    tokens = await tokens_of(app, client, code, PKCE, resource=OTHER)
    assert claims_of(tokens["access_token"])["aud"] == OTHER
    code = await obtain_code(someone.browser, client, PKCE)
    answer = await redeem(app, client, code, PKCE, resource=[AUDIENCE, OTHER])  # type: ignore[arg-type]
    assert_refused(answer, "invalid_target")
    tokens = await tokens_of(app, client, code, PKCE)
    assert claims_of(tokens["access_token"])["aud"] == AUDIENCE


async def test_scopes_of_openid_alone_are_for_userinfo(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AT-3."""
    code = await obtain_code(someone.browser, client, PKCE, scope="openid email")
    tokens = await tokens_of(app, client, code, PKCE)
    assert claims_of(tokens["access_token"])["aud"] == f"{app.services.issuer}/userinfo"


async def test_what_the_answer_has(app: App, client: RegisteredClient, code: str) -> None:
    """TOK-8: nothing null, never stored; the ID Token is signed by a published key."""
    answer = await redeem(app, client, code, PKCE)
    tokens = answer.json()
    assert tokens.keys() == {
        *("access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token")
    }
    assert (tokens["token_type"], type(tokens["expires_in"])) == ("Bearer", int)
    assert tokens["scope"] == "openid profile email orders:read"
    assert answer.headers["cache-control"] == "no-store"
    claims = await verified(app, client, tokens["id_token"])
    assert claims["nonce"] == "a nonce"
    session_id = claims["sid"]
    assert claims_of(tokens["access_token"])["sid"] == session_id


async def test_without_openid_there_is_no_id_token(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """TOK-8; without the grant for it there is no refresh token."""
    code = await obtain_code(someone.browser, client, PKCE, scope="orders:read")
    assert "id_token" not in await tokens_of(app, client, code, PKCE)
    scopes = tuple(scope for scope in SCOPES if scope != "offline_access")
    grants = ("authorization_code",)
    brief = await make_web_client(app, grant_types=grants, scopes=scopes)
    code = await obtain_code(someone.browser, brief, PKCE)
    tokens = await tokens_of(app, brief, code, PKCE)
    assert "id_token" in tokens
    assert "refresh_token" not in tokens


async def test_first_party_apps_have_an_id_token_too(app: App, someone: Visitor) -> None:
    """TOK-8: iff openid was granted, whoever the client is."""
    app_of_ours = await make_web_client(app, type="public", first_party=True)
    code = await obtain_code(someone.browser, app_of_ours, PKCE)
    form = {"code": code, "client_id": app_of_ours.id, "code_verifier": PKCE.verifier}
    async with http_to(app) as http:
        answer = await http.post("/token", data={"grant_type": "authorization_code", **form})
    assert "id_token" in answer.json()


async def test_a_refresh_repeats_the_id_token(
    app: App, http: httpx.AsyncClient, someone: Visitor, client: RegisteredClient
) -> None:
    """RT-16: the same but for its times and at_hash; auth_time is the sign-in's, nonce is gone."""
    query = "UPDATE sign_ons SET auth_time = auth_time - interval '1 hour' WHERE user_id = $1"
    await execute(app, query, someone.user.id)
    code = await obtain_code(someone.browser, client, PKCE)
    tokens = await tokens_of(app, client, code, PKCE)
    first = await verified(app, client, tokens["id_token"])
    answer = await present(http, client, tokens["refresh_token"])
    again = await verified(app, client, answer.json()["id_token"])
    assert first["iat"] - first["auth_time"] >= 3600
    assert "nonce" not in again
    assert again["at_hash"] != first["at_hash"]
    new = {"nonce", "iat", "exp", "at_hash"}
    assert {k: v for k, v in again.items() if k not in new} == {
        k: v for k, v in first.items() if k not in new
    }


async def test_a_session_is_as_the_client_registered_it(app: App, someone: Visitor) -> None:
    """AC-6: its own lifetimes; whose sign-on it is, and when that was."""
    client = await make_web_client(app, session_idle_ttl=timedelta(hours=1))
    tokens = await tokens_of(app, client, await obtain_code(someone.browser, client, PKCE), PKCE)
    session = await fetch_session(app, claims_of(tokens["access_token"])["sid"])
    assert abs(session["idle_expires_at"] - session["created_at"]) <= timedelta(hours=1, seconds=1)
    assert session["user_id"] == someone.user.id
    query = "SELECT auth_time FROM sign_ons WHERE id = $1"
    assert await fetch(app, query, session["sign_on_id"]) == session["auth_time"]


async def verified(app: App, client: RegisteredClient, id_token: str) -> dict[str, Any]:
    async with http_to(app) as http:
        keys = (await http.get("/.well-known/jwks.json")).json()
    header = jwt.get_unverified_header(id_token)
    assert (header["alg"], header["typ"]) == ("RS256", "JWT")
    key = jwt.PyJWKSet.from_dict(keys)[header["kid"]]
    issuer = app.services.issuer
    return jwt.decode(id_token, key, algorithms=["RS256"], audience=client.id, issuer=issuer)
