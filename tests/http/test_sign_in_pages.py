"""The forms of /login: whose they are, where they lead, what they give away. LOGIN-4, 5 and 10."""

from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import App
from service.flows.manage_users import disable
from service.flows.origin import OPERATOR
from tests.conftest import RegisteredClient
from tests.http.accounts import PASSWORD, Accounts, open_accounts
from tests.http.at_pages import (
    SIGN_ON,
    assert_page,
    make_person,
    sign_in,
    signed_on,
    visitor,
)
from tests.http.browsing import (
    Pkce,
    hidden,
    make_web_client,
    open_browser,
)
from tests.sessions import know_user

PKCE = Pkce()
LIVING = "SELECT count(*) FROM sign_ons WHERE user_id = $1 AND ended_at IS NULL"


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


SITES: dict[str, dict[str, str]] = {
    "no origin": {},
    "another origin": {"origin": "https://evil.example"},
    "a look-alike": {"origin": "http://localhost:8000.evil.example"},
    "another port": {"origin": "http://localhost:8001"},
    "null": {"origin": "null"},
    "cross-site": {"origin": "http://localhost:8000", "sec-fetch-site": "cross-site"},
    "same-site": {"origin": "http://localhost:8000", "sec-fetch-site": "same-site"},
    "none": {"sec-fetch-site": "none"},
}


@pytest.mark.parametrize("headers", SITES.values(), ids=SITES)
@pytest.mark.parametrize("path", ["/login", "/register", "/consent"])
async def test_forms_come_from_our_own_pages(
    app: App, client: RegisteredClient, path: str, headers: dict[str, str]
) -> None:
    """LOGIN-4, ATK-71, ATK-76: login CSRF, though the token be right."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    cookies = {"cookie": "; ".join(f"{k}={v}" for k, v in someone.browser.cookies.items())}
    fields = {**hidden(page), "decision": "allow", "username": str(someone.user.username)}
    http = someone.browser.http
    answer = await http.post(path, data=fields, headers={**cookies, **headers})
    assert_page(answer, 403)
    assert "set-cookie" not in answer.headers
    ours = {"origin": "null", "sec-fetch-site": "same-origin"}  # pages without a referrer
    answer = await http.post("/consent", data=fields, headers={**cookies, **ours})
    assert answer.status_code == 303


async def test_a_form_has_the_token_of_its_browser(app: App) -> None:
    """LOGIN-4, ATK-76: none, another's, one of another request; then nobody is signed on."""
    browser, other, user = visitor(app), visitor(app), await make_person(app)
    page, foreign = await browser.get("/login"), hidden(await other.get("/login"))
    names = {"username": str(user.username), "password": "four words for Ada"}
    for csrf in ({}, {"csrf": ""}, foreign, {"csrf": "é"}, {"csrf": "A" * 43}):
        answer = await browser.post("/login", **csrf, **names)
        assert_page(answer, 403)
        assert SIGN_ON not in browser.cookies
    # Without the cookie that it is bound to, a token is none.
    stranger = open_browser(app)
    assert_page(await stranger.post("/login", **hidden(page), **names), 403)
    assert (await browser.submit(page, **names)).status_code == 303


async def test_a_token_from_before_the_sign_in_is_of_no_use_after(app: App) -> None:
    """LOGIN-4: it is bound to who is signed on."""
    browser, user = visitor(app), await make_person(app)
    page = await browser.get("/login")
    assert (await sign_in(browser, page, user)).status_code == 303
    assert_page(await sign_in(browser, page, user), 403)


@pytest.mark.parametrize("name", ["return_to", "next", "redirect", "continue", "uri"])
@pytest.mark.parametrize(
    "to", ["//evil.example", "/\\evil.example", "https:evil", "/%2F/evil", "javascript:alert(1)"]
)
async def test_no_parameter_says_where_to_go(app: App, name: str, to: str) -> None:
    """LOGIN-5."""
    someone = await signed_on(app)
    answer = await someone.browser.get("/login", **{name: to})
    assert answer.headers["location"] == "/account"


@pytest.fixture
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app, limits={"per_account_and_address": 3}) as opened:
        yield opened


async def attempt(app: App, name: str, password: str) -> httpx.Response:
    browser = visitor(app)
    page = await browser.get("/login")
    return await browser.submit(page, username=name, password=password)


def bare(answer: httpx.Response, name: str) -> tuple[object, ...]:
    """All that a stranger sees of it, but for what is random or was typed."""
    text = answer.text.replace(name, "NAME")
    for value in hidden(answer).values():
        text = text.replace(value, "")
    headers = [(k, v) for k, v in answer.headers.multi_items() if k != "x-request-id"]
    return answer.status_code, text, [it for it in headers if it[0] != "content-length"]


async def test_whoever_can_not_sign_in_sees_one_page(accounts: Accounts) -> None:
    """LOGIN-10, ATK-78: one verification each."""
    anna, off = await accounts.user(), await accounts.user()
    database = accounts.app.services.database
    await disable(database, off.id, OPERATOR)
    own = {user: (await know_user(database, user.id)).password_hash for user in (anna, off)}
    seen: list[tuple[object, ...]] = []
    for name, password, against in (
        ("nobody-at-all", PASSWORD, None),
        (str(anna.username), PASSWORD + "x", own[anna]),
        (str(off.username), PASSWORD, own[off]),
        (str(off.username), "wrong wrong", own[off]),
    ):
        accounts.hasher.verified.clear()
        answer = await attempt(accounts.app, name, password)
        assert_page(answer, 401)
        assert accounts.hasher.verified == [against]
        seen.append(bare(answer, name))
    assert len({str(it) for it in seen}) == 1


async def test_guesses_count_wherever_they_are_made(accounts: Accounts) -> None:
    """RATE-3, LOGIN-10: the page and /api/login share one count, and the page says how long."""
    anna, device = await accounts.user(), accounts.browser()
    browser = open_browser(accounts.app)
    browser.http.headers["x-forwarded-for"] = device.address
    for _ in range(3):
        assert (await device.login(str(anna.username), "wrong")).status_code == 401
    accounts.hasher.verified.clear()
    page = await browser.get("/login")
    answer = await browser.submit(page, username=str(anna.username), password=PASSWORD)
    assert_page(answer, 429)
    assert int(answer.headers["retry-after"]) > 0
    assert accounts.hasher.verified == []
    assert (await attempt(accounts.app, str(anna.username), PASSWORD)).status_code == 303


async def test_what_was_typed_comes_back_escaped(app: App) -> None:
    """ATK-74."""
    answer = await attempt(app, '"><script>alert(1)</script>', "wrong wrong wrong")
    assert_page(answer, 401)
    assert "<script" not in answer.text
    assert "wrong wrong wrong" not in answer.text
