"""Access tokens under /api: where they may stand, and whose they must be. RS-1, RS-2."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from service.app import App
from service.flows.client_credentials import utc_now
from service.flows.manage_users import disable
from service.flows.origin import OPERATOR
from tests.conftest import register
from tests.http.accounts import (
    Accounts,
    Device,
    assert_refused,
    open_accounts,
    register_web,
)
from tests.http.forge import Forge, issue
from tests.sessions import Begun, begin, execute, make_public

BARE = 'Bearer realm="watchword"'
INVALID = (
    'Bearer realm="watchword", error="invalid_token", '
    'error_description="the access token is invalid, expired or revoked"'
)
NEEDING = [
    ("GET", "me"),
    ("PATCH", "me"),
    ("POST", "password"),
    ("GET", "sessions"),
    ("DELETE", "sessions"),
    ("DELETE", "sessions/01a1fd52-3991-7b98-b0e3-b7a63839c280"),
]


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def begun(accounts: Accounts) -> Begun:
    return await begin(accounts.app, accounts.web)


@pytest.fixture
def browser(accounts: Accounts, begun: Begun) -> Device:
    return accounts.browser().take(begun)


def challenge_of(answer: httpx.Response) -> str:
    assert_refused(answer, "invalid_token", 401)
    (challenge,) = answer.headers.get_list("www-authenticate")
    return challenge


@pytest.mark.parametrize(("method", "path"), NEEDING)
async def test_without_a_token_the_challenge_names_no_error(
    accounts: Accounts, browser: Device, method: str, path: str
) -> None:
    """RS-1: RFC 6750 §3.1; a cookie is no access token."""
    answer = await browser.ask(method, path, authorization=None)
    assert challenge_of(answer) == BARE
    answer = await browser.ask(method, path, authorization="Bearer x")
    assert challenge_of(answer) == INVALID


async def test_the_scheme_has_no_case(browser: Device) -> None:
    """RS-1: and one space or more."""
    for scheme in ("Bearer", "bearer", "BEARER", "bEARER   "):
        answer = await browser.me(authorization=f"{scheme} {browser.access}")
        assert answer.status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        *("", "Bearer", "Bearer ", "Bearer{}", "Bearer\t{}", "{}", "Bearer {} x", 'Bearer "{}"'),
        *("Bearer {},", "Bearer {}, Bearer {}", "Token {}", "DPoP {}", "Basic {}", "Bearer={}"),
        *("Bearer Bearer {}", "Bearer {}=", "Bearer\xa0{}", "Bearer {}\xff"),
    ],
)  # fmt: skip
async def test_any_other_spelling_is_no_token(browser: Device, text: str) -> None:
    """RS-1, ATK-19: 401."""
    header = text.format(*[browser.access] * 2).encode("latin-1")
    assert_refused(await browser.me(authorization=header), "invalid_token", 401)


async def test_two_headers_are_a_fault(browser: Device) -> None:
    """RS-1: 400, also where both are the same."""
    for other in (f"Bearer {browser.access}", "Bearer x", "Basic eDp5"):
        answer = await browser.me(more=[("authorization", other)])
        assert_refused(answer, "invalid_request")


async def test_a_token_stands_in_the_header_alone(browser: Device) -> None:
    """RS-1: neither in the query nor in a body nor in a cookie."""
    access = browser.access
    answer = await browser.get(f"me?access_token={access}", authorization=None)
    assert challenge_of(answer) == BARE
    answer = await browser.get("me", authorization=None, cookie=f"access_token={access}")
    assert challenge_of(answer) == BARE
    members = {"access_token": access, "full_name": "Eve"}
    answer = await browser.ask("PATCH", "me", members, authorization=None)
    assert challenge_of(answer) == BARE
    answer = await browser.ask("PATCH", "me", members)
    assert_refused(answer, "invalid_request", fields={"access_token"})


async def test_a_refresh_token_is_no_access_token(browser: Device) -> None:
    """ATK-13."""
    answer = await browser.me(authorization=f"Bearer {browser.refresh_token}")
    assert challenge_of(answer) == INVALID


async def test_a_machines_token_is_no_users(accounts: Accounts, browser: Device) -> None:
    """ATK-105: though it is live."""
    token = await issue(accounts.http, await register(accounts.app))
    for method, path in NEEDING:
        answer = await browser.ask(method, path, authorization=f"Bearer {token}")
        assert challenge_of(answer) == INVALID


async def test_a_users_token_of_a_third_party_is_none_of_ours(
    accounts: Accounts, begun: Begun
) -> None:
    """ATK-105: an app that a user trusts with orders does not get the account."""
    third = await begin(accounts.app, await make_public(accounts.app), begun.user)
    device = accounts.browser().take(third)
    for method, path in NEEDING:
        assert challenge_of(await device.ask(method, path)) == INVALID
    query = "UPDATE clients SET first_party = false WHERE id = $1"
    client = await make_public(accounts.app, first_party=True)
    former = accounts.phone(client).take(await begin(accounts.app, client))
    assert (await former.me()).status_code == 200
    await execute(accounts.app, query, client.id)
    accounts.app.services.clients.drop(client.id)
    assert challenge_of(await former.me()) == INVALID


async def test_a_token_for_another_audience_is_none_of_ours(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """ATK-15: the client no longer has the audience that the token was for."""
    client = await register_web(accounts.app, audiences=("https://a.example", "https://b.example"))
    device = accounts.browser(client).take(await begin(accounts.app, client))
    assert (await device.me()).status_code == 200
    query = "UPDATE clients SET audiences = '{https://b.example}' WHERE id = $1"
    await execute(accounts.app, query, client.id)
    accounts.app.services.clients.drop(client.id)
    assert challenge_of(await device.me()) == INVALID


async def test_a_disabled_or_revoked_client_has_no_tokens(accounts: Accounts) -> None:
    """RS-2, ATK-106: also while the pod still remembers it otherwise."""
    for change in ("enabled = false", "epoch = epoch + 1"):
        client = await register_web(accounts.app)
        device = accounts.browser(client).take(await begin(accounts.app, client))
        assert (await device.me()).status_code == 200
        query = f"UPDATE clients SET {change} WHERE id = $1"  # noqa: S608 (from the line above)
        await execute(accounts.app, query, client.id)
        assert challenge_of(await device.me()) == INVALID


async def test_whatever_is_wrong_with_a_token_the_answer_is_one(
    accounts: Accounts, begun: Begun, browser: Device
) -> None:
    """RS-2, ATK-106: bodies alike, byte for byte."""
    other = await begin(accounts.app, accounts.web, begun.user)
    forge = Forge(accounts.app, accounts.web.id)
    header, body, signature = other.tokens.access_token.split(".")
    tampered = f"{header}.{body}.{signature[::-1]}"
    void = [forge.token(), "x", f"{header}.{body}.", tampered]
    await disable(accounts.app.services.database, begun.user.id, OPERATOR)
    tokens = [*void, begun.tokens.access_token, other.tokens.access_token]
    answers = [await browser.me(authorization=f"Bearer {token}") for token in tokens]
    assert {challenge_of(answer) for answer in answers} == {INVALID}
    assert len({answer.content for answer in answers}) == 1


async def test_a_token_ends_by_its_own_clock(
    accounts: Accounts, browser: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RS-2: five minutes after it was made, though its session lives."""
    later = timedelta(seconds=300 + 31)
    monkeypatch.setattr("service.http.bearer.utc_now", lambda: utc_now() + later)
    assert challenge_of(await browser.me()) == INVALID
    monkeypatch.undo()
    assert (await browser.me()).status_code == 200


async def test_before_the_keys_are_loaded_nothing_is_refused_for_good(
    accounts: Accounts, browser: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """503, so that no app takes its user for logged out."""
    monkeypatch.setattr(accounts.app.services.keyring, "is_loaded", lambda: False)
    assert_refused(await browser.me(), "temporarily_unavailable", 503)


async def test_a_pages_token_is_refused_from_another_page(
    accounts: Accounts, browser: Device
) -> None:
    """LOGIN-4: 403, and no CORS; without a page the token is good."""
    assert (await browser.me(origin=None)).status_code == 200
    for origin in ("https://evil.example", "null", ""):
        assert_refused(await browser.me(origin=origin), "access_denied", 403)
