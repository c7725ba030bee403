"""/register: an account of one's own, where that is open."""

from dataclasses import replace
from uuid import uuid4

import msgspec
import pytest

from service.app import App, create_app
from tests.conftest import RegisteredClient
from tests.http.at_pages import (
    SIGN_ON,
    assert_page,
    count,
    make_person,
    visitor,
)
from tests.http.browsing import PASSWORD, Pkce, hidden, make_web_client, request_of, response_of
from tests.sessions import execute

PKCE = Pkce()
USERS = "SELECT count(*) FROM users WHERE username = $1"


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


def person(**changes: str) -> dict[str, str]:
    name = f"r{uuid4().hex[:12]}"
    members = {"username": name, "email": f"{name}@example.com", "full_name": "Ada Lovelace"}
    return {**members, "password": PASSWORD, **changes}


async def test_who_registers_is_signed_on_and_goes_on(app: App, client: RegisteredClient) -> None:
    """LOGIN-1, AUTHZ-10: the password has just been chosen, which is as good as typed again."""
    browser = visitor(app)
    asked = request_of(client, PKCE, prompt="login")
    page = await browser.follow(await browser.get("/authorize", **asked))
    page = await browser.get("/register", request=hidden(page)["request"])
    consent = await browser.follow(await browser.submit(page, **person()))
    assert consent.request.url.path == "/consent"
    assert "code" in response_of(await browser.submit(consent, decision="allow"))


async def test_a_request_that_is_over_makes_no_account(app: App, client: RegisteredClient) -> None:
    """AUTHZ-18, ATK-66: the handle that was sent goes into no header."""
    browser = visitor(app)
    page = await browser.follow(await browser.get("/authorize", **request_of(client, PKCE)))
    page = await browser.get("/register", request=hidden(page)["request"])
    late = "UPDATE authorization_requests SET expires_at = clock_timestamp() WHERE client_id = $1"
    await execute(app, late, client.id)
    new = person()
    assert_page(await browser.submit(page, **new))
    assert await count(app, USERS, new["username"]) == 0
    assert SIGN_ON not in browser.cookies


FAULTS = {
    "no name": {"full_name": ""},
    "no address": {"email": "nobody"},
    "a bad name": {"username": "<script>"},
    "a short password": {"password": "short"},
    "no password": {"password": ""},
}


@pytest.mark.parametrize("changes", FAULTS.values(), ids=FAULTS)
async def test_what_does_not_fit_is_said_on_the_page(app: App, changes: dict[str, str]) -> None:
    """ATK-74: and nothing is made; the password never comes back."""
    browser, new = visitor(app), person(**changes)
    answer = await browser.submit(await browser.get("/register"), **new)
    assert_page(answer)
    assert 'role="alert"' in answer.text
    assert "<script" not in answer.text
    assert PASSWORD not in answer.text
    assert await count(app, USERS, new["username"]) == 0


async def test_a_taken_name_is_said_and_attempts_are_few(app: App) -> None:
    """LOGIN-10: until there is mail; counted by address, like those at /api/register."""
    browser, user = visitor(app), await make_person(app)
    answer = await browser.submit(
        await browser.get("/register"), **person(username=str(user.username))
    )
    assert_page(answer)
    amount = app.services.settings.registrations_per_address
    address = browser.http.headers["x-forwarded-for"]
    for _ in range(amount):
        await app.services.registration_limit.hit("registration", address)
    answer = await browser.submit(await browser.get("/register"), **person())
    assert_page(answer, 429)


async def test_closed_is_closed(app: App) -> None:
    services = replace(
        app.services, settings=msgspec.structs.replace(app.services.settings, registration="closed")
    )
    pod, new = App(asgi=create_app(services), services=services), person()
    browser = visitor(pod)
    page = await visitor(app).get("/register")
    assert_page(await browser.get("/register"), 403)
    assert_page(await browser.post("/register", **hidden(page), **new), 403)
    assert 'href="/register' not in (await browser.get("/login")).text
    assert await count(app, USERS, new["username"]) == 0
