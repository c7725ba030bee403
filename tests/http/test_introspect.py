"""POST /introspect: who may ask, and what the answer says (RFC 7662)."""

import base64
import time

import httpx
import jwt
import pytest

from service.app import App
from service.flows.manage_clients import revoke_client
from tests.conftest import AUDIENCE, ISSUER, MakeClient, RegisteredClient
from tests.http.forge import INACTIVE, Forge, introspect, is_active, issue

CHALLENGE = 'Basic realm="as"'
REFUSED = {"error": "invalid_client", "error_description": "client authentication failed"}


@pytest.fixture(scope="module")
async def caller(make_client: MakeClient) -> RegisteredClient:
    """A client with tokens of its own that serves nobody's."""
    return await make_client()


@pytest.fixture(scope="module")
async def resource_server(make_client: MakeClient) -> RegisteredClient:
    """A client that has no tokens and serves AUDIENCE."""
    return await make_client(grant_types=(), audiences=(), serves=("https://other", AUDIENCE))


@pytest.fixture(scope="module")
async def public(make_client: MakeClient) -> RegisteredClient:
    return await make_client(type="public", serves=(AUDIENCE,))


async def test_active_token_has_these_members_and_no_others(
    http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """INT-3 [7662 §2.2]; times are integers (AT-2)."""
    token = await issue(http, caller)
    claims = jwt.decode(token, options={"verify_signature": False})
    answer = await introspect(http, caller, token)
    assert answer.status_code == 200
    assert answer.json() == {
        "active": True,
        "scope": "orders:read orders:write",
        "client_id": caller.id,
        "token_type": "Bearer",
        "exp": claims["exp"],
        "iat": claims["iat"],
        "sub": caller.id,
        "aud": AUDIENCE,
        "iss": ISSUER,
        "jti": claims["jti"],
    }
    assert abs(claims["iat"] - time.time()) < 5
    assert claims["exp"] - claims["iat"] == 300


async def test_active_and_inactive_answers_are_never_stored(
    http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """INT-3: no-store; TOK-18: no cookie."""
    for token in (await issue(http, caller), "garbage"):
        headers = (await introspect(http, caller, token)).headers
        assert (headers["cache-control"], headers["pragma"]) == ("no-store", "no-cache")
        assert headers["content-type"] == "application/json"
        assert "set-cookie" not in headers


async def test_resource_server_may_ask_for_an_audience_that_it_serves(
    http: httpx.AsyncClient, caller: RegisteredClient, resource_server: RegisteredClient
) -> None:
    """INT-2: meant for this caller, by `serves`."""
    answer = await introspect(http, resource_server, await issue(http, caller))
    assert answer.json()["client_id"] == caller.id


async def test_token_of_another_client_is_inactive(
    http: httpx.AsyncClient, caller: RegisteredClient, make_client: MakeClient
) -> None:
    """INT-2: having tokens for an audience is not serving it, nor is serving another one."""
    token = await issue(http, caller)
    for serves in ((), ("https://other.example",), (AUDIENCE + "/",)):
        stranger = await make_client(serves=serves)
        assert (await introspect(http, stranger, token)).content == INACTIVE


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "nonsense", ""])
async def test_token_type_hint_changes_nothing(
    http: httpx.AsyncClient, caller: RegisteredClient, hint: str
) -> None:
    """INT-1 [7662 §2.1]: a hint may be ignored, never a reason to miss the token."""
    form = {"token": await issue(http, caller), "token_type_hint": hint}
    answer = await http.post("/introspect", data=form, auth=caller.auth)
    assert answer.json()["active"] is True


async def test_client_secret_post_is_accepted(
    http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """INT-1, TOK-15."""
    form = {
        "token": await issue(http, caller),
        "client_id": caller.id,
        "client_secret": caller.secret,
    }
    assert (await http.post("/introspect", data=form)).json()["active"] is True


def _basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.mark.parametrize(
    "tried",
    [
        "nothing",
        "id alone",
        "public client",
        "public client by Basic",
        "unknown client",
        "unknown client in the body",
        "wrong secret",
        "wrong secret in the body",
        "Basic without a colon",
        "Basic that is no base64",
        "Bearer",
        "an empty header",
        "an assertion",
        "a token as Bearer",
        "credentials in the query",
    ],
)
async def test_unauthenticated_caller_gets_401_with_a_challenge_whatever_was_tried(
    http: httpx.AsyncClient, caller: RegisteredClient, public: RegisteredClient, tried: str
) -> None:
    """INT-1 [7662 §2.1, §2.3]: always 401 and Basic, one body; a public client is none (META-3)."""
    token = await issue(http, caller)
    jwt_bearer = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    headers, form = {
        "nothing": ({}, {}),
        "id alone": ({}, {"client_id": caller.id}),
        "public client": ({}, {"client_id": public.id}),
        "public client by Basic": (_basic(public.id, "x"), {}),
        "unknown client": (_basic("nobody-here", "x"), {}),
        "unknown client in the body": ({}, {"client_id": "nobody-here", "client_secret": "x"}),
        "wrong secret": (_basic(caller.id, caller.secret + "x"), {}),
        "wrong secret in the body": ({}, {"client_id": caller.id, "client_secret": "wws_x"}),
        "Basic without a colon": ({"authorization": "Basic YWJj"}, {}),
        "Basic that is no base64": ({"authorization": "Basic !!"}, {}),
        "Bearer": ({"authorization": f"Bearer {caller.secret}"}, {}),
        "an empty header": ({"authorization": ""}, {}),
        "an assertion": ({}, {"client_assertion": token, "client_assertion_type": jwt_bearer}),
        "a token as Bearer": ({"authorization": f"Bearer {token}"}, {}),
        "credentials in the query": ({}, {}),
    }[tried]
    query = {"client_id": caller.id, "client_secret": caller.secret} if "query" in tried else {}
    answer = await http.post(
        "/introspect", params=query, headers=headers, data={"token": token, **form}
    )
    assert (answer.status_code, answer.json()) == (401, REFUSED)
    assert answer.headers.get_list("www-authenticate") == [CHALLENGE]
    assert answer.headers["cache-control"] == "no-store"


async def test_disabled_caller_gets_401(http: httpx.AsyncClient, app: App, make_client) -> None:
    """INT-1, TOK-10: the answer is that of a wrong secret."""
    gone = await make_client()
    await revoke_client(app.services.database, gone.id, enabled=False)
    app.services.clients.drop(gone.id)
    answer = await introspect(http, gone, "x")
    assert (answer.status_code, answer.json()) == (401, REFUSED)
    assert answer.headers["www-authenticate"] == CHALLENGE


async def test_two_authentication_methods_are_a_malformed_request(
    http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """TOK-11 at this endpoint: 400, and no challenge."""
    form = {"token": "x", "client_id": caller.id, "client_secret": caller.secret}
    answer = await http.post("/introspect", data=form, auth=caller.auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "www-authenticate" not in answer.headers


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_post_is_served(
    http: httpx.AsyncClient, caller: RegisteredClient, method: str
) -> None:
    """INT-1, TOK-1: 405 with Allow, though a GET carries all that is needed in its query."""
    query = {"token": await issue(http, caller)}
    answer = await http.request(method, "/introspect", params=query, auth=caller.auth)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert b"active" not in answer.content


@pytest.mark.parametrize(
    "body",
    ["", "token=", "tokens=x", "token=x&token=x", "token=%ff", "token=a%00b", "token=%zz"],
)
async def test_missing_or_broken_token_parameter_is_refused(
    http: httpx.AsyncClient, caller: RegisteredClient, body: str
) -> None:
    """INT-1, TOK-4, TOK-5, TOK-6."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    answer = await http.post("/introspect", content=body, headers=form, auth=caller.auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_token_in_the_query_is_not_read(
    http: httpx.AsyncClient, caller: RegisteredClient
) -> None:
    """TOK-2: parameters come from the body alone."""
    query = {"token": await issue(http, caller)}
    answer = await http.post("/introspect", params=query, data={"x": "1"}, auth=caller.auth)
    assert answer.status_code == 400
    assert answer.json()["error_description"] == "the parameter token is missing"


async def test_authentication_is_judged_before_the_token(http: httpx.AsyncClient) -> None:
    """TOK-7: a stranger learns nothing of the parameters."""
    assert (await http.post("/introspect", data={"x": "1"})).status_code == 401


async def test_cookies_change_nothing(http: httpx.AsyncClient, caller: RegisteredClient) -> None:
    """TOK-18."""
    headers = {"cookie": "session=1; token=2; __Host-watchword_refresh=3"}
    form = {"token": await issue(http, caller)}
    answer = await http.post("/introspect", data=form, headers=headers, auth=caller.auth)
    assert answer.json()["active"] is True


async def test_hand_signed_token_is_active(
    http: httpx.AsyncClient, app: App, caller: RegisteredClient
) -> None:
    """What the tests of forged tokens stand on: unforged, the same token is good."""
    assert await is_active(http, caller, Forge(app, caller.id).token())
