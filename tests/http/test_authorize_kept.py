"""Requests that wait for a person: whose they are, answered once each, and no flood of them."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from service.app import App, open_database
from service.environment import Secret
from service.flows.client_cache import ClientCache
from service.flows.prove_password import PasswordProof
from service.flows.sign_on import SignOns
from service.pages.render import Page, Pages
from service.pages.views import SignIn
from service.redis.login_limits import LoginLimit
from service.redis.rate_limits import RateLimit
from tests.conftest import MakeSettings, RegisteredClient
from tests.http.accounts import DEAD_REDIS
from tests.http.at_pages import (
    COUNT_CODES,
    assert_page,
    changed,
    count,
    make_person,
    sign_in,
    signed_on,
    tokens_of,
    visitor,
)
from tests.http.browsing import (
    CALLBACK,
    Browser,
    Pkce,
    hidden,
    make_web_client,
    open_browser,
    request_of,
    response_of,
)
from tests.sessions import execute, fetch

PKCE = Pkce()
MINUTE = timedelta(minutes=1)


@pytest.fixture
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


async def handle_of(browser: Browser, client: RegisteredClient, **changes: Any) -> str:
    answer = await browser.get("/authorize", **request_of(client, PKCE, **changes))
    return answer.headers["location"].partition("request=")[2]


async def test_a_handle_is_of_no_use_in_another_browser(app: App, client: RegisteredClient) -> None:
    """AUTHZ-17, ATK-71: it was stolen from an address bar; its own browser goes on."""
    owner, thief = await signed_on(app), await signed_on(app)
    handle = await handle_of(owner.browser, client)
    for path in ("/authorize/continue", "/login", "/consent", "/register"):
        assert_page(await thief.browser.get(path, request=handle))
    page = await owner.browser.get("/consent", request=handle)
    assert_page(page, 200)
    assert_page(await thief.browser.post("/consent", **hidden(page), decision="allow"), 403)
    assert "code" in response_of(await owner.browser.submit(page, decision="allow"))


async def test_a_posted_request_is_that_of_the_first_browser(
    app: App, client: RegisteredClient
) -> None:
    """AUTHZ-1, AUTHZ-17."""
    answer = await visitor(app).http.post("/authorize", data=request_of(client, PKCE))
    first, second = await signed_on(app), await signed_on(app)
    page = await first.browser.follow(answer)
    assert_page(page, 200)
    assert_page(await second.browser.follow(answer))
    assert "code" in response_of(await first.browser.submit(page, decision="allow"))


@pytest.mark.parametrize("handle", ["x", "é", "\r\nSet-Cookie: a=b", "A" * 43, "a" * 8000])
async def test_a_made_up_handle_is_a_page(app: App, handle: str) -> None:
    """LOGIN-5, ATK-66: and comes back nowhere."""
    someone = await signed_on(app)
    for path in ("/authorize/continue", "/login", "/consent", "/register"):
        answer = await someone.browser.get(path, request=handle)
        assert_page(answer)
        assert handle not in answer.text or len(handle) == 1


async def test_a_request_waits_for_half_an_hour(app: App, client: RegisteredClient) -> None:
    """AUTHZ-18."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    late = "UPDATE authorization_requests SET expires_at = clock_timestamp() WHERE client_id = $1"
    await execute(app, late, client.id)
    assert_page(await someone.browser.submit(page, decision="allow"))
    assert_page(await someone.browser.submit(page, decision="deny"))
    assert_page(await someone.browser.get("/consent", request=hidden(page)["request"]))
    assert await count(app, COUNT_CODES, client.id) == 0


async def test_a_request_is_answered_once(app: App, client: RegisteredClient) -> None:
    """AUTHZ-18, ATK-71: back and again, by whatever page."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    assert "code" in response_of(await someone.browser.submit(page, decision="allow"))
    assert_page(await someone.browser.submit(page, decision="allow"))
    assert_page(await someone.browser.submit(page, decision="deny"))
    for path in ("/authorize/continue", "/login", "/consent"):
        assert_page(await someone.browser.get(path, request=hidden(page)["request"]))
    assert await count(app, COUNT_CODES, client.id) == 1


async def test_a_refused_request_is_answered_too(app: App, client: RegisteredClient) -> None:
    """AUTHZ-18, AUTHZ-8: the user changed the mind too late."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    response = response_of(await someone.browser.submit(page, decision="deny"))
    assert (response["error"], response["iss"]) == ("access_denied", app.services.issuer)
    assert_page(await someone.browser.submit(page, decision="allow"))
    assert await count(app, COUNT_CODES, client.id) == 0
    # It is not remembered, either.
    answer = await someone.ask(client, PKCE, prompt="none")
    assert response_of(answer)["error"] == "consent_required"


async def test_each_of_two_tabs_is_answered_for_itself(app: App, client: RegisteredClient) -> None:
    """AUTHZ-17, AUTHZ-18, ATK-71: what the other tab asks for changes nothing here."""
    browser, user, other = visitor(app), await make_person(app), Pkce()
    small = await browser.follow(
        await browser.get("/authorize", **request_of(client, PKCE, scope="openid", state="1"))
    )
    large = await browser.follow(
        await browser.get("/authorize", **request_of(client, other, state="2"))
    )
    page = await browser.follow(await sign_in(browser, small, user))
    # The other tab's form is from before the sign-in.
    stale = await sign_in(browser, large, user)
    assert_page(stale, 403)
    consent = await browser.get("/consent", request=hidden(large)["request"])
    first = response_of(await browser.submit(page, decision="allow"))
    second = response_of(await browser.submit(consent, decision="allow"))
    assert (first["state"], second["state"]) == ("1", "2")
    assert (await tokens_of(app, client, first["code"], PKCE))["scope"] == "openid"
    assert "orders:read" in (await tokens_of(app, client, second["code"], other))["scope"]


async def test_what_is_kept_is_what_is_read(app: App, client: RegisteredClient) -> None:
    """AUTHZ-5: not whatever else a stranger sends."""
    await handle_of(visitor(app), client, more="x" * 8000)
    query = "SELECT parameters FROM authorization_requests WHERE client_id = $1"
    kept = dict(json.loads(await fetch(app, query, client.id)))
    assert kept == request_of(client, PKCE)


@pytest.fixture
async def broken(app: App, client: RegisteredClient) -> AsyncIterator[App]:
    """A pod that knows the client, while PostgreSQL is away."""
    assert await app.services.clients.find(client.id)
    url = Secret("postgresql://127.0.0.1:1/x")
    database = open_database(msgspec.structs.replace(app.services.settings, database_url=url))
    sign_ons = SignOns(database, idle=MINUTE, absolute=MINUTE)
    async with changed(app, database=database, sign_ons=sign_ons) as pod:
        yield pod
    await database.close()


@pytest.mark.parametrize("prompt", ["none", "login"])
async def test_without_postgresql_the_client_hears_of_it(
    broken: App, client: RegisteredClient, prompt: str
) -> None:
    """AUTHZ-8, ATK-104: where the client is known; its handles are pages that say so."""
    someone = open_browser(broken)
    someone.cookies["__Host-watchword_session"] = "A" * 64
    request = request_of(client, PKCE, prompt=prompt)
    for answer in (
        await someone.get("/authorize", **request),
        await someone.http.post("/authorize", data=request),
    ):
        response = response_of(answer)
        assert answer.headers["location"].startswith(CALLBACK)
        assert response["error"] == "temporarily_unavailable"
    for path in ("/authorize/continue", "/login", "/consent", "/register"):
        answer = await someone.get(path, request="A" * 43)
        assert_page(answer, 503)
        assert answer.headers["retry-after"] == "1"


async def test_a_fault_of_ours_is_no_bare_500(
    app: App, client: RegisteredClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTHZ-8: server_error to the client, also behind a decision."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))

    async def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr("service.http.authorize.find_hinted_user", fail)
    for answer in (
        await someone.ask(client, PKCE),
        await someone.browser.submit(page, decision="allow"),
        await someone.browser.get("/consent", request=hidden(page)["request"]),
    ):
        response = response_of(answer)
        assert (response["error"], response["iss"]) == ("server_error", app.services.issuer)
        assert response["error_description"] == "the server failed; the fault is logged"


async def test_a_page_that_can_not_be_drawn_is_an_error_page(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTHZ-8: for a person, not JSON; and guarded like any other."""
    draw = Pages.render

    def fail(pages: Pages, page: Page) -> str:
        if page.template == SignIn.template:
            raise RuntimeError("a fault")
        return draw(pages, page)

    monkeypatch.setattr(Pages, "render", fail)
    assert_page(await visitor(app).get("/login"), 500)


async def test_without_redis_people_sign_in(app: App, client: RegisteredClient) -> None:
    """RATE-4, ATK-103: this pod counts alone."""
    services, user = app.services, await make_person(app)
    login = LoginLimit(DEAD_REDIS, "x", window=MINUTE)
    requests = RateLimit(DEAD_REDIS, "x", amount=2, window=MINUTE)
    proof = PasswordProof(services.database, services.passwords, login, services.metrics)
    async with changed(app, proof=proof, authorization_limit=requests) as pod:
        browser = visitor(pod)
        page = await browser.follow(await browser.get("/authorize", **request_of(client, PKCE)))
        page = await browser.follow(await sign_in(browser, page, user))
        assert "code" in response_of(await browser.submit(page, decision="allow"))
        await handle_of(browser, client, prompt="login")
        assert_page(
            await browser.get("/authorize", **request_of(client, PKCE, prompt="login")), 429
        )
    for each in (login, requests):
        await each.close()


async def test_a_database_in_recovery_gives_no_code(app: App, make_settings: MakeSettings) -> None:
    """ATK-104: without a life of the database nothing begins; it can be tried again."""
    database = open_database(await make_settings())
    sign_ons = SignOns(database, idle=MINUTE, absolute=MINUTE)
    async with changed(
        app, database=database, sign_ons=sign_ons, clients=ClientCache(database)
    ) as lifeless:
        client, someone = await make_web_client(lifeless), await signed_on(lifeless)
        page = await someone.browser.follow(await someone.ask(client, PKCE))
        answer = await someone.browser.submit(page, decision="allow")
        assert response_of(answer)["error"] == "temporarily_unavailable"
        # Nothing was committed: the page is good once there is a life.
        assert_page(await someone.browser.get("/consent", request=hidden(page)["request"]), 200)
    await database.close()
