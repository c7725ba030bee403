"""CORS at /token, /revoke and /userinfo: browser apps of the code flow. TOK-40, ATK-73."""

import secrets
from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import revoke_client
from tests.conftest import RegisteredClient, register
from tests.http.account_pages import Visitor, visit
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import Pkce, obtain_code, request_of

PATHS = ("/token", "/revoke", "/userinfo")
PROTECTED = pytest.mark.parametrize("path", PATHS)
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


async def make_app_of(app: App, *uris: str) -> RegisteredClient:
    """A browser app: a public client of the code flow."""
    return await register(
        app,
        type="public",
        grant_types=("authorization_code", "refresh_token"),
        scopes=("openid", "profile", "email"),
        redirect_uris=uris,
    )


def new_origin() -> str:
    return f"https://spa-{secrets.token_hex(6)}.example"


def readers(answer: httpx.Response) -> list[str]:
    """Whose pages may read the answer; never with credentials, and never from a shared cache."""
    assert answer.headers.get_list("vary") == ["Origin"]
    assert "access-control-allow-credentials" not in answer.headers
    return answer.headers.get_list("access-control-allow-origin")


async def test_an_app_does_all_it_needs_from_its_page(accounts: Accounts, anna: Visitor) -> None:
    """TOK-40: it redeems its code, asks who signed in, refreshes and revokes."""
    origin = new_origin()
    client = await make_app_of(accounts.app, f"{origin}/callback?x=1")
    pkce, http, page = Pkce(), anna.browser.http, {"origin": origin}
    changes = {"redirect_uri": f"{origin}/callback?x=1", "scope": "openid profile"}
    code = await obtain_code(anna.browser, client, pkce, **changes)
    form = {
        "grant_type": "authorization_code",
        "client_id": client.id,
        "code": code,
        "redirect_uri": changes["redirect_uri"],
        "code_verifier": pkce.verifier,
    }
    answer = await http.post("/token", data=form, headers=page)
    assert (answer.status_code, readers(answer)) == (200, [origin])
    tokens = answer.json()
    accounts.app.services.app_origins._read_at = float("-inf")
    bearer = {**page, "authorization": f"Bearer {tokens['access_token']}"}
    for method in ("GET", "POST"):
        answer = await http.request(method, "/userinfo", headers=bearer)
        assert (answer.status_code, readers(answer)) == (200, [origin])
    token = tokens["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": client.id, "refresh_token": token}
    answer = await http.post("/token", data=form, headers=page)
    assert (answer.status_code, readers(answer)) == (200, [origin])
    form = {"client_id": client.id, "token": answer.json()["refresh_token"]}
    answer = await http.post("/revoke", data=form, headers=page)
    assert (answer.status_code, readers(answer)) == (200, [origin])
    answer = await http.get("/userinfo", headers=bearer)
    assert (answer.status_code, readers(answer)) == (401, [origin])
    assert "www-authenticate" in answer.headers["access-control-expose-headers"]


@PROTECTED
async def test_a_preflight_is_answered_to_apps_alone(
    accounts: Accounts, anna: Visitor, path: str
) -> None:
    """TOK-40: by the exact origin of some client."""
    origin = new_origin()
    await make_app_of(accounts.app, f"{origin}/callback", "http://127.0.0.1:3000/cb")
    accounts.app.services.app_origins._read_at = float("-inf")
    for page in (origin, "http://127.0.0.1:3000"):
        answer = await anna.browser.http.options(path, headers={"origin": page, **ASKS})
        assert (answer.status_code, answer.content, readers(answer)) == (204, b"", [page])
        assert "POST" in answer.headers["access-control-allow-methods"]
        assert answer.headers["access-control-allow-headers"] == "authorization, content-type"
    for page in strangers(origin):
        answer = await anna.browser.http.options(path, headers={"origin": page, **ASKS})
        assert (answer.status_code, readers(answer)) == (204, [])
        assert "access-control-allow-methods" not in answer.headers
    answer = await anna.browser.http.options(path, headers={"origin": origin})
    assert answer.status_code == 405


def strangers(origin: str) -> list[str]:
    return [
        "https://evil.example",
        "null",
        "*",
        "",
        f"{origin}.evil.example",
        f"{origin}:8443",
        f"{origin}/",
        f"{origin}/callback",
        origin.upper(),
        origin.replace("https", "http"),
        f"{origin} https://evil.example",
        "http://127.0.0.1:3001",
    ]


@PROTECTED
async def test_a_strangers_page_reads_nothing(accounts: Accounts, anna: Visitor, path: str) -> None:
    """ATK-73: `null` and look-alikes, with a client's name and cookies or without."""
    origin = new_origin()
    client = await make_app_of(accounts.app, f"{origin}/callback")
    cookie = "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())
    for page in strangers(origin):
        for form in ({}, {"client_id": client.id, "grant_type": "refresh_token", "token": "x"}):
            headers = {"origin": page, "cookie": cookie}
            answer = await anna.browser.http.post(path, data=form, headers=headers)
            assert answer.status_code in (400, 401, 200)
            assert readers(answer) == []


async def test_another_apps_page_reads_nothing(accounts: Accounts, anna: Visitor) -> None:
    """TOK-40: on the request itself the origin has to be that client's, right secret or wrong."""
    ours, theirs = new_origin(), new_origin()
    client = await make_app_of(accounts.app, f"{ours}/callback")
    await make_app_of(accounts.app, f"{theirs}/callback")
    accounts.app.services.app_origins._read_at = float("-inf")
    http, form = anna.browser.http, {"client_id": client.id, "grant_type": "refresh_token"}
    for page, found in ((ours, [ours]), (theirs, [])):
        for more in ({"refresh_token": "x"}, {"client_secret": "x"}, {}):
            data = {**form, **more}
            answer = await http.post("/token", data=data, headers={"origin": page})
            assert (answer.status_code, readers(answer)) == (400, found)
    unnamed = await http.post("/token", data={}, headers={"origin": theirs})
    assert (unnamed.status_code, readers(unnamed)) == (400, [])


async def test_two_origins_are_none(accounts: Accounts, anna: Visitor) -> None:
    """ATK-73."""
    origin = new_origin()
    client = await make_app_of(accounts.app, f"{origin}/callback")
    answer = await anna.browser.http.post(
        "/token",
        content=f"client_id={client.id}",
        headers=[
            ("content-type", "application/x-www-form-urlencoded"),
            *(("origin", each) for each in (origin, "https://evil.example")),
        ],
    )
    assert readers(answer) == []


async def test_what_is_no_page_is_told_the_same(accounts: Accounts, anna: Visitor) -> None:
    client = await make_app_of(accounts.app, f"{new_origin()}/callback")
    answer = await anna.browser.http.post("/token", data={"client_id": client.id})
    assert readers(answer) == []


async def test_a_switched_off_app_reads_nothing(accounts: Accounts, anna: Visitor) -> None:
    services, origin = accounts.app.services, new_origin()
    client = await make_app_of(accounts.app, f"{origin}/callback")
    await revoke_client(services.database, client.id, enabled=False)
    services.app_origins._read_at = float("-inf")
    form, page = {"client_id": client.id}, {"origin": origin}
    assert readers(await anna.browser.http.post("/token", data=form, headers=page)) == []
    answer = await anna.browser.http.options("/token", headers={**page, **ASKS})
    assert readers(answer) == []


@pytest.mark.parametrize(
    "path",
    [
        *("/authorize", "/authorize/continue", "/login", "/register", "/consent", "/logout"),
        *("/account", "/account/password", "/introspect", "/admin/clients"),
    ],
)
async def test_no_page_of_ours_is_ever_read_by_another(
    accounts: Accounts, anna: Visitor, path: str
) -> None:
    """TOK-40, ATK-73: browsers are sent there; scripts have no business there."""
    origin = new_origin()
    client = await make_app_of(accounts.app, f"{origin}/callback")
    params = request_of(client, Pkce(), redirect_uri=f"{origin}/callback", scope="openid")
    for method in ("GET", "POST", "OPTIONS"):
        answer = await anna.browser.http.request(
            method,
            path,
            params=params if path == "/authorize" else None,
            headers={"origin": origin, **(ASKS if method == "OPTIONS" else {})},
        )
        assert not [name for name in answer.headers if name.startswith("access-control-")]
