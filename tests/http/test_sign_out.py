"""GET and POST /logout at a client's word: RP-Initiated Logout. RPL-1, ATK-76."""

from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from service.app import App
from tests.http.account_pages import (
    Application,
    Visitor,
    allow,
    assert_page,
    hint_of,
    log_out,
    visit,
)
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import (
    Pkce,
    hidden,
    make_web_client,
    obtain_code,
    open_browser,
    redeem,
    request_of,
    response_of,
)
from tests.sessions import claims_of, execute

BACK = "https://app.example/signed-out"
WITH_QUERY = "https://app.example/signed-out?from=us"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


@pytest.fixture
async def notebook(anna: Visitor) -> Application:
    client = await make_web_client(anna.app, post_logout_redirect_uris=(BACK, WITH_QUERY))
    return await allow(anna, client)


async def test_a_hint_signs_out_at_once_and_leads_back(
    anna: Visitor, notebook: Application
) -> None:
    """RPL-1, RT-17, LOGIN-2: the server forgets; copies of the cookie are dead."""
    copy = dict(anna.browser.cookies)
    answer = await log_out(
        anna, id_token_hint=hint_of(notebook), post_logout_redirect_uri=BACK, state="a +%é"
    )
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{BACK}?state=a+%2B%25%C3%A9"
    assert "__Host-watchword_session" not in anna.browser.cookies
    anna.browser.cookies = copy
    assert not await anna.is_signed_on()
    assert not await notebook.lives()
    assert await notebook.is_void_everywhere()
    asked = await anna.browser.get(
        "/authorize", **request_of(notebook.client, Pkce(), prompt="none")
    )
    assert response_of(asked)["error"] == "login_required"


async def test_the_query_of_the_uri_stays(anna: Visitor, notebook: Application) -> None:
    answer = await log_out(
        anna, id_token_hint=hint_of(notebook), post_logout_redirect_uri=WITH_QUERY, state="s"
    )
    assert answer.headers["location"] == f"{WITH_QUERY}&state=s"


async def test_sessions_end_but_those_with_offline_access(
    accounts: Accounts, anna: Visitor, notebook: Application
) -> None:
    """RT-17, Core §11: of this browser's sign-on, at every client; other browsers go on."""
    other = await visit(accounts, anna)
    also, elsewhere = await allow(anna), await allow(other)
    offline = await allow(anna, scope="openid offline_access", prompt="consent")
    await log_out(anna, id_token_hint=hint_of(notebook))
    assert [await each.lives() for each in (notebook, also)] == [False, False]
    assert [await each.lives() for each in (offline, elsewhere)] == [True, True]
    assert await other.is_signed_on()


@pytest.mark.parametrize("again", [True, False], ids=["signed_on_anew", "signed_off"])
async def test_a_session_ends_that_is_older_than_the_sign_on(
    anna: Visitor, notebook: Application, *, again: bool
) -> None:
    """RT-17, RPL-1: the hint says which one; its sign-on was over for not being used."""
    offline = await allow(anna, notebook.client, scope="openid offline_access", prompt="consent")
    other = await allow(anna)
    user_id = claims_of(hint_of(notebook))["sub"]
    over = "UPDATE sign_ons SET idle_expires_at = clock_timestamp() WHERE user_id = $1"
    await execute(anna.app, over, UUID(user_id))
    if again:
        page = await anna.browser.get("/login")
        await anna.browser.submit(page, username=anna.username, password=anna.password)
    assert await anna.is_signed_on() == again
    for application in (offline, notebook):
        answer = await log_out(
            anna, id_token_hint=hint_of(application), post_logout_redirect_uri=BACK
        )
        assert answer.headers["location"] == BACK
    assert not await notebook.lives()
    assert await notebook.is_void_everywhere()
    assert await offline.lives()
    assert await other.lives()


async def test_a_code_from_before_is_dead(anna: Visitor, notebook: Application) -> None:
    """RT-17: what was on its way when the browser signed out begins no session."""
    pkce = Pkce()
    code = await obtain_code(anna.browser, notebook.client, pkce)
    await log_out(anna, id_token_hint=hint_of(notebook))
    answer = await redeem(anna.app, notebook.client, code, pkce)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


async def test_a_post_from_the_clients_site_signs_out(anna: Visitor, notebook: Application) -> None:
    """RPL-1: a browser sends no Lax cookies with it, so it has to come back with them."""
    fields = {
        "id_token_hint": hint_of(notebook),
        "post_logout_redirect_uri": BACK,
        "state": "s",
    }
    headers = {"origin": "https://app.example", "sec-fetch-site": "cross-site"}
    posted = await anna.browser.http.post("/logout", data=fields, headers=headers)
    assert posted.status_code == 303
    assert posted.headers["location"].startswith("/logout?")
    assert "set-cookie" not in posted.headers
    answer = await anna.browser.get(posted.headers["location"])
    assert answer.headers["location"] == f"{BACK}?state=s"
    assert not await anna.is_signed_on()


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_without_a_hint_the_user_is_asked(anna: Visitor, method: str) -> None:
    """RPL-1, ATK-76: another site signs nobody out."""
    headers = {"cookie": "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())}
    if method == "POST":
        headers["content-type"] = "application/x-www-form-urlencoded"
    answer = await anna.browser.http.request(method, "/logout", headers=headers)
    page = await anna.browser.follow(answer)
    assert_page(page, "Sign out of")
    assert await anna.is_signed_on()
    stay = await anna.browser.submit(page, decision="stay")
    assert (stay.status_code, stay.headers["location"]) == (303, "/account")
    assert await anna.is_signed_on()
    assert_page(await anna.browser.submit(page, decision="sign_out"), "You are signed out")
    assert not await anna.is_signed_on()


async def test_the_button_of_the_account_page_signs_out(
    anna: Visitor, notebook: Application
) -> None:
    page = await anna.page()
    assert_page(await anna.browser.submit(page, decision="sign_out"), "You are signed out")
    assert not await anna.is_signed_on()
    assert not await notebook.lives()


async def test_the_decision_is_taken_from_our_page_alone(accounts: Accounts, anna: Visitor) -> None:
    """LOGIN-4, ATK-76: no token, another's, another site."""
    other = await visit(accounts)
    page = await log_out(anna)
    csrf = page.text.partition('name="csrf" value="')[2].partition('"')[0]
    theirs = (await log_out(other)).text.partition('name="csrf" value="')[2].partition('"')[0]
    for fields in ({}, {"csrf": theirs}):
        answer = await anna.browser.post("/logout", decision="sign_out", **fields)
        assert answer.status_code == 403
    cookie = "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {}):
        answer = await anna.browser.http.post(
            "/logout",
            data={"decision": "sign_out", "csrf": csrf},
            headers={"cookie": cookie, **headers},
        )
        assert answer.status_code == 403
    wrong = await anna.browser.post("/logout", decision="perhaps", csrf=csrf)
    assert wrong.status_code == 400
    assert await anna.is_signed_on()


async def test_a_hint_of_another_user_only_asks(
    accounts: Accounts, anna: Visitor, notebook: Application
) -> None:
    """RPL-1, ATK-76: whoever has an ID Token of their own signs nobody else out."""
    mallory = await visit(accounts)
    theirs = await allow(mallory, notebook.client)
    answer = await log_out(anna, id_token_hint=hint_of(theirs), post_logout_redirect_uri=BACK)
    assert_page(answer, "asks you to sign out.")
    assert "Notebook" in answer.text
    assert await anna.is_signed_on()
    assert await mallory.is_signed_on()
    assert await notebook.lives()


async def test_who_is_not_signed_on_goes_straight_back(
    accounts: Accounts, notebook: Application
) -> None:
    """RPL-1: to a registered URI alone, whoever names the client."""
    browser = open_browser(accounts.app)
    answer = await browser.get(
        "/logout", id_token_hint=hint_of(notebook), post_logout_redirect_uri=BACK
    )
    assert answer.headers["location"] == BACK
    answer = await browser.get(
        "/logout", client_id=notebook.client.id, post_logout_redirect_uri=BACK, state="s"
    )
    assert answer.headers["location"] == f"{BACK}?state=s"
    assert_page(await browser.get("/logout", post_logout_redirect_uri=BACK), "You are signed out")
    assert_page(await browser.get("/logout"), "You are signed out")


async def test_who_was_asked_finds_a_way_back(anna: Visitor, notebook: Application) -> None:
    """RPL-1: by a link, to a registered URI alone; the browser is not sent."""
    page = await log_out(
        anna, client_id=notebook.client.id, post_logout_redirect_uri=WITH_QUERY, state='s"&<'
    )
    assert_page(page, "asks you to sign out.")
    answer = await anna.browser.submit(page, decision="sign_out")
    assert_page(answer, f'href="{WITH_QUERY}&amp;state=s%22%26%3C"')
    assert not await anna.is_signed_on()


async def test_there_is_no_way_back_to_where_nobody_registered(
    anna: Visitor, notebook: Application
) -> None:
    """RPL-1: also where the form was changed on the way."""
    evil = "https://evil.example/"
    page = await log_out(anna, client_id=notebook.client.id, post_logout_redirect_uri=BACK)
    csrf = hidden(page)["csrf"]
    sent = {"client_id": notebook.client.id, "post_logout_redirect_uri": evil, "csrf": csrf}
    answer = await anna.browser.post("/logout", decision="sign_out", **sent)
    assert_page(answer, "You are signed out")
    assert evil not in answer.text
