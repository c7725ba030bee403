"""What keeps foreign pages out of /api: CSRF (LOGIN-4, ATK-76) and CORS (TOK-40, ATK-73)."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from service.app import App
from service.flows import allowed_origins
from service.http.api_endpoints import ACTIONS
from tests.http.accounts import (
    ORIGIN,
    PASSWORD,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
    register_web,
)
from tests.sessions import begin, execute

SOME_SESSION = "01a1fd5f-f6f4-756f-a237-70a7a26ababf"
PATHS = [path.removeprefix("/api/").replace("{id}", SOME_SESSION) for path in ACTIONS]
CHANGING = [
    (method, path.removeprefix("/api/").replace("{id}", SOME_SESSION))
    for path, actions in ACTIONS.items()
    for method in sorted(actions)
    if method != "GET"
]
FOREIGN = [
    *("https://evil.example", "null", "", "*", f"{ORIGIN}.evil", f"{ORIGIN}/", f"{ORIGIN}:443"),
    *("http://app.example", "https://sub.app.example", "https://APP.example", "app.example"),
    *("https://app.example\\@evil", "https://app.example,https://evil.example", "a\xff"),
    *(f"{ORIGIN} {ORIGIN}", "http://[::1", "https://evil.example:99999", "file://", "x" * 4000),
]
ACAO = "access-control-allow-origin"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def browser(accounts: Accounts) -> Device:
    return accounts.browser().take(await begin(accounts.app, accounts.web))


def readable_by(answer: httpx.Response) -> list[str]:
    """The origins whose pages may read the answer; never `*`, and a cache keeps them apart."""
    assert answer.headers.get_list("vary") == ["Origin"]
    allowed = answer.headers.get_list(ACAO)
    credentials = answer.headers.get_list("access-control-allow-credentials")
    assert credentials == ["true"] * len(allowed)
    assert "*" not in allowed
    return allowed


@pytest.mark.parametrize(
    "types",
    [
        [],
        ["text/plain"],
        ["text/plain;charset=UTF-8"],
        ["application/x-www-form-urlencoded"],
        ["multipart/form-data; boundary=x"],
        [""],
        ["application/json", "application/json"],
        ["application/json", "text/plain"],
        ["application/json, text/plain"],
        ["text/plain; application/json"],
        ["application/jsonx"],
        ["application/json; charset=utf-16"],
        ["application/json; charset=latin-1"],
        ["application/json; x=y"],
        ["application/problem+json"],
        ["text/json"],
    ],
    ids=str,
)
async def test_what_a_form_can_send_is_refused(browser: Device, types: list[str]) -> None:
    """LOGIN-4: 415, though the body parses as JSON; where there is no body, too."""
    for method, path in CHANGING:
        for body in (None, {}):
            more = [("content-type", text) for text in types]
            answer = await browser.ask(method, path, body, content_type=None, more=more)
            assert_refused(answer, "invalid_request", 415)
            assert readable_by(answer) == [ORIGIN]


async def test_the_type_may_be_spelled_as_clients_do(accounts: Accounts, browser: Device) -> None:
    for text in (
        *("application/json", "Application/JSON", "application/json;charset=utf-8"),
        *('application/json; charset="UTF-8"', " application/json ", "application/json;"),
    ):
        answer = await browser.ask("PATCH", "me", {"full_name": "Anna"}, content_type=text)
        assert answer.status_code == 200, text


@pytest.mark.parametrize(("method", "path"), CHANGING)
async def test_the_header_that_no_form_can_send_is_needed(
    accounts: Accounts, browser: Device, method: str, path: str
) -> None:
    """LOGIN-4: a foreign page would have to ask first, by a preflight that it does not pass."""
    for value in (None, "", " ", "\t"):
        answer = await browser.ask(method, path, x_requested_with=value)
        assert_refused(answer, "access_denied", 403)
        assert readable_by(answer) == [ORIGIN]
    answer = await browser.ask(method, path, x_requested_with=None, more=[("x-requested-with", "")])
    assert_refused(answer, "access_denied", 403)
    assert (await browser.me()).status_code == 200


@pytest.mark.parametrize("path", PATHS)
async def test_a_preflight_from_our_own_page_passes(accounts: Accounts, path: str) -> None:
    """TOK-40: with credentials, for this origin alone."""
    browser = accounts.browser()
    asks = {
        "access_control_request_method": "DELETE",
        "access_control_request_headers": "authorization,content-type,x-requested-with",
    }
    answer = await browser.ask("OPTIONS", path, **asks)
    assert (answer.status_code, answer.content) == (204, b"")
    assert readable_by(answer) == [ORIGIN]
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert allowed == {"authorization", "content-type", "x-requested-with"}
    methods = set(answer.headers["access-control-allow-methods"].split(", "))
    assert methods == {"GET", "POST", "PATCH", "DELETE"}
    assert int(answer.headers["access-control-max-age"]) <= 600


@pytest.mark.parametrize("origin", FOREIGN, ids=lambda text: f"{text!a:.40}")
async def test_no_other_page_passes_or_reads_anything(
    accounts: Accounts, browser: Device, origin: str
) -> None:
    """ATK-73: by preflight, on success, and on any refusal."""
    raw = origin.encode("latin-1")
    answer = await browser.ask("OPTIONS", "login", origin=raw)
    assert "access-control-allow-methods" not in answer.headers
    assert readable_by(answer) == []
    for answer in (
        await browser.me(origin=raw),
        await browser.refresh(origin=raw),
        await browser.post("login", {}, origin=raw),
        await browser.post("login", content=b"{", origin=raw),
        await browser.me(origin=raw, authorization=None),
        await browser.ask("PUT", "me", origin=raw),
    ):
        assert answer.status_code >= 400
        assert readable_by(answer) == []
        assert "set-cookie" not in answer.headers


async def test_without_an_origin_nothing_is_said_of_any(
    accounts: Accounts, browser: Device
) -> None:
    """TOK-40: but that it would matter."""
    for answer in (await browser.me(origin=None), await browser.ask("OPTIONS", "me", origin=None)):
        assert answer.status_code in (200, 204)
        assert readable_by(answer) == []


async def test_our_own_page_reads_every_answer(accounts: Accounts, browser: Device) -> None:
    """TOK-40: also that its token has expired, for how long to wait, and which challenge."""
    user = await accounts.user()
    body = {"username": user.username, "password": PASSWORD}
    statuses: dict[int, httpx.Response] = {}
    for answer in (
        await browser.me(),
        await browser.ask("DELETE", f"sessions/{uuid4()}"),
        await browser.me(authorization=None),
        await browser.me(authorization="Bearer x"),
        await browser.me(more=[("authorization", "Bearer x")]),
        await browser.post("login", body),
        await browser.post("login", {**body, "password": "wrong"}),
        await browser.post("login", {**body, "client_id": "nobody-here"}),
        await browser.post("login", {}),
        await browser.post("login", body, content_type="text/plain"),
        await browser.post("login", body, x_requested_with=None),
        await browser.post("login", content=b"x" * 70_000),
        await browser.ask("PUT", "me"),
        await browser.logout(),
        await browser.refresh(),
    ):
        statuses[answer.status_code] = answer
        assert readable_by(answer) == [ORIGIN]
        exposed = answer.headers["access-control-expose-headers"]
        assert exposed == "retry-after, www-authenticate, x-request-id"
    assert set(statuses) == {200, 204, 400, 401, 403, 404, 405, 413, 415}


@pytest.fixture
def unkept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Origins are read anew for each request, where they are kept for 5 s."""
    monkeypatch.setattr(allowed_origins, "_FRESH_SECONDS", 0.0)


@pytest.mark.usefixtures("unkept")
async def test_one_client_s_page_does_not_read_what_another_s_gets(accounts: Accounts) -> None:
    """TOK-40: on the actual request, of that client alone."""
    other = "https://other.example"
    await register_web(accounts.app, allowed_origins=(other,))
    browser = accounts.browser().take(await begin(accounts.app, accounts.web))
    assert readable_by(await browser.ask("OPTIONS", "me", origin=other)) == [other]
    for answer in (await browser.me(origin=other), await browser.post("login", {}, origin=other)):
        assert_refused(answer, "access_denied", 403)
        assert readable_by(answer) == []


@pytest.mark.usefixtures("unkept")
async def test_a_third_partys_or_disabled_clients_origin_is_none(accounts: Accounts) -> None:
    """TOK-40: a page that was of ours is not any longer."""
    former = f"https://{uuid4().hex}.example"
    client = await register_web(accounts.app, allowed_origins=(former,))
    browser = accounts.browser()
    assert readable_by(await browser.ask("OPTIONS", "me", origin=former)) == [former]
    await execute(accounts.app, "UPDATE clients SET enabled = false WHERE id = $1", client.id)
    assert readable_by(await browser.ask("OPTIONS", "me", origin=former)) == []


@pytest.mark.parametrize("path", ["/token", "/introspect", "/revoke"])
async def test_allowed_origins_are_for_api_alone(accounts: Accounts, path: str) -> None:
    """At the token endpoint the named client's redirect URIs count (test_cross_origin.py)."""
    for method in ("OPTIONS", "POST"):
        answer = await accounts.http.request(method, path, headers={"origin": ORIGIN})
        assert not [name for name in answer.headers if name.startswith("access-control")]
