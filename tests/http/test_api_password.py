"""POST /api/password: with the old one, and every other session ends. PW-1 to PW-3, ATK-76."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.app import App
from service.flows.manage_users import set_password
from service.flows.origin import OPERATOR
from service.oauth.user import User
from service.sql.users import get_known_user
from tests.http.accounts import (
    OTHER_PASSWORD,
    PASSWORD,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
)
from tests.sessions import begin, fetch, know_user

THIRD_PASSWORD = "nine kites over the harbour"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app, limits={"per_account_and_address": 4}) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> User:
    return await accounts.user()


async def log_in(accounts: Accounts, user: User) -> Device:
    """A browser with a session of the user."""
    known = await know_user(accounts.app.services.database, user.id)
    return accounts.browser().take(await begin(accounts.app, accounts.web, known))


@pytest.fixture
async def browser(accounts: Accounts, anna: User) -> Device:
    return await log_in(accounts, anna)


def change(current: object = PASSWORD, new: object = OTHER_PASSWORD) -> dict[str, object]:
    return {"current_password": current, "new_password": new}


async def test_a_change_ends_every_other_session_and_keeps_this_one(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """Whoever had the old password is out; who changed it goes on undisturbed."""
    others = [await log_in(accounts, anna) for _ in range(2)]
    stranger = await log_in(accounts, await accounts.user())
    answer = await browser.post("password", change())
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert "set-cookie" not in answer.headers
    for other in others:
        assert_refused(await other.me(), "invalid_token", 401)
        assert_refused(await other.refresh(), "invalid_grant", cleared=True)
    assert (await stranger.me()).status_code == 200
    assert (await browser.me()).status_code == 200
    assert (await browser.refresh()).status_code == 200
    assert (await browser.me()).status_code == 200
    assert_refused(await accounts.browser().login(anna.username), "invalid_credentials", 401)
    answer = await accounts.browser().login(anna.username, OTHER_PASSWORD)
    assert answer.status_code == 200
    query = "SELECT count(*) FROM audit_events WHERE user_id = $1 AND event = 'password_changed'"
    assert await fetch(accounts.app, query, anna.id) == 1


async def test_the_old_password_has_to_be_right_and_guesses_are_limited(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """ATK-76, RATE-3: as for logins, and together with them."""
    for _ in range(2):
        answer = await browser.post("password", change("wrong"))
        assert_refused(answer, "invalid_credentials", 401)
        assert_refused(await browser.login(anna.username, "wrong"), "invalid_credentials", 401)
    seen = len(accounts.hasher.verified)
    for current in ("wrong", PASSWORD):
        answer = await browser.post("password", change(current))
        assert_refused(answer, "temporarily_unavailable", 429)
    assert len(accounts.hasher.verified) == seen
    assert (await accounts.browser().login(anna.username)).status_code == 200


@pytest.mark.parametrize(
    "new",
    [
        *(
            "fourteen signs",
            "x" * 257,
            "passwordpassword",
            "aaaaaaaaaaaaaaaa",
            "watchwordwatchword",
        ),
        *("a tab\tin many words", "half a \ud83d of it all", "12345678901234567890"),
    ],
    ids=lambda text: f"{text!a:.30}",
)
async def test_the_new_one_has_to_be_a_password_that_may_be_set(
    accounts: Accounts, browser: Device, new: str
) -> None:
    """PW-1 to PW-3: 400 that says why, and nothing ends."""
    raw = f'{{"current_password":"{PASSWORD}","new_password":{_json(new)}}}'.encode()
    answer = await browser.post("password", content=raw)
    assert_refused(answer, "invalid_request", fields={"new_password"})
    assert (await browser.me()).status_code == 200


def _json(text: str) -> str:
    """As JSON, escaped, so that half a surrogate pair gets through."""
    return '"' + "".join(f"\\u{ord(character):04x}" for character in text) + '"'


async def test_the_new_one_is_not_made_of_ones_name(browser: Device, anna: User) -> None:
    """PW-3."""
    for new in (f"{anna.username}!!", f"{anna.email}", f"{anna.username}"[::-1] + "1"):
        answer = await browser.post("password", change(new=new))
        assert_refused(answer, "invalid_request", fields={"new_password"})


@pytest.mark.parametrize(
    ("members", "fields"),
    [
        ({}, {"current_password", "new_password"}),
        ({"current_password": PASSWORD}, {"new_password"}),
        ({"new_password": OTHER_PASSWORD}, {"current_password"}),
        (change(current=None), {"current_password"}),
        (change(current=5, new=["x"]), {"current_password", "new_password"}),
        ({**change(), "user_id": "x", "password": "x"}, {"user_id", "password"}),
        (change(current="x" * 257), {"current_password"}),
        (change(current="a\0b"), {"current_password"}),
        (change(current="a\tb"), {"current_password"}),
    ],
    ids=lambda value: f"{sorted(value) if isinstance(value, set) else value!s:.50}",
)
async def test_what_is_wrong_is_said_by_its_member(
    accounts: Accounts, browser: Device, members: dict[str, object], fields: set[str]
) -> None:
    """ATK-76: there is no change without the old one; 400 before any hash."""
    seen = len(accounts.hasher.verified)
    answer = await browser.post("password", members)
    assert_refused(answer, "invalid_request", fields=fields)
    assert len(accounts.hasher.verified) == seen


async def test_of_changes_at_once_one_wins(accounts: Accounts, anna: User) -> None:
    """The one password that is good afterwards is the winner's, and so is the one session."""
    browsers = [await log_in(accounts, anna) for _ in range(3)]
    news = [f"{OTHER_PASSWORD} {number}" for number in range(3)]
    answers = await asyncio.gather(
        *(each.post("password", change(new=new)) for each, new in zip(browsers, news, strict=True))
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(204) == 1
    assert set(statuses) <= {204, 401, 503}  # 503: it waited too long for the winner
    for each, new, answer in zip(browsers, news, answers, strict=True):
        status = 200 if answer.status_code == 204 else 401
        assert (await each.me()).status_code == status
        assert (await accounts.browser().login(anna.username, new)).status_code == status


async def test_an_operators_change_meanwhile_wins(
    accounts: Accounts, browser: Device, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the proof of the old password and the writing of the new one."""
    database, hash_one = accounts.app.services.database, accounts.hasher.hash

    async def set_meanwhile(password: str) -> str:
        await set_password(database, anna.id, await hash_one(THIRD_PASSWORD), OPERATOR)
        return await hash_one(password)

    with monkeypatch.context() as patch:
        patch.setattr(accounts.hasher, "hash", set_meanwhile)
        answer = await browser.post("password", change())
    assert_refused(answer, "invalid_credentials", 401)
    assert_refused(await browser.me(), "invalid_token", 401)
    login = accounts.browser().login
    assert (await login(anna.username, OTHER_PASSWORD)).status_code == 401
    assert (await login(anna.username, THIRD_PASSWORD)).status_code == 200


async def test_a_name_that_passes_to_somebody_else_meanwhile_proves_nothing(
    accounts: Accounts, browser: Device, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-76: it is the token's user who has to be proven, and whose password changes."""
    bert = await accounts.user(THIRD_PASSWORD)

    async def pass_the_name(connection, user_id):
        known = await get_known_user(connection, user_id)
        rename = "UPDATE users SET username = $2 WHERE id = $1"
        await connection.execute(rename, anna.id, f"{anna.username}-2")
        await connection.execute(rename, bert.id, anna.username)
        return known

    with monkeypatch.context() as patch:
        patch.setattr("service.flows.own_account.get_known_user", pass_the_name)
        answer = await browser.post("password", change(THIRD_PASSWORD))
    assert_refused(answer, "invalid_credentials", 401)
    assert (await accounts.browser().login(bert.email, THIRD_PASSWORD)).status_code == 200


async def test_without_a_token_no_password_is_looked_at(accounts: Accounts, anna: User) -> None:
    """ATK-76."""
    seen = len(accounts.hasher.verified)
    answer = await accounts.browser().post("password", change())
    assert_refused(answer, "invalid_token", 401)
    assert len(accounts.hasher.verified) == seen
