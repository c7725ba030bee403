"""POST /api/logout: the session ends, not only the cookie. LOGIN-2, LOGIN-6."""

from collections.abc import AsyncIterator

import pytest

from service.app import App
from tests.conftest import AUDIENCE, register
from tests.http.accounts import (
    CLEARED,
    COOKIE,
    ORIGIN,
    Accounts,
    assert_refused,
    open_accounts,
    register_web,
)
from tests.http.forge import is_active
from tests.sessions import begin, fetch_session, refresh


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


async def test_a_logout_ends_the_session_for_every_verifier(accounts: Accounts) -> None:
    """LOGIN-2: copies of the cookie and of the access token are dead, here and elsewhere."""
    begun = await begin(accounts.app, accounts.web)
    browser, copy = accounts.browser().take(begun), accounts.browser().take(begun)
    caller = await register(accounts.app, serves=(AUDIENCE,))
    assert await is_active(accounts.http, caller, begun.tokens.access_token)
    answer = await browser.logout(authorization=None)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers.get_list("set-cookie") == [CLEARED]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("access-control-allow-origin") == [ORIGIN]
    assert (await fetch_session(accounts.app, begun.id))["revoked_reason"] == "logged_out"
    assert_refused(await copy.me(), "invalid_token", 401)
    assert not await is_active(accounts.http, caller, begun.tokens.access_token)
    assert_refused(await copy.refresh(), "invalid_grant", cleared=True)


@pytest.mark.parametrize("generation", ["newest", "spent"])
async def test_a_cookie_of_any_generation_logs_out(accounts: Accounts, generation: str) -> None:
    """REV-1: whoever wants to leave may, also from a tab that slept."""
    begun = await begin(accounts.app, accounts.web)
    sleeping, awake = accounts.browser().take(begun), accounts.browser().take(begun)
    assert (await awake.refresh()).status_code == 200
    device = awake if generation == "newest" else sleeping
    assert (await device.logout()).status_code == 204
    assert (await fetch_session(accounts.app, begun.id))["revoked_at"]


@pytest.mark.parametrize("cookie", [None, "", f"{COOKIE}=", f"{COOKIE}=x", f"{COOKIE}=\xff", "a=b"])
async def test_who_is_not_logged_in_is_logged_out(accounts: Accounts, cookie: str | None) -> None:
    """LOGIN-6: 204, and the cookie is cleared whatever it was."""
    raw = None if cookie is None else cookie.encode("latin-1")
    answer = await accounts.browser().logout(cookie=raw)
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (204, [CLEARED])


async def test_a_second_logout_is_as_good_as_the_first(accounts: Accounts) -> None:
    browser = accounts.browser().take(await begin(accounts.app, accounts.web))
    sid = accounts.app.services.metrics.revocations.labels("sid")
    before = sid._value.get()
    for _ in range(2):
        answer = await browser.logout()
        assert (answer.status_code, answer.headers.get_list("set-cookie")) == (204, [CLEARED])
    assert sid._value.get() == before + 1


async def test_a_cookie_of_another_client_ends_nothing_and_stays(accounts: Accounts) -> None:
    """REV-2."""
    begun = await begin(accounts.app, accounts.web)
    other = accounts.browser(await register_web(accounts.app))
    other.refresh_token = begun.token
    assert_refused(await other.logout(), "invalid_grant")
    assert (await fetch_session(accounts.app, begun.id))["revoked_at"] is None
    assert (await accounts.browser().take(begun).refresh()).status_code == 200


async def test_two_cookies_end_nothing(accounts: Accounts) -> None:
    """ATK-75: treated as not logged in."""
    one, two = [await begin(accounts.app, accounts.web) for _ in range(2)]
    cookie = f"{COOKIE}={one.token}; {COOKIE}={two.token}"
    assert (await accounts.browser().logout(cookie=cookie)).status_code == 204
    for begun in (one, two):
        assert (await fetch_session(accounts.app, begun.id))["revoked_at"] is None


async def test_no_foreign_page_logs_anybody_out(accounts: Accounts) -> None:
    """ATK-76: logout CSRF; the cookie stays too."""
    begun = await begin(accounts.app, accounts.web)
    browser = accounts.browser().take(begun)
    for origin in (None, "null", "https://evil.example"):
        assert_refused(await browser.logout(origin=origin), "access_denied", 403)
    assert_refused(await browser.logout(x_requested_with=None), "access_denied", 403)
    assert_refused(await browser.logout(content_type="text/plain"), "invalid_request", 415)
    assert (await fetch_session(accounts.app, begun.id))["revoked_at"] is None


async def test_a_native_app_logs_out_by_its_token(accounts: Accounts) -> None:
    """LOGIN-6: no cookie is set or cleared."""
    phone = accounts.phone().take(await begin(accounts.app, accounts.native))
    answer = await phone.post("logout", {"client_id": accounts.native.id})
    assert_refused(answer, "invalid_request", fields={"refresh_token"})
    for _ in range(2):
        answer = await phone.logout()
        assert answer.status_code == 204
        assert "set-cookie" not in answer.headers
    assert_refused(await phone.refresh(), "invalid_grant")
    assert_refused(await phone.me(), "invalid_token", 401)


async def test_a_session_of_a_third_party_is_not_logged_out_here(accounts: Accounts) -> None:
    """LOGIN-6, REV-2."""
    begun = await begin(accounts.app)
    phone = accounts.phone()
    phone.refresh_token = begun.token
    assert_refused(await phone.logout(), "invalid_grant")
    await refresh(accounts.http, begun.client, begun.token)
