"""POST /api/refresh: sessions continued from a cookie or a body. LOGIN-6."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from service.app import App
from service.flows.end_sessions import end_one_session
from service.flows.manage_users import set_roles
from service.flows.origin import OPERATOR
from service.sql.connection import DatabaseUnavailable
from tests.http.accounts import (
    COOKIE,
    ORIGIN,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
    read_set_cookie,
    register_web,
)
from tests.sessions import (
    Begun,
    age,
    at_generation,
    begin,
    claims_of,
    execute,
    fetch_session,
    list_events,
    make_public,
)

EVIL = "https://evil.example"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def begun(accounts: Accounts) -> Begun:
    """A session of the web app."""
    return await begin(accounts.app, accounts.web)


@pytest.fixture
def browser(accounts: Accounts, begun: Begun) -> Device:
    """The browser that has the session."""
    return accounts.browser().take(begun)


async def test_a_refresh_answers_a_new_token_and_a_new_cookie(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """LOGIN-6: the refresh token never is in the body."""
    answer = await browser.refresh(authorization=None)
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    assert answer.headers.get_list("cache-control") == ["no-store"]
    cookie = read_set_cookie(answer)
    assert cookie
    assert cookie["token"] == at_generation(accounts.app, begun.token, 1)
    assert 7 * 86400 - 60 < int(cookie["seconds"]) <= 7 * 86400
    claims = claims_of(answer.json()["access_token"])
    assert (claims["sid"], claims["client_id"]) == (str(begun.id), accounts.web.id)
    assert (await browser.me()).json()["id"] == str(begun.user.id)


async def test_the_cookie_lasts_until_the_nearer_expiry(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """LOGIN-6, RT-4: near the end of the session that is the absolute one."""
    query = "UPDATE sessions SET expires_at = clock_timestamp() + $2::interval WHERE id = $1"
    await execute(accounts.app, query, begun.id, timedelta(hours=1))
    for _ in range(2):
        cookie = read_set_cookie(await browser.refresh())
        assert cookie
        assert 3500 < int(cookie["seconds"]) <= 3600


async def test_two_tabs_at_once_get_the_same_token(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """RT-2: whoever comes second within the grace window is given the first one's successor."""
    tabs = [accounts.browser().take(begun) for _ in range(6)]
    answers = await asyncio.gather(*(tab.refresh() for tab in tabs))
    assert {answer.status_code for answer in answers} == {200}
    assert len({tab.refresh_token for tab in tabs}) == 1
    assert (await fetch_session(accounts.app, begun.id))["generation"] == 1


async def test_a_lost_answer_is_asked_for_again(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """RT-2: the page tries again with the cookie that it still has."""
    lost = accounts.browser().take(begun)
    assert (await lost.refresh()).status_code == 200
    await age(accounts.app, begun.id, 20)
    assert (await browser.refresh()).status_code == 200
    assert browser.refresh_token == lost.refresh_token
    assert (await browser.refresh()).status_code == 200


async def test_a_cookie_spent_long_ago_ends_the_session_and_is_cleared(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """ATK-50: somebody has a copy; whoever comes first, both are out."""
    thief = accounts.browser().take(begun)
    assert (await browser.refresh()).status_code == 200
    await age(accounts.app, begun.id, 31)
    assert_refused(await thief.refresh(), "invalid_grant", cleared=True)
    assert_refused(await browser.refresh(), "invalid_grant", cleared=True)
    assert_refused(await browser.me(), "invalid_token", 401)
    assert (await fetch_session(accounts.app, begun.id))["revoked_reason"] == "refresh_reuse"


@pytest.mark.parametrize(
    "token", ["", "x", "wwr_", "wwr_" + "A" * 116, '"quoted"', "a=b", "é", "x" * 4000]
)
async def test_a_cookie_that_is_no_token_is_cleared(
    accounts: Accounts, browser: Device, token: str
) -> None:
    """ATK-75: such as one fixed beforehand; it never becomes a session."""
    raw = f"{COOKIE}={token}".encode("latin-1")
    answer = await browser.refresh(cookie=raw)
    assert_refused(answer, "invalid_grant", cleared=True)


@pytest.mark.parametrize("end", ["revoked", "expired", "not used"])
async def test_a_definite_refusal_clears_the_cookie(
    accounts: Accounts, begun: Begun, browser: Device, end: str
) -> None:
    """LOGIN-6, ATK-106: one answer, whatever ended the session."""
    if end == "revoked":
        await end_one_session(accounts.app.services.database, begun.id, "test", OPERATOR)
    elif end == "expired":
        query = "UPDATE sessions SET expires_at = created_at, idle_expires_at = created_at"
        await execute(accounts.app, f"{query} WHERE id = $1", begun.id)
    else:
        query = "UPDATE sessions SET idle_expires_at = created_at WHERE id = $1"
        await execute(accounts.app, query, begun.id)
    answer = await browser.refresh()
    assert_refused(answer, "invalid_grant", cleared=True)
    garbage = await browser.refresh(cookie=f"{COOKIE}=x")
    assert answer.content == garbage.content
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_without_a_cookie_there_is_nothing_to_continue(
    accounts: Accounts, browser: Device
) -> None:
    for cookie in (None, "", "other=1", f"{COOKIE.lower()}={browser.refresh_token}"):
        assert_refused(await browser.refresh(cookie=cookie), "invalid_grant")
    answer = await browser.post("refresh", {"refresh_token": browser.refresh_token}, cookie=None)
    assert_refused(answer, "invalid_request", fields={"refresh_token"})


@pytest.mark.parametrize("lines", [1, 2])
@pytest.mark.parametrize("first", ["theirs", "same"])
async def test_two_cookies_are_none(
    accounts: Accounts, begun: Begun, browser: Device, lines: int, first: str
) -> None:
    """ATK-75: one of them was tossed; which, nobody can tell. Nothing is spent or cleared."""
    other = await begin(accounts.app, accounts.web)
    pairs = [f"{COOKIE}={other.token if first == 'theirs' else begun.token}"]
    pairs.append(f"{COOKIE}={begun.token}")
    texts = pairs if lines == 2 else [f"a=b; {pairs[0]};{pairs[1]}"]
    answer = await browser.refresh(cookie=None, more=[("cookie", text) for text in texts])
    assert_refused(answer, "invalid_grant")
    for each in (begun, other):
        assert (await fetch_session(accounts.app, each.id))["generation"] == 0
    answer = await browser.refresh(cookie=f"a=b; {COOKIE}={begun.token}; c=d")
    assert answer.status_code == 200


async def test_what_may_be_tried_again_leaves_the_cookie(
    accounts: Accounts, begun: Begun, browser: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOGIN-6: 403, 415, 400 of another kind, 503; afterwards the same cookie is good."""
    refresh = browser.refresh
    for origin in (None, EVIL, "null", f"{ORIGIN}.evil"):
        assert_refused(await refresh(origin=origin), "access_denied", 403)
    for header in (None, "", " "):
        assert_refused(await refresh(x_requested_with=header), "access_denied", 403)
    assert_refused(await refresh(content_type="text/plain"), "invalid_request", 415)
    assert_refused(await refresh(content=b"{"), "invalid_request")
    answer = await browser.post("refresh", {"scope": "orders:read"})
    assert_refused(answer, "invalid_request", fields={"scope"})
    third = await make_public(accounts.app)
    answer = await browser.post("refresh", {"client_id": third.id})
    assert_refused(answer, "invalid_client")
    for error in (DatabaseUnavailable("gone"), TimeoutError()):

        async def fail(*_: object, error: Exception = error) -> None:
            raise error

        with monkeypatch.context() as patch:
            patch.setattr(accounts.app.services.refresh_tokens, "_refresh", fail)
            assert_refused(await refresh(), "temporarily_unavailable", 503)
    assert (await fetch_session(accounts.app, begun.id))["generation"] == 0
    assert (await browser.refresh()).status_code == 200


async def test_a_cookie_of_another_clients_session_is_refused_and_stays(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """Two apps of ours share the cookie's name; the session is the other one's."""
    for generation in (0, 1):
        other = accounts.browser(await register_web(accounts.app))
        other.refresh_token = browser.refresh_token
        assert_refused(await other.refresh(), "invalid_grant")
        assert (await fetch_session(accounts.app, begun.id))["generation"] == generation
        assert (await browser.refresh()).status_code == 200
    events = [name for name, _ in await list_events(accounts.app, begun.id)]
    assert events == ["session_begun", "refresh_wrong_client", "refresh_wrong_client"]


async def test_the_default_client_is_not_whoever_has_a_cookie(accounts: Accounts) -> None:
    """An app that is not the default one names itself."""
    client = await register_web(accounts.app)
    browser = accounts.browser(client).take(await begin(accounts.app, client))
    for body in ({}, None):
        assert_refused(await browser.post("refresh", body), "invalid_grant")
    assert (await browser.refresh()).status_code == 200


async def test_a_native_app_sends_the_token_and_gets_the_next_in_the_body(
    accounts: Accounts,
) -> None:
    """LOGIN-6: a cookie that comes along is not looked at."""
    begun = await begin(accounts.app, accounts.native)
    phone = accounts.phone().take(begun)
    answer = await phone.refresh(cookie=f"{COOKIE}={begun.token}")
    assert answer.json()["refresh_token"] == at_generation(accounts.app, begun.token, 1)
    assert "set-cookie" not in answer.headers
    nothing = {"client_id": accounts.native.id}
    answer = await phone.post("refresh", nothing, cookie=f"{COOKIE}={begun.token}")
    assert_refused(answer, "invalid_request", fields={"refresh_token"})
    for token in ("", "x", phone.access):
        answer = await phone.post("refresh", {**nothing, "refresh_token": token})
        assert_refused(answer, "invalid_grant")
    assert (await phone.refresh()).status_code == 200


async def test_neither_delivery_takes_the_others_session(accounts: Accounts) -> None:
    """LOGIN-6, ATK-34: nor does a third party's client."""
    web = await begin(accounts.app, accounts.web)
    native = await begin(accounts.app, accounts.native)
    browser, phone = accounts.browser(), accounts.phone()
    browser.refresh_token, phone.refresh_token = native.token, web.token
    for device in (browser, phone):
        assert_refused(await device.refresh(), "invalid_grant")
    third = accounts.browser().take(await begin(accounts.app))
    assert_refused(await third.refresh(), "invalid_grant")
    for begun in (web, native):
        assert (await fetch_session(accounts.app, begun.id))["generation"] == 0


async def test_the_next_token_says_what_changed(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """DIST-7: after an operator changed the roles, the token from before is stale: 401."""
    assert (await browser.me()).status_code == 200
    await set_roles(accounts.app.services.database, begun.user.id, ("editor",), OPERATOR)
    assert_refused(await browser.me(), "invalid_token", 401)
    answer = await browser.refresh()
    assert claims_of(answer.json()["access_token"])["roles"] == ["editor"]
    assert (await browser.me()).json()["roles"] == ["editor"]
