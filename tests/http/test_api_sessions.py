"""GET and DELETE /api/sessions, DELETE /api/sessions/{id}: LOGIN-3, ATK-105."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest

from service.app import App
from service.flows.manage_users import disable
from service.flows.origin import OPERATOR
from service.oauth.user import User
from tests.http.accounts import (
    CLEARED,
    PASSWORD,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
    register_web,
)
from tests.sessions import age, begin, execute, fetch, fetch_session, know_user, read

MEMBERS = {"id", "client_id", "device", "created_at", "last_used_at", "expires_at", "current"}
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
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


def id_of(accounts: Accounts, device: Device) -> UUID:
    return read(accounts.app, device.refresh_token or "").session_id


async def listed(device: Device) -> list[dict[str, object]]:
    answer = await device.get("sessions")
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert set(answer.json()) == {"sessions"}
    return answer.json()["sessions"]


async def test_a_user_sees_where_they_are_logged_in(accounts: Accounts, anna: User) -> None:
    """LOGIN-3: the one that asks is marked, and what was used last comes first."""
    browser, phone = accounts.browser(), accounts.phone()
    body = {"username": anna.username, "password": PASSWORD}
    browser.keep(await browser.post("login", body, user_agent=FIREFOX))
    await phone.login(anna.username, device="Anna's phone")
    await log_in(accounts, await accounts.user())
    first, second = await listed(browser)
    assert set(first) == set(second) == MEMBERS
    assert [first["device"], second["device"]] == ["Anna's phone", "Firefox on Linux"]
    assert [first["current"], second["current"]] == [False, True]
    assert [first["client_id"], second["client_id"]] == [accounts.native.id, accounts.web.id]
    assert [first["id"], second["id"]] == [str(id_of(accounts, d)) for d in (phone, browser)]
    for name in ("created_at", "last_used_at", "expires_at"):
        assert str(first[name]).endswith("Z")
    assert [shown["current"] for shown in await listed(phone)] == [True, False]


ENDS = {
    "logged out": ("logged_out", None),
    "ended here": ("ended_by_user", None),
    "expired": ("expired", "expires_at = created_at, idle_expires_at = created_at"),
    "not used": ("not_used", "idle_expires_at = created_at"),
    "client revoked": ("client_revoked", "client_id = $2, client_epoch = 0"),
}


@pytest.mark.parametrize("end", ENDS)
async def test_sessions_that_ended_are_shown_with_the_reason(
    accounts: Accounts, anna: User, browser: Device, end: str
) -> None:
    """LOGIN-3: after the living ones, though they were used later."""
    other, (reason, change) = await log_in(accounts, anna), ENDS[end]
    other_id = id_of(accounts, other)
    await age(accounts.app, id_of(accounts, browser), 60)
    if change:
        client = await register_web(accounts.app)
        await execute(accounts.app, "UPDATE clients SET epoch = 1 WHERE id = $1", client.id)
        args = (client.id,) if "$2" in change else ()
        query = f"UPDATE sessions SET {change} WHERE id = $1"  # noqa: S608 (from ENDS alone)
        await execute(accounts.app, query, other_id, *args)
    elif end == "logged out":
        assert (await other.logout()).status_code == 204
    else:
        answer = await browser.ask("DELETE", f"sessions/{other_id}")
        assert (answer.status_code, answer.content) == (204, b"")
        assert "set-cookie" not in answer.headers
        assert_refused(await other.me(), "invalid_token", 401)
        assert_refused(await other.refresh(), "invalid_grant", cleared=True)
    shown = {session["id"]: session for session in await listed(browser)}
    assert shown[str(other_id)]["ended_because"] == reason
    assert ("ended_at" in shown[str(other_id)]) == (end != "client revoked")
    living = shown[str(id_of(accounts, browser))]
    assert not {"ended_at", "ended_because"} & set(living)
    if end != "client revoked":
        assert [*shown] == [living["id"], str(other_id)]


async def test_ending_what_has_ended_is_as_good(
    accounts: Accounts, anna: User, browser: Device
) -> None:
    """One fact is written, and one is counted."""
    other_id = id_of(accounts, await log_in(accounts, anna))
    counted = accounts.app.services.metrics.revocations.labels("sid")._value
    before = counted.get()
    for _ in range(2):
        assert (await browser.ask("DELETE", f"sessions/{other_id}")).status_code == 204
    query = "SELECT count(*) FROM revocations WHERE subject = $1"
    assert await fetch(accounts.app, query, str(other_id)) == 1
    assert counted.get() == before + 1


async def test_somebody_elses_session_is_not_found_and_lives_on(
    accounts: Accounts, browser: Device
) -> None:
    """ATK-105: the same answer as for one that never was."""
    stranger = await log_in(accounts, await accounts.user())
    answers = [
        await browser.ask("DELETE", f"sessions/{session_id}")
        for session_id in (id_of(accounts, stranger), uuid4())
    ]
    for answer in answers:
        assert_refused(answer, "not_found", 404)
    assert answers[0].content == answers[1].content
    row = await fetch_session(accounts.app, id_of(accounts, stranger))
    assert row["revoked_at"] is None
    assert (await stranger.me()).status_code == 200


@pytest.mark.parametrize(
    "spell",
    [
        *(lambda _: "x", lambda _: "%00", lambda _: "' OR 1=1--", lambda _: "*", lambda t: t * 9),
        *(str.upper, lambda t: t.replace("-", ""), lambda t: f"{{{t}}}", lambda t: f"urn:uuid:{t}"),
        *(lambda t: f"{t} ", lambda t: f" {t}", lambda t: f"{t}%0a", lambda t: f"{t[:-1]}"),
        *(lambda _: "\N{ARABIC-INDIC DIGIT ONE}" * 32, lambda _: "%ff%fe", lambda _: "..%2f"),
    ],
)  # fmt: skip
async def test_an_id_has_one_spelling(
    accounts: Accounts, browser: Device, spell: Callable[[str], str]
) -> None:
    """ATK-97, ATK-99: 404; nothing ends, and nothing reaches PostgreSQL that it would not take."""
    own = id_of(accounts, browser)
    answer = await browser.ask("DELETE", f"sessions/{spell(str(own))}")
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert (await browser.me()).status_code == 200


@pytest.mark.parametrize("path", ["sessions/", "sessions//", "sessions/./", "sessions/%2e"])
async def test_a_page_that_forgot_the_id_ends_nothing(browser: Device, path: str) -> None:
    """A script that builds the path from an empty id must not log its user out everywhere."""
    answer = await browser.ask("DELETE", path)
    assert (await browser.me()).status_code == 200
    assert answer.status_code == 404


async def test_one_ends_the_session_that_asks(accounts: Accounts, browser: Device) -> None:
    """LOGIN-6: the cookie is of no more use, so it is cleared; of a native app there is none."""
    answer = await browser.ask("DELETE", f"sessions/{id_of(accounts, browser)}")
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (204, [CLEARED])
    assert_refused(await browser.me(), "invalid_token", 401)
    assert_refused(await browser.refresh(), "invalid_grant", cleared=True)
    phone = accounts.phone().take(await begin(accounts.app, accounts.native))
    answer = await phone.ask("DELETE", f"sessions/{id_of(accounts, phone)}")
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)


async def test_logging_out_everywhere_ends_all_and_clears_the_cookie(
    accounts: Accounts, anna: User, browser: Device
) -> None:
    """LOGIN-3: of every client, and of nobody else."""
    phone, stranger = accounts.phone(), await log_in(accounts, await accounts.user())
    await phone.login(anna.username)
    answer = await browser.ask("DELETE", "sessions", {})
    assert (answer.status_code, answer.headers.get_list("set-cookie")) == (204, [CLEARED])
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert_refused(await browser.refresh(), "invalid_grant", cleared=True)
    assert_refused(await phone.refresh(), "invalid_grant")
    for device in (browser, phone):
        assert_refused(await device.me(), "invalid_token", 401)
    assert (await stranger.me()).status_code == 200
    await phone.login(anna.username)
    shown = {session["id"]: session.get("ended_because") for session in await listed(phone)}
    assert sorted(map(str, shown.values())) == ["None", *["logged_out_everywhere"] * 2]
    answer = await phone.ask("DELETE", "sessions")
    assert (answer.status_code, "set-cookie" in answer.headers) == (204, False)


async def end_all(accounts: Accounts, anna: User, browser: Device) -> None:
    assert (await browser.ask("DELETE", "sessions")).status_code == 204


async def turn_off(accounts: Accounts, anna: User, browser: Device) -> None:
    await disable(accounts.app.services.database, anna.id, OPERATOR)


@pytest.mark.parametrize("end", [end_all, turn_off])
async def test_a_login_under_way_does_not_outlive_the_end_of_all(
    accounts: Accounts,
    anna: User,
    browser: Device,
    end: Callable[[Accounts, User, Device], Awaitable[None]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The password was proven before, the session would begin after."""
    proven, ended = asyncio.Event(), asyncio.Event()
    verify = accounts.hasher.verify

    async def wait(stored: str | None, password: str):
        verification = await verify(stored, password)
        proven.set()
        await ended.wait()
        return verification

    with monkeypatch.context() as patch:
        patch.setattr(accounts.hasher, "verify", wait)
        login = asyncio.create_task(accounts.browser().login(anna.username))
        await proven.wait()
        await end(accounts, anna, browser)
        ended.set()
        assert_refused(await login, "invalid_credentials", 401)
    query = "SELECT count(*) FROM sessions WHERE user_id = $1 AND revoked_at IS NULL"
    assert await fetch(accounts.app, query, anna.id) == 0


async def test_whoever_begins_too_many_sessions_loses_those_not_used(
    accounts: Accounts, anna: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-100: no user's sessions grow without end, and the list says what became of them."""
    monkeypatch.setattr("service.flows.begin_session.MAX_SESSIONS_PER_USER", 2)
    first, second = [await log_in(accounts, anna) for _ in range(2)]
    assert (await first.refresh()).status_code == 200
    third = await log_in(accounts, anna)
    assert [(await d.me()).status_code for d in (first, second, third)] == [200, 401, 200]
    reasons = {shown["id"]: shown.get("ended_because") for shown in await listed(third)}
    assert reasons[str(id_of(accounts, second))] == "too_many_sessions"


async def test_nothing_but_an_empty_object_is_a_body_here(browser: Device) -> None:
    for path in ("sessions", f"sessions/{uuid4()}"):
        answer = await browser.ask("DELETE", path, {"user_id": "x"})
        assert_refused(answer, "invalid_request", fields={"user_id"})
    assert (await browser.me()).status_code == 200
