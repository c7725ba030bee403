"""GET and PATCH /api/me: what a user sees and changes of themselves."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from service.app import App
from service.flows.manage_users import delete, disable
from service.flows.origin import OPERATOR
from service.oauth.user import User
from tests.http.accounts import (
    PASSWORD,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
)
from tests.sessions import begin, claims_of, fetch, know_user


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


async def change(browser: Device, /, **members: object) -> dict[str, object]:
    """What the user is after a change that must succeed."""
    answer = await browser.ask("PATCH", "me", members)
    assert answer.status_code == 200, answer.text
    assert answer.headers.get_list("cache-control") == ["no-store"]
    return answer.json()


async def test_a_user_sees_themselves(browser: Device, anna: User) -> None:
    answer = await browser.me()
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.json() == {
        "id": str(anna.id),
        "username": anna.username,
        "email": anna.email,
        "full_name": "Anna Ek",
        "avatar_url": None,
        "roles": [],
        "created_at": anna.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


async def test_name_and_picture_change_without_the_password(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """What is not named stays; null removes the picture; the trail has what changed anything."""
    picture = "https://pictures.example/anna.png"
    after = await change(browser, avatar_url=picture)
    assert (after["avatar_url"], after["full_name"]) == (picture, "Anna Ek")
    after = await change(browser, full_name="Anna Ek-Åström")
    assert (after["avatar_url"], after["full_name"]) == (picture, "Anna Ek-Åström")
    assert (await change(browser, avatar_url=None))["avatar_url"] is None
    assert await change(browser) == await change(browser, current_password=None)
    assert (await browser.me()).json() == {**after, "avatar_url": None}
    query = "SELECT count(*) FROM audit_events WHERE user_id = $1 AND detail->>'actor' = $2"
    assert await fetch(accounts.app, query, anna.id, f"user:{anna.id}") == 3


BAD_CHANGES = [
    *({"full_name": value} for value in (None, "", " x", "B\u202en", 5, ["x"], "x" * 201)),
    *({"avatar_url": value} for value in ("", "http://a.example", "javascript:x", 5, {"a": 1})),
    *({"username": value} for value in (None, "", "ab", "Anna", 5, "a@b")),
    *({"email": value} for value in (None, "", "anna", 5, "a\u202e@example.com")),
    *({member: "x"} for member in ("password", "roles", "id", "disabled_at", "created_at")),
    {"current_password": 5},
]


@pytest.mark.parametrize("members", BAD_CHANGES, ids=lambda members: f"{members!a:.40}")
async def test_what_is_wrong_is_said_by_its_member(
    browser: Device, members: dict[str, object]
) -> None:
    """Mass assignment among it: 400, and nothing changes."""
    before = (await browser.me()).json()
    password = {"current_password": PASSWORD} if {"username", "email"} & set(members) else {}
    answer = await browser.ask("PATCH", "me", {**password, "full_name": "Eve", **members})
    assert_refused(answer, "invalid_request", fields=set(members))
    assert (await browser.me()).json() == before


@pytest.mark.parametrize("member", ["username", "email"])
async def test_what_one_logs_in_with_changes_only_with_the_password(
    accounts: Accounts, browser: Device, anna: User, member: str
) -> None:
    """ATK-76: a stolen access token alone does not take an account over."""
    value = {"username": f"{anna.username}-2", "email": f"second-{anna.email}"}[member]
    for password in ({}, {"current_password": None}):
        answer = await browser.ask("PATCH", "me", {member: value, **password})
        assert_refused(answer, "invalid_request", fields={"current_password"})
    answer = await browser.ask("PATCH", "me", {member: value, "current_password": "wrong"})
    assert_refused(answer, "invalid_credentials", 401)
    answer = await browser.ask("PATCH", "me", {member: value, "current_password": "x" * 300})
    assert_refused(answer, "invalid_request", fields={"current_password"})
    assert (await change(browser, **{member: value}, current_password=PASSWORD))[member] == value
    assert (await accounts.browser().login(value)).status_code == 200
    old = {"username": anna.username, "email": anna.email}[member]
    assert_refused(await accounts.browser().login(old), "invalid_credentials", 401)


async def test_guessing_the_password_here_is_limited_like_a_login(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """ATK-76, RATE-3: together with logins from that address; before any hash."""
    members = {"email": f"second-{anna.email}", "current_password": "wrong"}
    for _ in range(2):
        assert_refused(await browser.ask("PATCH", "me", members), "invalid_credentials", 401)
        assert_refused(await browser.login(anna.username, "wrong"), "invalid_credentials", 401)
    seen = len(accounts.hasher.verified)
    members["current_password"] = PASSWORD
    assert_refused(await browser.ask("PATCH", "me", members), "temporarily_unavailable", 429)
    assert len(accounts.hasher.verified) == seen
    assert (await browser.ask("PATCH", "me", {"full_name": "Anna"})).status_code == 200


async def test_a_new_address_asks_every_session_for_a_refresh(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """DIST-7: what the tokens say may have changed; the sessions go on."""
    other = await log_in(accounts, anna)
    await change(browser, email=f"second-{anna.email}", current_password=PASSWORD)
    for device in (browser, other):
        assert_refused(await device.me(), "invalid_token", 401)
        assert (await device.refresh()).status_code == 200
        assert claims_of(device.access or "")["cv"] == 1
        assert (await device.me()).json()["email"] == f"second-{anna.email}"
    await change(browser, username=f"{anna.username}-2", current_password=PASSWORD)
    assert (await other.me()).json()["username"] == f"{anna.username}-2"


async def test_a_taken_name_or_address_is_refused_whole(
    accounts: Accounts, browser: Device, anna: User
) -> None:
    """409 by member; one's own in another case is no conflict."""
    bert = await accounts.user()
    sent = {"full_name": "Eve", "current_password": PASSWORD}
    answer = await browser.ask("PATCH", "me", {**sent, "username": bert.username})
    assert_refused(answer, "username_taken", 409, fields={"username"})
    assert bert.email
    assert anna.email
    answer = await browser.ask("PATCH", "me", {**sent, "email": bert.email.upper()})
    assert_refused(answer, "email_taken", 409, fields={"email"})
    assert (await browser.me()).json()["full_name"] == "Anna Ek"
    await change(browser, email=anna.email.upper(), current_password=PASSWORD)


async def test_who_asks_for_taken_names_again_and_again_has_to_wait(
    accounts: Accounts, anna: User
) -> None:
    """LOGIN-10, ATK-78: the 409s tell who has an account; limited as those of a registration."""
    bert = await accounts.user()
    async with open_accounts(accounts.app, registrations_per_address=3) as limited:
        known = await know_user(accounts.app.services.database, anna.id)
        browser = limited.browser().take(await begin(accounts.app, limited.web, known))
        members = {"email": bert.email, "current_password": PASSWORD}
        statuses = [(await browser.ask("PATCH", "me", members)).status_code for _ in range(4)]
    assert statuses == [409, 409, 409, 429]


async def test_of_two_who_want_one_name_at_once_one_gets_it(accounts: Accounts, anna: User) -> None:
    bert = await accounts.user()
    browsers = [await log_in(accounts, user) for user in (anna, bert)]
    members = {"username": f"{anna.username}-x", "current_password": PASSWORD}
    answers = await asyncio.gather(*(each.ask("PATCH", "me", members) for each in browsers))
    statuses = sorted(answer.status_code for answer in answers)
    assert statuses in ([200, 409], [200, 503])  # 503: it waited too long for the winner


@pytest.mark.parametrize("end", [disable, delete])
async def test_who_is_disabled_or_deleted_is_nobody_here(
    accounts: Accounts, browser: Device, anna: User, end
) -> None:
    """ATK-23, RS-2: 401 at once, and the cookie is cleared at the next refresh."""
    await end(accounts.app.services.database, anna.id, OPERATOR)
    assert_refused(await browser.me(), "invalid_token", 401)
    answer = await browser.ask("PATCH", "me", {"full_name": "Eve"})
    assert_refused(answer, "invalid_token", 401)
    assert_refused(await browser.refresh(), "invalid_grant", cleared=True)


async def test_a_user_who_is_disabled_between_check_and_change_changes_nothing(
    accounts: Accounts, browser: Device, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-23: the row decides, not what was read before."""
    live = accounts.app.services.live_tokens

    async def disable_after(access) -> bool | None:
        answer = await type(live).is_live(live, access)
        await disable(accounts.app.services.database, anna.id, OPERATOR)
        return answer

    monkeypatch.setattr(live, "is_live", disable_after)
    answer = await browser.ask("PATCH", "me", {"full_name": "Eve"})
    assert_refused(answer, "not_found", 404)
    query = "SELECT full_name FROM users WHERE id = $1"
    assert await fetch(accounts.app, query, anna.id) == "Anna Ek"
