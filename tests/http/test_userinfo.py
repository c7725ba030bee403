"""GET and POST /userinfo: OpenID Connect Core §5.3. IDT-3, IDT-4, AT-3, ATK-13, ATK-108."""

import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import jwt
import pytest

from service.app import App
from service.flows.manage_users import delete, disable
from service.flows.origin import OPERATOR
from tests.conftest import RegisteredClient, register
from tests.http.account_pages import Application, Visitor, allow, visit
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import make_web_client
from tests.http.forge import Forge, members
from tests.sessions import claims_of, execute, fetch

API = "https://orders.example"
CHALLENGE = 'Bearer realm="watchword"'


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


@pytest.fixture
async def notebook(anna: Visitor) -> Application:
    return await allow(anna)


async def ask(
    accounts: Accounts, token: str | None, method: str = "GET", **headers: str
) -> httpx.Response:
    """UserInfo's answer to a bearer."""
    bearer = {} if token is None else {"authorization": f"Bearer {token}"}
    return await accounts.http.request(method, "/userinfo", headers={**bearer, **headers})


def assert_invalid(answer: httpx.Response) -> None:
    """IDT-4: 401 with `invalid_token` in the challenge, and nothing of a user."""
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")
    challenge = answer.headers["www-authenticate"]
    assert challenge.startswith(f'{CHALLENGE}, error="invalid_token"')
    assert "sub" not in answer.json()


async def user_of(visitor: Visitor) -> Any:
    query = "SELECT id FROM users WHERE username = $1"
    return await fetch(visitor.app, query, visitor.username)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_it_tells_who_the_user_is(
    accounts: Accounts, anna: Visitor, notebook: Application, method: str
) -> None:
    """IDT-3, IDT-4: the `sub` of the ID Token; never stored by a cache."""
    answer = await ask(accounts, notebook.tokens["access_token"], method)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    options = {"verify_signature": False}
    assert answer.json() == {
        "sub": jwt.decode(notebook.tokens["id_token"], options=options)["sub"],
        "name": "Anna Ek",
        "preferred_username": anna.username,
        "email": f"{anna.username}@example.com",
        "email_verified": False,
    }


@pytest.mark.parametrize(
    ("scope", "members"),
    [
        ("openid", {"sub"}),
        ("openid profile", {"sub", "name", "preferred_username"}),
        ("openid email", {"sub", "email", "email_verified"}),
        ("openid orders:read", {"sub"}),
    ],
)
async def test_it_tells_what_the_scope_stands_for(
    accounts: Accounts, anna: Visitor, scope: str, members: set[str]
) -> None:
    """IDT-3."""
    application = await allow(anna, scope=scope)
    answer = await ask(accounts, application.tokens["access_token"])
    assert set(answer.json()) == members


async def test_a_picture_and_a_new_name_are_told_at_once(
    accounts: Accounts, anna: Visitor, notebook: Application
) -> None:
    query = "UPDATE users SET full_name = 'Ånna', avatar_url = $2 WHERE username = $1"
    await execute(accounts.app, query, anna.username, "https://pictures.example/1")
    about = (await ask(accounts, notebook.tokens["access_token"])).json()
    assert (about["name"], about["picture"]) == ("Ånna", "https://pictures.example/1")


async def test_scopes_of_openid_connect_alone_are_for_this_endpoint(
    accounts: Accounts, anna: Visitor
) -> None:
    """AT-3: and for no API; with others the API is the audience, and UserInfo takes that too."""
    issuer = accounts.app.services.issuer
    for scope, audience in (
        ("openid profile email", f"{issuer}/userinfo"),
        ("openid orders:read", API),
    ):
        token = (await allow(anna, scope=scope)).tokens["access_token"]
        assert claims_of(token)["aud"] == audience
        assert (await ask(accounts, token)).status_code == 200


async def test_a_client_without_an_api_has_tokens_for_this_alone(
    accounts: Accounts, anna: Visitor
) -> None:
    """AT-3."""
    client = await make_web_client(accounts.app, audiences=(), scopes=("openid", "email"))
    token = (await allow(anna, client, scope="openid email")).tokens["access_token"]
    assert claims_of(token)["aud"] == f"{accounts.app.services.issuer}/userinfo"
    assert (await ask(accounts, token)).status_code == 200


async def test_without_openid_in_the_scope_it_tells_nothing(
    accounts: Accounts, anna: Visitor
) -> None:
    """IDT-4: 403, with the scope that is needed."""
    token = (await allow(anna, scope="orders:read")).tokens["access_token"]
    answer = await ask(accounts, token)
    assert (answer.status_code, answer.json()["error"]) == (403, "insufficient_scope")
    assert 'scope="openid"' in answer.headers["www-authenticate"]
    assert "sub" not in answer.json()


@pytest.mark.parametrize("authorization", [None, "", "Basic Zm9vOmJhcg==", "DPoP x", "Bearerx y"])
async def test_no_token_is_asked_for_without_an_error_code(
    accounts: Accounts, authorization: str | None
) -> None:
    """IDT-4: RFC 6750 §3.1."""
    headers = {} if authorization is None else {"authorization": authorization}
    answer = await ask(accounts, None, **headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == CHALLENGE


async def test_a_token_elsewhere_than_in_the_header_is_none(
    accounts: Accounts, notebook: Application
) -> None:
    """IDT-4: neither in the query nor in the body, where logs and histories keep it."""
    token = {"access_token": notebook.tokens["access_token"]}
    for answer in (
        await accounts.http.get("/userinfo", params=token),
        await accounts.http.post("/userinfo", data=token),
        await accounts.http.get("/userinfo", headers={"cookie": f"access_token={token}"}),
    ):
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, CHALLENGE)


async def test_two_headers_are_refused(accounts: Accounts, notebook: Application) -> None:
    bearer = ("authorization", f"Bearer {notebook.tokens['access_token']}")
    answer = await accounts.http.get("/userinfo", headers=[bearer, bearer])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


@pytest.mark.parametrize("kind", ["id_token", "refresh_token", "garbage", "é", "signature"])
async def test_another_kind_of_token_is_invalid(
    accounts: Accounts, notebook: Application, kind: str
) -> None:
    """IDT-4, ATK-13: an ID Token least of all, which many applications have."""
    access = notebook.tokens["access_token"]
    tokens = {
        **notebook.tokens,
        "garbage": "a.b.c",
        "é": "x=x",
        "signature": f"{access[:-8]}AAAAAAAA",
    }
    assert_invalid(await ask(accounts, tokens[kind]))


async def test_a_forged_token_is_invalid(accounts: Accounts, notebook: Application) -> None:
    """ATK-13: signed by us, with claims or a type that no access token of a session has."""
    forge = Forge(accounts.app, notebook.client.id)
    claims = claims_of(notebook.tokens["access_token"])

    def forged(typ: str | None = '"at+jwt"', **changes: str) -> str:
        return forge.token(header=forge.header(typ=typ), claims=members(claims, dict(changes)))

    assert (await ask(accounts, forged())).status_code == 200
    for changes in (
        {"iss": '"https://evil.example"'},
        {"exp": str(claims["iat"] - 1)},
        {"sub": '"nobody"'},
        {"sub": f'"{uuid4()}"'},
        {"sid": '"nonsense"'},
        {"sid": f'"{uuid4()}"'},
        {"client_id": '"nobody"'},
    ):
        assert_invalid(await ask(accounts, forged(**changes)))
    for typ in ("JWT", "logout+jwt", "token-introspection+jwt", "secevent+jwt", "dpop+jwt"):
        assert_invalid(await ask(accounts, forged(f'"{typ}"')))
    assert_invalid(await ask(accounts, forged(None)))


async def test_a_clients_own_token_is_about_no_user(accounts: Accounts) -> None:
    """IDT-4."""
    client: RegisteredClient = await register(accounts.app)
    form = {"grant_type": "client_credentials"}
    issued = await accounts.http.post("/token", data=form, auth=client.auth)
    assert_invalid(await ask(accounts, issued.json()["access_token"]))


async def test_a_token_that_ended_tells_nothing(accounts: Accounts, anna: Visitor) -> None:
    """IDT-4: revoked, its session ended, its consent withdrawn: at once."""
    tokens = [await allow(anna) for _ in range(3)]
    one, two, three = (each.tokens["access_token"] for each in tokens)
    await accounts.http.post("/revoke", data={"token": one}, auth=tokens[0].client.auth)
    await anna.send("sessions", session=claims_of(two)["sid"])
    await anna.send("consents", client=tokens[2].client.id)
    for token in (one, two, three):
        assert_invalid(await ask(accounts, token))


@pytest.mark.parametrize("end", [disable, delete])
async def test_a_user_who_is_gone_is_told_of_no_more(
    accounts: Accounts, anna: Visitor, notebook: Application, end: Any
) -> None:
    await end(accounts.app.services.database, await user_of(anna), OPERATOR)
    assert_invalid(await ask(accounts, notebook.tokens["access_token"]))
    assert not await anna.is_signed_on()


async def test_cookies_and_other_headers_change_nothing(
    accounts: Accounts, anna: Visitor, notebook: Application
) -> None:
    """ATK-108: who is signed on at the browser is nobody here."""
    cookie = "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())
    answer = await ask(accounts, None, cookie=cookie)
    assert answer.status_code == 401
    token = notebook.tokens["access_token"]
    plain = await ask(accounts, token)
    garbage = {"cookie": f"{cookie}; a=b; a=c", "dpop": "x", "accept": "application/jwt"}
    decorated = await ask(accounts, token, **garbage)
    assert (decorated.status_code, decorated.content) == (200, plain.content)
    assert "set-cookie" not in decorated.headers


@pytest.mark.parametrize("path", ["/userinfo/x.css", "/userinfo;.js", "/userinfo/", "/userinfo%2f"])
async def test_no_other_path_tells_it(accounts: Accounts, notebook: Application, path: str) -> None:
    """ATK-94: no cache takes it for a file."""
    bearer = {"authorization": f"Bearer {notebook.tokens['access_token']}"}
    assert (await accounts.http.get(path, headers=bearer)).status_code == 404


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE"])
async def test_other_methods_are_refused(
    accounts: Accounts, notebook: Application, method: str
) -> None:
    answer = await ask(accounts, notebook.tokens["access_token"], method)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, POST")
    assert json.loads(answer.content)["error"] == "method_not_allowed"
