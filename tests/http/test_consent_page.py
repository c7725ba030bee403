"""/consent: the decision is the user's, on exactly what was shown. AUTHZ-16, AUTHZ-17, ATK-71."""

from typing import Any

import pytest

from service.app import App
from service.flows.manage_clients import amend_client
from service.flows.origin import OPERATOR
from service.flows.own_sign_ons import withdraw_consent
from tests.conftest import RegisteredClient
from tests.http.at_pages import (
    COUNT_CODES,
    SIGN_ON,
    Visitor,
    assert_page,
    count,
    make_person,
    sign_on,
    signed_on,
    tokens_of,
)
from tests.http.browsing import (
    CALLBACK,
    SCOPES,
    Pkce,
    hidden,
    make_web_client,
    obtain_code,
    response_of,
)
from tests.sessions import fetch

PKCE = Pkce()
GIVEN = "SELECT scopes FROM consents WHERE user_id = $1 AND client_id = $2"


@pytest.fixture
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


@pytest.fixture
async def someone(app: App) -> Visitor:
    return await signed_on(app)


async def test_the_page_says_who_asks_for_what(app: App, someone: Visitor) -> None:
    """AUTHZ-17, ATK-74: its name, the host, each scope, who is signed on; all escaped."""
    name = "<b>Bank</b> \u202eknaB"
    client = await make_web_client(app, name="<b>Bank</b>")
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    assert_page(page, 200)
    assert "&lt;b&gt;Bank&lt;/b&gt;" in page.text
    assert "<b>" not in page.text
    assert "app.example" in page.text
    assert "orders:read" in page.text
    assert str(someone.user.username) in page.text
    assert name not in page.text


async def test_what_was_allowed_is_remembered(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-17: beside what was allowed before; of this client and this user alone."""
    await obtain_code(someone.browser, client, PKCE, scope="openid")
    assert await fetch(app, GIVEN, someone.user.id, client.id) == ["openid"]
    await obtain_code(someone.browser, client, PKCE, scope="openid email")
    assert await fetch(app, GIVEN, someone.user.id, client.id) == ["email", "openid"]
    silent = {"scope": "openid email", "prompt": "none"}
    assert "code" in response_of(await someone.ask(client, PKCE, **silent))
    for other in ({**silent, "scope": "openid offline_access"}, {**silent, "scope": "orders:read"}):
        answer = await someone.ask(client, PKCE, **other)
        assert response_of(answer)["error"] == "consent_required"
    answer = await someone.ask(await make_web_client(app), PKCE, **silent)
    assert response_of(answer)["error"] == "consent_required"
    answer = await (await signed_on(app)).ask(client, PKCE, **silent)
    assert response_of(answer)["error"] == "consent_required"


@pytest.mark.parametrize("uri", ["http://127.0.0.1:8080/cb", "com.example.app:/cb"])
async def test_an_app_on_a_device_is_asked_for_each_time(
    app: App, someone: Visitor, uri: str
) -> None:
    """AUTHZ-17: RFC 8252 §8.6, whatever runs there could be it."""
    native = await make_web_client(app, type="public", redirect_uris=(uri,))
    for _ in range(2):
        page = await someone.browser.follow(await someone.ask(native, PKCE, redirect_uri=uri))
        assert_page(page, 200)
        answer = await someone.browser.submit(page, decision="allow")
        assert answer.headers["location"].startswith(f"{uri}?code=wwc_")
    answer = await someone.ask(native, PKCE, redirect_uri=uri, prompt="none")
    assert response_of(answer)["error"] == "consent_required"


async def test_the_operator_may_answer_for_all(app: App, someone: Visitor) -> None:
    """AUTHZ-17, AUTHZ-10: unless the client wants its users asked."""
    client = await make_web_client(app, consent="skip")
    assert "code" in response_of(await someone.ask(client, PKCE, prompt="none"))
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="consent"))
    assert page.request.url.path == "/consent"


async def test_access_that_outlives_the_sign_on_is_the_users_to_allow(
    app: App, someone: Visitor
) -> None:
    """AUTHZ-17, RT-17: also where the operator answers for all else (Core §11); once."""
    client, scope = await make_web_client(app, consent="skip"), "openid offline_access"
    answer = await someone.ask(client, PKCE, scope=scope, prompt="none")
    assert response_of(answer)["error"] == "consent_required"
    page = await someone.browser.follow(await someone.ask(client, PKCE, scope=scope))
    assert page.request.url.path == "/consent"
    assert "code" in response_of(await someone.browser.submit(page, decision="allow"))
    assert "code" in response_of(await someone.ask(client, PKCE, scope=scope, prompt="none"))
    services = app.services
    await withdraw_consent(services.database, someone.user.id, client.id, OPERATOR)
    page = await someone.browser.follow(await someone.ask(client, PKCE, scope=scope))
    assert page.request.url.path == "/consent"


async def test_a_decision_needs_the_token_of_its_own_request(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """LOGIN-4, AUTHZ-17, ATK-71: not of another request, of another session, nor none."""
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    other = await someone.browser.follow(await someone.ask(client, Pkce(), scope="openid"))
    mallory = await signed_on(app)
    foreign = await mallory.browser.follow(await mallory.ask(client, PKCE))
    fields = hidden(page)
    for csrf in ("", hidden(other)["csrf"], hidden(foreign)["csrf"], fields["csrf"].swapcase()):
        sent = {**fields, "csrf": csrf, "decision": "allow"}
        assert_page(await someone.browser.post("/consent", **sent), 403)
    mixed = {**fields, "request": hidden(other)["request"], "decision": "allow"}
    assert_page(await someone.browser.post("/consent", **mixed), 403)
    assert await count(app, COUNT_CODES, client.id) == 0
    assert "code" in response_of(await someone.browser.submit(page, decision="allow"))


async def test_nothing_that_is_sent_with_the_decision_changes_it(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-17, ATK-71: the stored request decides; another scope than was shown is shown again."""
    page = await someone.browser.follow(await someone.ask(client, PKCE, scope="openid"))
    fields = hidden(page) | {"decision": "allow"}
    more = {**fields, "scope": "openid orders:read"}
    again = await someone.browser.post("/consent", **more)
    assert_page(again, 200)
    assert await count(app, COUNT_CODES, client.id) == 0
    others = {"client_id": "x", "redirect_uri": "https://evil.example/", "resource": "https://x"}
    answer = await someone.browser.post("/consent", **fields, **others)
    assert answer.headers["location"].startswith(CALLBACK)
    code = response_of(answer)["code"]
    assert (await tokens_of(app, client, code, PKCE))["scope"] == "openid"


async def test_a_registration_that_grew_is_shown_before_it_is_allowed(
    app: App, someone: Visitor
) -> None:
    """AUTHZ-17: what the client may not have was left out of the page."""
    small = tuple(scope for scope in SCOPES if scope != "orders:read")
    client = await make_web_client(app, scopes=small)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    assert "orders:read" not in page.text
    services = app.services
    await amend_client(services.database, client.id, {"scopes": SCOPES}, services.issuer)
    services.clients.drop(client.id)
    again = await someone.browser.submit(page, decision="allow")
    assert_page(again, 200)
    assert "orders:read" in again.text
    assert "code" in response_of(await someone.browser.submit(again, decision="allow"))


@pytest.mark.parametrize("decision", ["", "yes", "ALLOW", "allow "])
async def test_only_the_word_allows(
    app: App, someone: Visitor, client: RegisteredClient, decision: str
) -> None:
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    assert_page(await someone.browser.submit(page, decision=decision))
    assert await count(app, COUNT_CODES, client.id) == 0


async def test_denying_goes_back_with_the_state(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-8, AC-10, ATK-67: to the registered redirect URI alone."""
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    answer = await someone.browser.submit(page, decision="deny")
    response = response_of(answer)
    assert answer.headers["location"].startswith(CALLBACK)
    assert (response["error"], response["state"]) == ("access_denied", "a state +%é")
    assert response["iss"] == app.services.issuer


async def test_who_signed_out_meanwhile_allows_nothing(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-17, ATK-71."""
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    out = await someone.browser.get("/logout")
    await someone.browser.submit(out, decision="sign_out")
    for decision in ("allow", "deny"):
        assert_page(await someone.browser.submit(page, decision=decision), 403)
    answer = await someone.browser.get("/consent", request=hidden(page)["request"])
    assert answer.headers["location"].startswith("/login?request=")
    assert await count(app, COUNT_CODES, client.id) == 0


async def test_one_users_page_is_not_anothers_decision(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-17, ATK-71: somebody else signed on at the same browser since."""
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    await sign_on(someone.browser, await make_person(app))
    assert_page(await someone.browser.submit(page, decision="allow"), 403)
    assert await count(app, COUNT_CODES, client.id) == 0


async def test_somebody_else_may_sign_in_instead(
    app: App, someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-17: the code is that of who allowed it."""
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    other, before = await make_person(app), someone.browser.cookies[SIGN_ON]
    page = await someone.browser.submit(page, decision="switch")
    assert_page(page, 200)
    names: dict[str, Any] = {"username": other.username, "password": "four words for Ada"}
    page = await someone.browser.follow(await someone.browser.submit(page, **names))
    assert someone.browser.cookies[SIGN_ON] != before
    assert str(other.username) in page.text
    await someone.browser.submit(page, decision="allow")
    query = "SELECT user_id FROM authorization_codes WHERE client_id = $1"
    assert await fetch(app, query, client.id) == other.id


async def test_consent_by_form_post_goes_by_a_page(
    someone: Visitor, client: RegisteredClient
) -> None:
    """AUTHZ-15, AC-11: the code is in no address."""
    request = {"response_mode": "form_post"}
    page = await someone.browser.follow(await someone.ask(client, PKCE, **request))
    answer = await someone.browser.submit(page, decision="allow")
    assert_page(answer, 200)
    fields = hidden(answer)
    assert fields.keys() == {"code", "state", "iss"}
    assert f'action="{CALLBACK}"' in answer.text


PAGES = ("/login", "/register", "/account", "/logout", "/authorize", "/consent")


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_every_answer_is_guarded(someone: Visitor, path: str, method: str) -> None:
    """AUTHZ-16, ATK-72, BCP-17: pages, refusals and redirects alike; none loads from elsewhere."""
    answer = await someone.browser.http.request(method, path)
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "//" not in policy
