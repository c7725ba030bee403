"""The password form: this browser goes on, all else ends. RT-17, LOGIN-2, ATK-76."""

from collections.abc import AsyncIterator

import pytest

from service.app import App
from service.flows.manage_users import set_password
from service.flows.origin import OPERATOR
from tests.http.account_pages import Visitor, allow, fault_of, faults_of, visit
from tests.http.accounts import OTHER_PASSWORD, PASSWORD, Accounts, open_accounts
from tests.http.browsing import open_browser
from tests.sessions import fetch

CHANGE = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app, limits={"per_account_and_address": 10}) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


async def test_a_change_keeps_this_browser_and_ends_all_else(
    accounts: Accounts, anna: Visitor
) -> None:
    """RT-17: other browsers, and every application's session, offline access or not."""
    other, stranger = await visit(accounts, anna), await visit(accounts)
    applications = [
        await allow(anna),
        await allow(anna, scope="openid offline_access", prompt="consent"),
        await allow(other),
    ]
    theirs = await allow(stranger)
    answer = await anna.send("password", **CHANGE)
    assert answer.headers["location"] == "/account?done=password_changed"
    page = await anna.browser.follow(answer)
    assert "Your password is changed." in page.text
    assert not await other.is_signed_on()
    assert [await each.lives() for each in applications] == [False] * 3
    assert await theirs.lives()
    assert await stranger.is_signed_on()
    query = """
        SELECT count(*) FROM audit_events JOIN users ON users.id = user_id
        WHERE username = $1 AND event = 'password_changed'
    """
    assert await fetch(accounts.app, query, anna.username) == 1


async def test_the_new_password_signs_in_and_the_old_one_does_not(
    accounts: Accounts, anna: Visitor
) -> None:
    await anna.send("password", **CHANGE)
    browser = open_browser(accounts.app)
    page = await browser.get("/login")
    refused = await browser.submit(page, username=anna.username, password=PASSWORD)
    assert refused.status_code == 401
    changed = Visitor(accounts.app, browser, anna.username, OTHER_PASSWORD)
    assert await (await visit(accounts, changed)).is_signed_on()


async def test_the_browser_that_goes_on_has_another_cookie(
    accounts: Accounts, anna: Visitor
) -> None:
    """LOGIN-2: a copy of the cookie from before is dead."""
    copy = Visitor(accounts.app, open_browser(accounts.app), anna.username)
    copy.browser.cookies = dict(anna.browser.cookies)
    assert await copy.is_signed_on()
    await anna.send("password", **CHANGE)
    assert not await copy.is_signed_on()
    assert await anna.is_signed_on()


async def test_an_application_can_be_allowed_again_after_a_change(anna: Visitor) -> None:
    application = await allow(anna)
    await anna.send("password", **CHANGE)
    assert not await application.lives()
    assert await (await allow(anna, application.client)).lives()


@pytest.mark.parametrize(
    ("fields", "faults"),
    [
        ({}, {"current_password": "is missing", "new_password": "is missing"}),
        ({**CHANGE, "new_password": ""}, {"new_password": "is missing"}),
        ({**CHANGE, "current_password": ""}, {"current_password": "is missing"}),
        ({**CHANGE, "current_password": "wrong words of mine"}, {"current_password": "is wrong"}),
        ({**CHANGE, "current_password": "a\x01b"}, {"current_password": "is wrong"}),
        ({**CHANGE, "current_password": "x" * 300}, {"current_password": "is wrong"}),
        ({**CHANGE, "new_password": "short"}, {"new_password": "15"}),
        ({**CHANGE, "new_password": "a\x01" + "b" * 20}, {"new_password": "control"}),
        ({**CHANGE, "new_password": "password1234567"}, {"new_password": ""}),
    ],
    ids=str,
)
async def test_each_fault_is_at_its_field(
    accounts: Accounts, anna: Visitor, fields: dict[str, str], faults: dict[str, str]
) -> None:
    """And no password that was typed comes back."""
    page = await anna.send("password", **fields)
    assert page.status_code == 400
    assert faults_of(page) == {f"password-{name}" for name in faults}
    for name, words in faults.items():
        assert words in (fault_of(page, f"password-{name}") or "")
    assert not [text for text in fields.values() if text and text in page.text]
    assert await (await visit(accounts, anna)).is_signed_on()


async def test_a_name_in_the_new_password_is_refused(anna: Visitor) -> None:
    """PW-3."""
    page = await anna.send("password", current_password=PASSWORD, new_password=anna.username)
    assert faults_of(page) == {"password-new_password"}


async def test_an_operators_change_ends_every_browser(accounts: Accounts, anna: Visitor) -> None:
    """RT-17: and the form of a browser that is out changes nothing."""
    database = accounts.app.services.database
    application = await allow(anna)
    user_id = await fetch(accounts.app, "SELECT id FROM users WHERE username = $1", anna.username)
    csrf = (await anna.page()).text.partition('name="csrf" value="')[2].partition('"')[0]
    await set_password(database, user_id, await accounts.hasher.hash(OTHER_PASSWORD), OPERATOR)
    assert not await anna.is_signed_on()
    assert not await application.lives()
    answer = await anna.browser.post("/account/password", csrf=csrf, **CHANGE)
    assert answer.status_code == 403
