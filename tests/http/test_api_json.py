"""What may stand in a body under /api, and which methods there are. ATK-97, ATK-99, ATK-100."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from service.app import App
from service.http.api_endpoints import ACTIONS
from service.oauth.user import User
from tests.http.accounts import PASSWORD, Accounts, Device, assert_refused, open_accounts
from tests.sessions import begin, fetch, know_user

POSTS = ["register", "login", "refresh", "logout", "password"]
BODIES = [("POST", path) for path in POSTS] + [("PATCH", "me"), ("DELETE", "sessions")]
SESSION = "sessions/01a1fd52-3991-7b98-b0e3-b7a63839c280"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    limits = {"per_account_and_address": 10**6, "per_address": 10**6}
    async with open_accounts(app, limits=limits, registrations_per_address=10**6) as opened:
        yield opened


@pytest.fixture(scope="module")
async def anna(accounts: Accounts) -> User:
    return await accounts.user()


@pytest.fixture
async def browser(accounts: Accounts, anna: User) -> Device:
    known = await know_user(accounts.app.services.database, anna.id)
    return accounts.browser().take(await begin(accounts.app, accounts.web, known))


BROKEN = {
    "array": b"[]",
    "text": b'"x"',
    "number": b"1",
    "null": b"null",
    "true": b"true",
    "left open": b"{",
    "trailing comma": b'{"a":1,}',
    "two objects": b"{}{}",
    "single quotes": b"{'a':1}",
    "comment": b"{}//",
    "form": b"username=anna&password=x",
    "BOM": b"\xef\xbb\xbf{}",
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "invalid byte": b'{"username":"\xff"}',
    "overlong": b'{"username":"\xc0\xaf"}',
    "encoded surrogate": b'{"username":"\xed\xa0\x80"}',
    "raw NUL": b'{"username":"a\0b"}',
    "raw newline": b'{"username":"a\nb"}',
    "NUL after it": b"{}\0",
    "NaN": b'{"username":NaN}',
    "Infinity": b'{"username":-Infinity}',
    "twice": b'{"client_id":"a","client_id":"a"}',
    "twice, escaped": b'{"client_id":"a","client\\u005fid":"b"}',
    "twice, deeper": b'{"x":{"a":1,"a":2}}',
    "deep": b'{"x":' + b"[" * 4 + b"]" * 4 + b"}",
    "very deep": b'{"x":' * 5000 + b"1" + b"}" * 5000,
    "deep and open": b"[" * 60_000,
    "5000 digits": b'{"x":' + b"9" * 5000 + b"}",
}


@pytest.mark.parametrize("fault", BROKEN)
async def test_a_body_is_one_plain_object(browser: Device, fault: str) -> None:
    """LIB-2, LIB-3, ATK-9, ATK-99: 400, by one text; a refresh's cookie stays."""
    for method, path in BODIES:
        answer = await browser.ask(method, path, content=BROKEN[fault])
        assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("text", [r"\ud83d", r"a\udc00", r"\u0000", r"a\u0000b"])
async def test_what_no_database_takes_is_refused_by_its_member(browser: Device, text: str) -> None:
    """ATK-97, ATK-99, LIB-15: lone surrogates and NUL, escaped."""
    members = {
        "register": ("username", "email", "full_name", "avatar_url", "password", "client_id"),
        "login": ("username", "password", "device", "client_id"),
        "refresh": ("client_id",),
        "logout": ("client_id",),
        "password": ("current_password", "new_password"),
        "me": ("full_name", "avatar_url", "username", "email", "current_password"),
    }
    for path, names in members.items():
        for name in names:
            raw = f'{{"{name}":"{text}"}}'.encode()
            answer = await browser.ask("PATCH" if path == "me" else "POST", path, content=raw)
            assert answer.status_code == 400
            assert name in answer.json()["fields"]


async def test_a_name_that_nobody_knows_is_not_shown_again(browser: Device) -> None:
    """ATK-95: what is sent does not come back but for plain names."""
    poison = '<script>\r\n\x1b[31m"\u2028'
    answer = await browser.post("logout", {poison: 1, "plain": 1, "n" * 5000: 1})
    assert set(answer.json()["fields"]) == {"(a member)", "plain", "n" * 64}
    assert "<script" not in answer.text


async def test_a_body_has_64_kib(browser: Device) -> None:
    """ATK-100: 413, whether its length is said or not; nothing of it is parsed."""
    for method, path in BODIES:
        answer = await browser.ask(method, path, content=b"{" + b" " * 65_535 + b"}")
        assert_refused(answer, "invalid_request", 413)
        answer = await browser.ask(method, path, content=b"{}", content_length="99999999")
        assert_refused(answer, "invalid_request", 413)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 65_536

    answer = await browser.post("login", content=endless())
    assert_refused(answer, "invalid_request", 413)
    answer = await browser.post("login", content=b"{}", content_encoding="gzip")
    assert_refused(answer, "invalid_request")


async def test_an_empty_body_is_an_empty_object(browser: Device) -> None:
    assert (await browser.post("logout", content=b"")).status_code == 204
    answer = await browser.post("login", content=b"")
    assert_refused(answer, "invalid_request", fields={"username", "password"})


@pytest.mark.parametrize("path", ACTIONS)
async def test_other_methods_are_named(browser: Device, path: str) -> None:
    """RFC 9110 §15.5.6, ATK-41: 405 with Allow; nothing else makes one method another."""
    actions, path = ACTIONS[path], path.removeprefix("/api/").replace("{id}", "x")
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT", "X\x7f"):
        if method in actions:
            continue
        answer = await browser.ask(method, path, x_http_method_override=min(actions))
        assert_refused(answer, "method_not_allowed", 405)
        assert answer.headers.get_list("allow") == [", ".join(sorted(actions))]
    head = await browser.ask("HEAD", path)
    assert head.status_code == (200 if "GET" in actions else 405)
    assert head.headers.get_list("cache-control") == ["no-store"]


INJECTIONS = [
    "' OR '1'='1",
    "'; DROP TABLE users;--",
    '"; SELECT pg_sleep(9);--',
    "$1",
    "%",
    "_%",
    "*",
    "{1}",
    "{{7*7}}",
    "${jndi:x}",
    "a\r\nSET x y\r\n",
    "../../etc/passwd",
    "\\x00",
    "İSTANBUL",
    "ß" * 40,
    "\u202e",
    "a" * 8192,
]


@pytest.mark.parametrize("text", INJECTIONS, ids=lambda text: f"{text!a:.24}")
async def test_what_is_sent_is_never_more_than_a_text(
    accounts: Accounts, browser: Device, anna: User, text: str
) -> None:
    """ATK-97: SQL, Redis, templates, paths, in every text member; anna is who she was."""
    query = "SELECT count(*) FROM users"
    before = (await browser.me()).json(), await fetch(accounts.app, query)
    sent = text[:11]  # as a password, or it could stand in a log by chance
    device = accounts.browser()
    for path, names in (
        ("login", ("username", "password", "client_id", "device")),
        ("register", ("username", "email", "avatar_url", "client_id")),
    ):
        for name in names:
            known = {"username": "nobody-here", "password": "x"}
            answer = await device.post(path, {**known, name: sent if name == "password" else text})
            assert answer.status_code in (400, 401)
    for cookie in (f"__Host-watchword_refresh={text}", text):
        answer = await device.refresh(cookie=cookie.encode(), authorization=None)
        assert_refused(answer, "invalid_grant", cleared="set-cookie" in answer.headers)
    secret = {"current_password": PASSWORD}
    for members in ({"username": text}, {"email": text}, {"avatar_url": text}):
        answer = await browser.ask("PATCH", "me", members | secret)
        assert_refused(answer, "invalid_request", fields=set(members))
    answer = await browser.post("password", {"current_password": sent, "new_password": text})
    assert answer.status_code in (400, 401)
    phone = accounts.phone()
    phone.refresh_token = text
    assert_refused(await phone.refresh(), "invalid_grant")
    assert (await phone.logout()).status_code == 204
    assert ((await browser.me()).json(), await fetch(accounts.app, query)) == before


# Short, so that no password made up here is found in a log by chance.
_texts = st.text(max_size=9)
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=5,
)
_names = st.sampled_from(
    [
        *("username", "password", "email", "full_name", "avatar_url", "client_id", "device"),
        *("refresh_token", "current_password", "new_password", "roles", ""),
    ]
)
_bodies = st.dictionaries(_names, _values, max_size=5).map(json.dumps) | _texts


@pytest.mark.parametrize(("method", "path"), BODIES)
async def test_no_body_is_a_fault_of_ours(
    accounts: Accounts, anna: User, method: str, path: str
) -> None:
    """ATK-99: whatever is sent, no 5xx and no token."""
    known = await know_user(accounts.app.services.database, anna.id)
    begun = await begin(accounts.app, accounts.web, known)
    sent: list[str] = []

    @settings(max_examples=40, deadline=None, database=None, suppress_health_check=[*HealthCheck])
    @given(_bodies)
    def collect(body: str) -> None:
        sent.append(body)

    collect()
    for body in sent:
        browser = accounts.browser().take(begun)
        if method == "DELETE" and body.strip() in ("", "{}"):
            continue
        raw: Any = body.encode(errors="surrogatepass")
        answer = await browser.ask(method, path, content=raw)
        assert answer.status_code < 500, body
        if answer.status_code == 200:
            assert path in ("me", "refresh"), body
