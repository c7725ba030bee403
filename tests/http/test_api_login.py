"""POST /api/login: who logs in, from where, and how tokens are delivered. LOGIN-6."""

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from service.app import App
from service.keys.signer import SignerUnavailable
from service.oauth.user import User
from tests.conftest import AUDIENCE, register
from tests.http.accounts import (
    ORIGIN,
    PASSWORD,
    Accounts,
    assert_refused,
    open_accounts,
    read_set_cookie,
    register_web,
)
from tests.sessions import begin, claims_of, execute, fetch, fetch_session, make_public, read

EVIL = "https://evil.example"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture(scope="module")
async def anna(accounts: Accounts) -> User:
    return await accounts.user()


async def test_a_web_app_gets_the_refresh_token_in_a_cookie_alone(
    accounts: Accounts, anna: User
) -> None:
    """LOGIN-6, RFC 6749 §5.1: each attribute of the cookie is pinned by `read_set_cookie`."""
    browser = accounts.browser()
    answer = await browser.login(anna.username)
    assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 300)
    assert answer.headers.get_list("cache-control") == ["no-store"]
    cookie = read_set_cookie(answer)
    assert cookie
    assert cookie["token"].startswith("wwr_")
    assert 7 * 86400 - 60 < int(cookie["seconds"]) <= 7 * 86400
    claims = claims_of(answer.json()["access_token"])
    assert (claims["sub"], claims["aud"]) == (str(anna.id), AUDIENCE)
    assert (claims["client_id"], claims["amr"]) == (accounts.web.id, ["pwd"])
    assert claims["sid"] == str(read(accounts.app, cookie["token"]).session_id)


async def test_where_nothing_can_be_signed_no_session_is_left_behind(
    accounts: Accounts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer says that it can be tried again; the user's list shows none that nobody holds."""

    def fail(*_: object) -> str:
        raise SignerUnavailable("the token is away")

    berta = await accounts.user()
    monkeypatch.setattr("service.flows.session_tokens.sign", fail)
    answer = await accounts.browser().login(berta.username)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    sessions = "SELECT count(*) FROM sessions WHERE user_id = $1"
    assert await fetch(accounts.app, sessions, berta.id) == 0


async def test_the_cookie_lasts_until_the_nearer_expiry(accounts: Accounts, anna: User) -> None:
    """LOGIN-6, RT-4."""
    day = timedelta(days=1)
    client = await register_web(accounts.app, session_idle_ttl=day, session_absolute_ttl=day)
    cookie = read_set_cookie(await accounts.browser(client).login(anna.username))
    assert cookie
    assert 86400 - 60 < int(cookie["seconds"]) <= 86400


async def test_a_native_app_gets_both_in_the_body_and_no_cookie(
    accounts: Accounts, anna: User
) -> None:
    """LOGIN-6: the registration decides, no header does."""
    phone = accounts.phone()
    answer = await phone.login(anna.username)
    members = {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert set(answer.json()) == members
    assert "set-cookie" not in answer.headers
    assert answer.headers.get_list("cache-control") == ["no-store"]


async def test_one_logs_in_by_name_or_address_in_any_case(accounts: Accounts, anna: User) -> None:
    for name in (anna.username, anna.email):
        assert name
        for spelling in (name, name.upper(), name.title()):
            assert (await accounts.browser().login(spelling)).status_code == 200
    for other in (f" {anna.username}", f"{anna.username} ", f"{anna.username}@", str(anna.id)):
        assert_refused(await accounts.browser().login(other), "invalid_credentials", 401)


@pytest.mark.parametrize("named", ["default", "null", "empty", "named"])
async def test_without_a_client_the_configured_one_is_meant(
    accounts: Accounts, anna: User, named: str
) -> None:
    client_id = {"null": None, "empty": "", "named": accounts.web.id}.get(named)
    body: dict[str, Any] = {"username": anna.username, "password": PASSWORD}
    body |= {} if named == "default" else {"client_id": client_id}
    answer = await accounts.browser().post("login", body)
    assert claims_of(answer.json()["access_token"])["client_id"] == accounts.web.id
    assert read_set_cookie(answer)


async def test_where_no_client_is_configured_one_has_to_be_named(
    accounts: Accounts, anna: User
) -> None:
    body = {"username": anna.username, "password": PASSWORD}
    async with open_accounts(accounts.app, first_party_client_id="") as opened:
        for path in ("login", "refresh", "logout", "register"):
            assert_refused(await opened.browser().post(path, body), "invalid_client")
        assert (await opened.browser().login(anna.username)).status_code == 200


async def test_third_parties_and_machines_log_nobody_in(accounts: Accounts, anna: User) -> None:
    """LOGIN-6: 400 before any hash; a disabled client of ours, neither."""
    disabled = await register_web(accounts.app)
    await execute(accounts.app, "UPDATE clients SET enabled = false WHERE id = $1", disabled.id)
    third, machine = await make_public(accounts.app), await register(accounts.app)
    seen = len(accounts.hasher.verified)
    for client_id in (third.id, machine.id, disabled.id, "nobody-here", "x" * 5000, "' OR 1=1--"):
        for device in (accounts.browser(), accounts.phone()):
            answer = await device.login(anna.username, client_id=client_id)
            assert_refused(answer, "invalid_client")
    for client_id in (5, ["x"], {"x": 1}, True):
        answer = await accounts.browser().login(anna.username, client_id=client_id)
        assert_refused(answer, "invalid_request", fields={"client_id"})
    assert len(accounts.hasher.verified) == seen


@pytest.mark.parametrize(
    "origin",
    [
        *(
            None,
            EVIL,
            "null",
            "",
            f"{ORIGIN}.evil",
            f"{ORIGIN}/",
            f"{ORIGIN}:443",
            "http://app.example",
        ),
        *(
            "https://sub.app.example",
            "https://APP.example",
            "https://evil.example/https://app.example",
        ),
    ],
)
async def test_a_web_app_logs_in_from_its_own_pages_alone(
    accounts: Accounts, anna: User, origin: str | None
) -> None:
    """ATK-76, LOGIN-4: login CSRF; 403 before any hash."""
    browser, seen = accounts.browser(), len(accounts.hasher.verified)
    browser.origin = ORIGIN
    body = {"username": anna.username, "password": PASSWORD}
    answer = await browser.post("login", body, origin=origin)
    assert_refused(answer, "access_denied", 403)
    assert len(accounts.hasher.verified) == seen


async def test_two_origins_are_none_of_ours(accounts: Accounts, anna: User) -> None:
    """LOGIN-4."""
    body = {"username": anna.username, "password": PASSWORD}
    for other in (ORIGIN, EVIL):
        answer = await accounts.browser().post("login", body, more=[("origin", other)])
        assert_refused(answer, "access_denied", 403)


async def test_pages_of_the_issuer_itself_are_ours(accounts: Accounts, anna: User) -> None:
    """LOGIN-6."""
    body = {"username": anna.username, "password": PASSWORD}
    issuer = accounts.app.services.issuer
    answer = await accounts.browser().post("login", body, origin=issuer)
    assert answer.status_code == 200


async def test_a_login_begins_a_session_of_its_own_whatever_cookie_was_there(
    accounts: Accounts, anna: User
) -> None:
    """ATK-75, LOGIN-2: session fixation; a stranger's cookie is replaced and continues nothing."""
    stranger = await begin(accounts.app, accounts.web)
    browser = accounts.browser()
    browser.refresh_token = stranger.token
    assert (await browser.login(anna.username)).status_code == 200
    assert read(accounts.app, browser.refresh_token).session_id != stranger.id
    assert claims_of(browser.access or "")["sub"] == str(anna.id)
    assert (await fetch_session(accounts.app, stranger.id))["generation"] == 0


async def test_an_issuer_with_a_path_has_its_accounts_under_it(
    accounts: Accounts, anna: User
) -> None:
    """Its own pages are those of its host; the cookie's path is / all the same."""
    issuer = accounts.app.services.issuer
    body = {"username": anna.username, "password": PASSWORD}
    async with open_accounts(accounts.app, issuer=f"{issuer}/auth") as below:
        answer = await below.browser().post("login", body, origin=issuer)
        assert answer.status_code == 200
        assert read_set_cookie(answer)
        for path in ("/api/login", "/authapi/login", "/auth/auth/api/login", "/auth/api/login/"):
            answer = await below.http.post(f"{issuer}{path}", json=body)
            assert answer.status_code == 404


@pytest.mark.parametrize(
    "headers",
    [
        *({"origin": ORIGIN}, {"origin": EVIL}, {"origin": "null"}, {"origin": "itself"}),
        *({"sec_fetch_site": site} for site in ("same-origin", "none", "cross-site", "")),
    ],
    ids=str,
)
async def test_a_native_app_is_no_page(
    accounts: Accounts, anna: User, headers: dict[str, str]
) -> None:
    """LOGIN-6: a refresh token in a body must never come to a browser; 403 before any hash."""
    phone, seen = accounts.phone(), len(accounts.hasher.verified)
    if headers.get("origin") == "itself":
        headers = {"origin": accounts.app.services.issuer}
    body = {"client_id": accounts.native.id, "username": anna.username, "password": PASSWORD}
    for path, members in (("login", body), ("refresh", {"refresh_token": "x"} | phone.shown())):
        assert_refused(await phone.post(path, members, **headers), "access_denied", 403)
    assert len(accounts.hasher.verified) == seen


AGENTS = {
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0": "Firefox on Linux",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1 (KHTML, like Gecko)"
    " Version/18.0 Mobile/15E148 Safari/604.1": "Safari on iPhone",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
    " Safari/537.36 Edg/140.0": "Edge on Windows",
    "Mozilla/5.0 (Linux; Android 15) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
    " Mobile Safari/537.36": "Chrome on Android",
    "curl/8.10": "curl",
    "A\x1b[31mhome\x85made thing": "A[31mhomemade thing",
    "x" * 5000: "x" * 100,
}  # fmt: skip


@pytest.mark.parametrize(("agent", "device"), AGENTS.items(), ids=[*map(str, range(len(AGENTS)))])
async def test_a_session_is_named_after_its_device(
    accounts: Accounts, anna: User, agent: str, device: str
) -> None:
    """LOGIN-3: what the user sees in the list; nothing there that a terminal obeys."""
    body = {"username": anna.username, "password": PASSWORD}
    browser = accounts.browser()
    raw = agent.encode("latin-1")
    browser.keep(await browser.post("login", body, user_agent=raw))
    row = await fetch_session(
        accounts.app, read(accounts.app, browser.refresh_token or "").session_id
    )
    assert row["device"] == device


@pytest.mark.parametrize(
    ("named", "device"),
    [("Anna's tablet", "Anna's tablet"), ("\u202e\x07", None), ("y" * 400, "y" * 100)],
)
async def test_an_app_may_name_its_device(
    accounts: Accounts, anna: User, named: str, device: str | None
) -> None:
    phone = accounts.phone()
    await phone.login(anna.username, device=named)
    row = await fetch_session(
        accounts.app, read(accounts.app, phone.refresh_token or "").session_id
    )
    assert row["device"] == device
