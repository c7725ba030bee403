"""What a browser keeps of a sign-on, and what ends it. LOGIN-1 to LOGIN-3."""

from hashlib import sha256
from typing import Any

import pytest

from service.app import App
from service.oauth.sign_on import read_cookie_value
from service.sql.sign_ons import is_signed_on as is_signed_on_still
from tests.conftest import RegisteredClient
from tests.http.at_pages import (
    SIGN_ON,
    count,
    make_person,
    sign_in,
    signed_on,
    tokens_of,
    visitor,
)
from tests.http.browsing import (
    Browser,
    Pkce,
    make_web_client,
    obtain_code,
    request_of,
)
from tests.sessions import claims_of, execute, fetch, fetch_session

PKCE = Pkce()
LIVING = "SELECT count(*) FROM sign_ons WHERE user_id = $1 AND ended_at IS NULL"


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


async def is_signed_on(browser: Browser) -> bool:
    """Whether the account is shown."""
    answer = await browser.get("/account")
    assert answer.status_code in {200, 303}
    return answer.status_code == 200


async def test_the_cookie_of_a_sign_on(app: App) -> None:
    """LOGIN-1, LOGIN-2: opaque, for this host alone, out of scripts' reach; its hash is kept."""
    browser, user = visitor(app), await make_person(app)
    answer = await sign_in(browser, await browser.get("/login"), user)
    assert (answer.status_code, answer.headers["location"]) == (303, "/account")
    assert answer.headers["cache-control"] == "no-store"
    (cookie,) = answer.headers.get_list("set-cookie")
    value = browser.cookies[SIGN_ON]
    seconds = int(app.services.settings.sign_on_absolute.total_seconds())
    attributes = f"Max-Age={seconds}; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert cookie == f"{SIGN_ON}={value}; {attributes}"
    held = read_cookie_value(value)
    assert held is not None
    assert len(held.secret) == 32
    query = "SELECT secret_digest FROM sign_ons WHERE id = $1"
    assert await fetch(app, query, held.id) == sha256(held.secret).digest()
    assert await is_signed_on(browser)


async def test_a_cookie_from_before_is_nobodys_after(app: App, client: RegisteredClient) -> None:
    """LOGIN-2, ATK-75: fixation; neither a made-up one nor that of the attacker's own sign-on."""
    mallory, user = await signed_on(app), await make_person(app)
    for planted in ("A" * 64, mallory.browser.cookies[SIGN_ON]):
        browser = visitor(app)
        browser.cookies[SIGN_ON] = planted
        request = request_of(client, PKCE, prompt="select_account")
        page = await browser.follow(await browser.get("/authorize", **request))
        await sign_in(browser, page, user)
        assert browser.cookies[SIGN_ON] != planted
        assert await is_signed_on(browser)
        browser.cookies[SIGN_ON] = planted
        assert not await is_signed_on(browser)


async def test_a_new_proof_is_a_new_cookie(app: App, client: RegisteredClient) -> None:
    """LOGIN-2: of the same sign-on, whose sessions go on; copies of the old one are dead."""
    someone = await signed_on(app)
    code = await obtain_code(someone.browser, client, PKCE)
    tokens = await tokens_of(app, client, code, PKCE)
    copy = visitor(app)
    copy.cookies = dict(someone.browser.cookies)
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="login"))
    await sign_in(someone.browser, page, someone.user)
    assert await is_signed_on(someone.browser)
    assert not await is_signed_on(copy)
    assert await count(app, LIVING, someone.user.id) == 1
    session = await fetch_session(app, claims_of(tokens["access_token"])["sid"])
    assert session["revoked_at"] is None


async def test_another_user_ends_what_the_browser_had(app: App, client: RegisteredClient) -> None:
    """LOGIN-2."""
    someone, other = await signed_on(app), await make_person(app)
    code = await obtain_code(someone.browser, client, PKCE)
    tokens = await tokens_of(app, client, code, PKCE)
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="select_account"))
    await sign_in(someone.browser, page, other)
    assert await count(app, LIVING, someone.user.id) == 0
    session = await fetch_session(app, claims_of(tokens["access_token"])["sid"])
    assert session["revoked_reason"] == "signed_out"


async def test_signing_out_ends_copies_of_the_cookie(app: App) -> None:
    """LOGIN-2."""
    someone, copy = await signed_on(app), visitor(app)
    copy.cookies = dict(someone.browser.cookies)
    page = await someone.browser.get("/logout")
    await someone.browser.submit(page, decision="sign_out")
    assert not await is_signed_on(copy)


_OVER = {
    "idle": "UPDATE sign_ons SET idle_expires_at = clock_timestamp() WHERE user_id = $1",
    "at last": "UPDATE sign_ons SET expires_at = clock_timestamp() WHERE user_id = $1",
}


@pytest.mark.parametrize("over", _OVER.values(), ids=_OVER)
async def test_a_sign_on_is_over_at_its_time(app: App, over: str) -> None:
    """LOGIN-3: unused for too long, and in any case."""
    someone = await signed_on(app)
    await execute(app, over, someone.user.id)
    assert not await is_signed_on(someone.browser)


async def test_a_use_moves_the_idle_end_and_not_the_other(app: App) -> None:
    """LOGIN-3."""
    someone = await signed_on(app)
    ends = "SELECT (idle_expires_at, expires_at) FROM sign_ons WHERE user_id = $1"
    back = """UPDATE sign_ons SET idle_expires_at = idle_expires_at - interval '2 minutes',
              last_used_at = last_used_at - interval '2 minutes' WHERE user_id = $1"""
    await execute(app, back, someone.user.id)
    before = await fetch(app, ends, someone.user.id)
    assert await is_signed_on(someone.browser)
    after = await fetch(app, ends, someone.user.id)
    assert after[0] > before[0]
    assert after[1] == before[1]


async def test_a_use_does_not_wait_for_a_redemption(app: App) -> None:
    """LOGIN-3: which holds the sign-on until its COMMIT is on the disk; the next use moves it."""
    someone = await signed_on(app)
    back = """UPDATE sign_ons SET idle_expires_at = idle_expires_at - interval '2 minutes'
              WHERE user_id = $1 RETURNING idle_expires_at"""
    before = await fetch(app, back, someone.user.id)
    held = read_cookie_value(someone.browser.cookies[SIGN_ON])
    assert held is not None
    async with app.services.database.transaction() as connection:
        assert await is_signed_on_still(connection, held.id)
        assert await is_signed_on(someone.browser)
    assert await is_signed_on(someone.browser)
    after = await fetch(app, "SELECT idle_expires_at FROM sign_ons WHERE id = $1", held.id)
    assert after > before


COOKIES: dict[str, Any] = {
    "two of a name": lambda good: f"{SIGN_ON}={good}; {SIGN_ON}={good}",
    "a sibling's first": lambda good: f"{SIGN_ON}={'A' * 64}; {SIGN_ON}={good}",
    "in quotes": lambda good: f'{SIGN_ON}="{good}"',
    "padded": lambda good: f"{SIGN_ON}={good}=",
    "cut": lambda good: f"{SIGN_ON}={good[:-1]}",
    "another case": lambda good: f"{SIGN_ON.lower()}={good}",
    "huge": lambda good: f"{SIGN_ON}={good * 200}",
    "not ASCII": lambda _: f"{SIGN_ON}=\xff\xfe",
    "behind what Latin-1 has for a space": lambda good: f"\xa0{SIGN_ON}={good}",
    "behind a control": lambda good: f"\x85{SIGN_ON}={good}",
    "another secret": lambda good: f"{SIGN_ON}={good[:24]}{'A' * 40}",
}


@pytest.mark.parametrize("spoil", COOKIES.values(), ids=COOKIES)
async def test_what_is_not_the_one_cookie_is_nobodys(app: App, spoil: Any) -> None:
    """ATK-75, LOGIN-1: and no fault of ours."""
    someone = await signed_on(app)
    cookie = spoil(someone.browser.cookies[SIGN_ON]).encode("latin-1")
    answer = await someone.browser.http.get("/account", headers={b"cookie": cookie})
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")


async def test_a_sibling_can_not_set_what_is_taken_for_ours(app: App) -> None:
    """ATK-75: browsers let a sibling have a name that begins with another byte than __Host-."""
    someone = await signed_on(app)
    good = f"{SIGN_ON}={someone.browser.cookies[SIGN_ON]}"
    cookie = f"\xa0{SIGN_ON}={'A' * 64}; {good}".encode("latin-1")
    answer = await someone.browser.http.get("/account", headers={b"cookie": cookie})
    assert answer.status_code == 200
