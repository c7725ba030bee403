"""What /api answers while PostgreSQL or Redis is away: ATK-103, ATK-104, RATE-4, LOGIN-6."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from service.app import App, open_database
from service.environment import Secret
from service.flows.end_sessions import end_one_session
from service.flows.origin import OPERATOR
from tests.conftest import MakeSettings
from tests.http.accounts import (
    DEAD_REDIS,
    ORIGIN,
    PASSWORD,
    Accounts,
    assert_refused,
    open_accounts,
)
from tests.sessions import begin, fetch_session, read


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@asynccontextmanager
async def over(accounts: Accounts, url: str, **changes: Any) -> AsyncIterator[Accounts]:
    """The same two clients, at a pod that knows them and has its PostgreSQL there."""
    services = accounts.app.services
    for client in (accounts.web, accounts.native):
        assert await services.clients.find(client.id)
    database = open_database(msgspec.structs.replace(services.settings, database_url=Secret(url)))
    async with open_accounts(
        accounts.app, database=database, first_party_client_id=accounts.web.id, **changes
    ) as broken:
        yield broken
    await database.close()


@pytest.fixture
async def broken(accounts: Accounts) -> AsyncIterator[Accounts]:
    """While PostgreSQL is away."""
    async with over(accounts, "postgresql://127.0.0.1:1/x") as opened:
        yield opened


async def test_without_postgresql_everything_may_be_tried_again(
    accounts: Accounts, broken: Accounts
) -> None:
    """ATK-104, LOGIN-6: 503 with Retry-After; no cookie is cleared, nobody is logged out."""
    begun = await begin(accounts.app, accounts.web)
    browser = broken.browser(accounts.web).take(begun)
    person = {"username": "carl-svensson", "email": "carl@example.com", "full_name": "Carl"}
    for answer in (
        await browser.login("anna"),
        await browser.refresh(),
        await browser.logout(),
        await browser.me(),
        await browser.ask("PATCH", "me", {"full_name": "Eve"}),
        await browser.post("password", {"current_password": "x", "new_password": "y"}),
        await browser.get("sessions"),
        await browser.ask("DELETE", "sessions"),
        await browser.ask("DELETE", f"sessions/{begun.id}"),
        await browser.post("register", {**person, "password": PASSWORD}),
    ):
        assert_refused(answer, "temporarily_unavailable", 503)
    healthy = accounts.browser().take(begun)
    assert (await healthy.me()).status_code == 200
    assert (await healthy.refresh()).status_code == 200


async def test_without_postgresql_what_is_wrong_anyway_is_refused(
    accounts: Accounts, broken: Accounts
) -> None:
    """ATK-104: garbage needs no asking; no foreign page is let in; CORS as far as it is known."""
    browser = broken.browser(accounts.web).take(await begin(accounts.app, accounts.web))
    assert_refused(await browser.me(authorization="Bearer x"), "invalid_token", 401)
    assert_refused(await browser.refresh(cookie=None), "invalid_grant")
    answer = await browser.refresh(origin="https://evil.example")
    assert_refused(answer, "access_denied", 403)
    assert "access-control-allow-origin" not in answer.headers
    answer = await browser.ask("OPTIONS", "me")
    assert (answer.status_code, answer.headers["vary"]) == (204, "Origin")
    answer = await browser.refresh()
    assert answer.headers["access-control-allow-origin"] == ORIGIN


async def test_an_outage_of_postgresql_counts_no_failure(
    accounts: Accounts, broken: Accounts
) -> None:
    """RATE-3: what was not looked at is no guess."""
    for password in [PASSWORD] * 12:
        answer = await broken.browser(accounts.web).login("anna", password)
        assert_refused(answer, "temporarily_unavailable", 503)
    assert broken.hasher.verified == []
    device = broken.browser(accounts.web)
    statuses = {(await device.login("anna")).status_code for _ in range(12)}
    assert statuses == {503}


async def test_an_alarm_that_can_not_be_written_down_counts_no_failure(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-3: nor does it take the guess away that was never looked at."""
    lines = {"account": 0, "client": 10**6, "all": 10**6}
    monkeypatch.setattr("service.redis.login_limits._ALARM_LINES", lines)
    limits = {"per_account_and_address": 1}
    async with over(accounts, "postgresql://127.0.0.1:1/x", limits=limits) as broken:
        device = broken.browser(accounts.web)
        statuses = [(await device.login("anna")).status_code for _ in range(3)]
    assert statuses == [503, 503, 503]


async def test_while_the_database_begins_a_new_life_nobody_is_logged_out(
    accounts: Accounts, make_settings: MakeSettings
) -> None:
    """ATK-104: it may have forgotten ends and begins; a good cookie is good again afterwards."""
    begun = await begin(accounts.app, accounts.web)
    url = (await make_settings()).database_url.reveal()
    async with over(accounts, url) as lifeless:
        browser = lifeless.browser(accounts.web).take(begun)
        for answer in (await browser.me(), await browser.refresh()):
            assert_refused(answer, "temporarily_unavailable", 503)
    assert (await accounts.browser().take(begun).refresh()).status_code == 200


async def test_without_redis_logins_go_on_and_are_limited(accounts: Accounts) -> None:
    """RATE-4, ATK-104: each pod counts alone; not unlimited."""
    user = await accounts.user()
    async with open_accounts(accounts.app, redis_url=DEAD_REDIS) as alone:
        device = alone.browser()
        assert (await device.login(user.username)).status_code == 200
        assert (await device.refresh()).status_code == 200
        for _ in range(10):
            answer = await device.login(user.username, "wrong")
            assert_refused(answer, "invalid_credentials", 401)
        seen = len(alone.hasher.verified)
        answer = await device.login(user.username)
        assert_refused(answer, "temporarily_unavailable", 429)
        assert len(alone.hasher.verified) == seen
        assert (await alone.browser().login(user.username)).status_code == 200
        assert (await device.logout()).status_code == 204
        assert_refused(await device.me(), "invalid_token", 401)


async def test_without_redis_registrations_go_on_and_are_limited(accounts: Accounts) -> None:
    """RATE-4."""
    async with open_accounts(
        accounts.app, redis_url=DEAD_REDIS, registrations_per_address=2
    ) as alone:
        device, statuses = alone.browser(), []
        for number in range(3):
            name = f"dora-{number}-{device.address}"
            sent = {"username": name, "email": f"{name}@example.com", "full_name": "Dora"}
            answer = await device.post("register", {**sent, "password": PASSWORD})
            statuses.append(answer.status_code)
        assert statuses == [201, 201, 429]


async def test_a_token_of_the_second_of_its_revocation_is_dead(accounts: Accounts) -> None:
    """ATK-103: it is the session that counts, no clock."""
    user = await accounts.user()
    for _ in range(3):
        browser = accounts.browser()
        await browser.login(user.username)
        session_id = read(accounts.app, browser.refresh_token or "").session_id
        await end_one_session(accounts.app.services.database, session_id, "test", OPERATOR)
        assert_refused(await browser.me(), "invalid_token", 401)
        assert (await fetch_session(accounts.app, session_id))["revoked_at"]
