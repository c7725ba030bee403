"""oidcc-config-certification-test-plan and oidcc-rp-initiated-logout-certification-test-plan."""

import base64
import json
import re
from urllib.parse import urlsplit

import httpx
import pytest

from service.app import App
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.http.browsing import Person, make_web_client, open_browser, sign_up
from tests.interop.oidcc import Login, Suite

BYE = "https://app.example/post_logout_redirect"
STATE = "s" * 128
_SCOPE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")


@pytest.fixture(scope="module")
async def person(app: App) -> Person:
    return await sign_up(open_browser(app))


@pytest.fixture
async def suite(app: App, person: Person) -> Suite:
    scopes, byes = ("openid", "profile", "email"), (BYE,)
    client = await make_web_client(
        app, require_pkce=False, scopes=scopes, post_logout_redirect_uris=byes
    )
    return Suite(app, client, person, "query")


async def test_oidcc_discovery_endpoint_verification(app: App, http: httpx.AsyncClient) -> None:
    """META-1 to META-3; oidcc-rp-initiated-logout-discovery-endpoint-verification, too."""
    answer = await http.get("/.well-known/openid-configuration")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    said = answer.json()
    assert said["issuer"] == app.services.issuer
    assert "code" in said["response_types_supported"]
    assert "public" in said["subject_types_supported"]
    assert "RS256" in said["id_token_signing_alg_values_supported"]
    assert "openid" in said["scopes_supported"]
    assert all(_SCOPE.fullmatch(it) for it in said["scopes_supported"])
    assert "authorization_code" in said["grant_types_supported"]
    assert said["claims_supported"]
    assert isinstance(said["code_challenge_methods_supported"], list)
    # Of https, wherever the issuer is.
    ours = urlsplit(app.services.issuer)
    names = [name for name in said if name.endswith("_endpoint")]
    assert {"authorization_endpoint", "token_endpoint", "userinfo_endpoint"} < set(names)
    assert "end_session_endpoint" in names
    for name in (*names, "jwks_uri"):
        assert (urlsplit(said[name]).scheme, urlsplit(said[name]).netloc) == ours[:2]
    keys = (await http.get(urlsplit(said["jwks_uri"]).path)).json()["keys"]
    assert keys
    assert len({key["kid"] for key in keys}) == len(keys)
    assert all(key["use"] == "sig" and "d" not in key for key in keys)


async def sign_out(suite: Suite, login: Login, **changes: str | None) -> httpx.Response:
    """The first answer to the client's request; None leaves a parameter out."""
    members = {
        "id_token_hint": login.id_token,
        "post_logout_redirect_uri": BYE,
        "state": STATE,
        **changes,
    }
    sent = {name: value for name, value in members.items() if value is not None}
    return await suite.browser.get("/logout", **sent)


async def is_signed_out(suite: Suite) -> bool:
    """Whether `prompt=none` says so."""
    response = await suite.authorize(prompt="none")
    return response.get("error") == "login_required"


@pytest.mark.parametrize("state", [STATE, None], ids=["", "no_state"])
async def test_oidcc_rp_initiated_logout(suite: Suite, state: str | None) -> None:
    """oidcc-rp-initiated-logout, …-no-state. RPL-1."""
    answer = await sign_out(suite, await suite.log_in(), state=state)
    assert answer.status_code == 303
    assert answer.headers["location"] == (f"{BYE}?state={state}" if state else BYE)
    assert await is_signed_out(suite)


async def test_oidcc_rp_initiated_logout_no_post_logout_redirect_uri(suite: Suite) -> None:
    """RPL-1."""
    answer = await sign_out(suite, await suite.log_in(), post_logout_redirect_uri=None)
    assert (answer.status_code, "You are signed out" in answer.text) == (200, True)
    assert await is_signed_out(suite)


@pytest.mark.parametrize("state", [None, STATE], ids=["no_params", "only_state"])
async def test_oidcc_rp_initiated_logout_nothing_proven(suite: Suite, state: str | None) -> None:
    """oidcc-rp-initiated-logout-no-params, …-only-state. RPL-1: the user is asked, and out then."""
    login = await suite.log_in()
    page = await sign_out(
        suite, login, id_token_hint=None, post_logout_redirect_uri=None, state=state
    )
    assert page.status_code == 200
    assert not await is_signed_out(suite)
    answer = await suite.browser.submit(page, decision="sign_out")
    assert "You are signed out" in answer.text
    assert await is_signed_out(suite)


def unsigned(token: str) -> str:
    """The same claims, and the signature alg of none."""
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    return f"{header.rstrip(b'=').decode()}.{token.split('.')[1]}."


def signed_by_another(suite: Suite, login: Login) -> str:
    key = PrivateKey.generate()
    key.kid = "another"
    return sign(key, "JWT", login.claims)


@pytest.mark.parametrize("what", ["bad_uri", "uri_with_query", "no_hint", "modified", "bad_hint"])
async def test_oidcc_rp_initiated_logout_refused(suite: Suite, what: str) -> None:
    """RPL-1, ATK-67: no redirect, and what proves nothing signs nobody out.

    oidcc-rp-initiated-logout-bad-post-logout-redirect-uri, …-query-added-to-…, …-no-id-token-hint,
    …-modified-id-token-hint, …-bad-id-token-hint.
    """
    login = await suite.log_in()
    changes: dict[str, dict[str, str | None]] = {
        "bad_uri": {"post_logout_redirect_uri": "https://app.example/another"},
        "uri_with_query": {"post_logout_redirect_uri": f"{BYE}?foo=bar"},
        "no_hint": {"id_token_hint": None},
        "modified": {"id_token_hint": unsigned(login.id_token)},
        "bad_hint": {"id_token_hint": signed_by_another(suite, login)},
    }
    answer = await sign_out(suite, login, **changes[what])
    assert (answer.status_code, "location" in answer.headers) == (200, False)
    proven = what in {"bad_uri", "uri_with_query"}
    assert await is_signed_out(suite) is proven
