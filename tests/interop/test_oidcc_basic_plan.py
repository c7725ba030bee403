"""oidcc-basic-certification-test-plan, and oidcc-formpost-basic-…: each test under its name."""

from collections.abc import Awaitable, Callable

import pytest

from service.app import App
from tests.conftest import RegisteredClient
from tests.http.browsing import CALLBACK, Person, make_web_client, open_browser, sign_up
from tests.interop.oidcc import Login, Suite

NO_PROMPT = {"login_required", "consent_required", "interaction_required"}
OTHER = "https://app.example/second"


@pytest.fixture(scope="module")
async def person(app: App) -> Person:
    return await sign_up(open_browser(app))


@pytest.fixture(scope="module")
async def make_plan_client(app: App) -> Callable[[], Awaitable[RegisteredClient]]:
    """CONF-3, CONF-4: a client without PKCE, with two redirect URIs."""

    async def make() -> RegisteredClient:
        scopes = ("openid", "profile", "email", "offline_access")
        uris = (CALLBACK, OTHER)
        return await make_web_client(app, require_pkce=False, scopes=scopes, redirect_uris=uris)

    return make


@pytest.fixture(scope="module")
async def client(make_plan_client: Callable[[], Awaitable[RegisteredClient]]) -> RegisteredClient:
    return await make_plan_client()


@pytest.fixture(params=["query", "form_post"])
def suite(
    request: pytest.FixtureRequest, app: App, client: RegisteredClient, person: Person
) -> Suite:
    return Suite(app, client, person, request.param)


def same_login(first: Login, second: Login) -> None:
    """Nobody logged in between."""
    for name in ("sub", "auth_time"):
        assert first.claims[name] == second.claims[name]


async def test_oidcc_server(suite: Suite) -> None:
    """CONF-2: codes and tokens that can't be guessed."""
    login = await suite.log_in()
    assert len(login.response["code"]) >= 22
    assert len(login.tokens["access_token"]) >= 22
    assert (await suite.userinfo(login)).status_code == 200


async def test_oidcc_response_type_missing(suite: Suite) -> None:
    response = suite.read(await suite.ask(suite.request(response_type=None)))
    assert response["error"] == "invalid_request"


async def test_oidcc_idtoken_signature(suite: Suite) -> None:
    """IDT-2: RS256 by default, and a kid; every login is checked for both."""
    await suite.log_in()


async def test_oidcc_userinfo(suite: Suite) -> None:
    """oidcc-userinfo-get, oidcc-userinfo-post-header, oidcc-userinfo-post-body. IDT-4."""
    login = await suite.log_in()
    for method in ("GET", "POST"):
        answer = await suite.userinfo(login, method)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["sub"] == login.claims["sub"]
    form = {"access_token": login.tokens["access_token"]}
    assert (await suite.browser.http.post("/userinfo", data=form)).status_code == 401


async def test_oidcc_ensure_request_without_nonce_succeeds_for_code_flow(suite: Suite) -> None:
    """CONF-3."""
    login = await suite.log_in(nonce=None)
    assert "nonce" not in login.claims


@pytest.mark.parametrize(
    ("scope", "claims"),
    [
        ("openid profile", {"name", "preferred_username"}),
        ("openid email", {"email", "email_verified"}),
        ("openid address", set[str]()),
        ("openid phone", set[str]()),
        ("openid email phone address profile", {"name", "email", "email_verified"}),
        ("email openid", {"email", "email_verified"}),
    ],
    ids=["profile", "email", "address", "phone", "all", "alternate_happy_flow"],
)
async def test_oidcc_scope(suite: Suite, scope: str, claims: set[str]) -> None:
    """IDT-3, AUTHZ-14."""
    login = await suite.log_in(scope=scope)
    about = (await suite.userinfo(login)).json()
    assert about.keys() >= claims | {"sub"}
    assert isinstance(about.get("email_verified", False), bool)


@pytest.mark.parametrize(
    "parameter",
    [
        {"display": "page"},
        {"display": "popup"},
        {"extra": "foobar"},
        {"login_hint": "buffy@localhost"},
        {"ui_locales": "se"},
        {"claims_locales": "se"},
        {"acr_values": "1 2"},
        {"claims": '{"userinfo":{"name":{"essential":true}}}'},
    ],
    ids=lambda it: next(iter(it)),
)
async def test_oidcc_request_with(suite: Suite, parameter: dict[str, str]) -> None:
    """AUTHZ-5, AUTHZ-13."""
    login = await suite.log_in(**parameter)
    assert (await suite.userinfo(login)).json()["sub"] == login.claims["sub"]


async def test_oidcc_prompt_login(suite: Suite) -> None:
    """AUTHZ-10."""
    await suite.log_in()
    await suite.wait(1)
    first = await suite.log_in()
    suite.shown.clear()
    second = await suite.log_in(prompt="login")
    assert suite.shown == ["Confirm that it&#39;s you"]
    assert second.claims["auth_time"] > first.claims["auth_time"]


async def test_oidcc_prompt_none_not_logged_in(suite: Suite) -> None:
    """AUTHZ-10."""
    response = await suite.authorize(prompt="none")
    assert response["error"] in NO_PROMPT
    assert response.keys() <= {"error", "error_description", "state", "iss"}
    assert suite.shown == []


async def test_oidcc_prompt_none_logged_in(suite: Suite) -> None:
    """AUTHZ-10."""
    first = await suite.log_in()
    suite.shown.clear()
    same_login(first, await suite.log_in(prompt="none"))
    assert suite.shown == []


async def test_oidcc_max_age_1(suite: Suite) -> None:
    """AUTHZ-11."""
    await suite.log_in()
    await suite.wait(2)
    first = await suite.log_in()
    suite.shown.clear()
    second = await suite.log_in(max_age="1")
    assert suite.shown == ["Confirm that it&#39;s you"]
    assert second.claims["auth_time"] > first.claims["auth_time"]


async def test_oidcc_max_age_10000(suite: Suite) -> None:
    """AUTHZ-11."""
    first = await suite.log_in(max_age="15000")
    suite.shown.clear()
    same_login(first, await suite.log_in(max_age="10000"))
    assert suite.shown == []


async def test_oidcc_id_token_hint(suite: Suite) -> None:
    """AUTHZ-13."""
    first = await suite.log_in()
    same_login(first, await suite.log_in(prompt="none", id_token_hint=first.id_token))


async def test_oidcc_codereuse(suite: Suite) -> None:
    """oidcc-codereuse and oidcc-codereuse-30seconds. AC-7."""
    login = await suite.log_in()
    answer = await suite.redeem(login.response["code"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert (await suite.userinfo(login)).status_code == 401


async def test_oidcc_ensure_registered_redirect_uri(suite: Suite) -> None:
    """AUTHZ-2, AUTHZ-3."""
    page = await suite.ask(suite.request(redirect_uri=f"{CALLBACK}/more"))
    assert (page.status_code, "location" in page.headers) == (400, False)
    assert "redirect_uri" in page.text


async def test_oidcc_ensure_post_request_succeeds(suite: Suite) -> None:
    """AUTHZ-1."""
    request = suite.request()
    page = await suite.browser.follow(await suite.browser.post("/authorize", **request))
    await suite.take(request, await suite.finish(page))


async def test_oidcc_server_client_secret_post(suite: Suite) -> None:
    """TOK-15."""
    response = await suite.authorize()
    form = {
        "grant_type": "authorization_code",
        "code": response["code"],
        "redirect_uri": CALLBACK,
        "client_id": suite.client.id,
        "client_secret": suite.client.secret,
    }
    answer = await suite.browser.http.post("/token", data=form)
    assert answer.status_code == 200, answer.text
    await suite.read_id_token(answer.json())


@pytest.mark.parametrize("name", ["request", "request_uri"])
async def test_oidcc_request_object_rejected_as_unsupported(suite: Suite, name: str) -> None:
    """oidcc-request-uri-unsigned-…, oidcc-unsigned-request-object-…. AUTHZ-8."""
    value = "eyJhbGciOiJub25lIn0.e30." if name == "request" else "https://app.example/r.jwt"
    response = suite.read(await suite.ask(suite.request(**{name: value})))
    assert response["error"] == f"{name}_not_supported"


async def test_oidcc_ensure_request_object_with_redirect_uri(suite: Suite) -> None:
    """AUTHZ-2: what the request object says of a redirect URI changes nothing."""
    page = await suite.ask(
        suite.request(redirect_uri="https://evil.example", request="eyJhbGciOiJub25lIn0.e30.")
    )
    assert (page.status_code, "location" in page.headers) == (400, False)


async def test_oidcc_refresh_token(
    suite: Suite, make_plan_client: Callable[[], Awaitable[RegisteredClient]]
) -> None:
    """RT-1, RT-16."""
    login = await suite.log_in(scope="openid offline_access", prompt="consent")
    form = {"grant_type": "refresh_token", "refresh_token": login.tokens["refresh_token"]}
    other = await make_plan_client()
    answer = await suite.browser.http.post("/token", data=form, auth=other.auth)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    answer = await suite.browser.http.post("/token", data=form, auth=suite.client.auth)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["cache-control"]
    claims = await suite.read_id_token(answer.json())
    for name in ("iss", "sub", "aud", "auth_time"):
        assert claims[name] == login.claims[name]
    assert "nonce" not in claims


async def test_oidcc_ensure_request_with_valid_pkce_succeeds(suite: Suite) -> None:
    """AC-2, AC-3: who needs none may send it."""
    pkce = {
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
    }
    response = await suite.authorize(**pkce)
    form = {
        "grant_type": "authorization_code",
        "code": response["code"],
        "redirect_uri": CALLBACK,
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }
    answer = await suite.browser.http.post("/token", data=form, auth=suite.client.auth)
    assert answer.status_code == 200, answer.text
