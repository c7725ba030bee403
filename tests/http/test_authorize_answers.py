"""Where the answers of /authorize go, and how they travel: RFC 6749 §4.1.2, RFC 9207, RFC 8252."""

from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from service.app import App
from tests.conftest import RegisteredClient
from tests.http.at_pages import COUNT_CODES, assert_page, count, signed_on, visitor
from tests.http.browsing import CALLBACK, Pkce, hidden, make_web_client, request_of, response_of

PKCE = Pkce()


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


async def ask(app: App, client: RegisteredClient, **changes: str | None) -> httpx.Response:
    """The answer to a stranger's request, which is sent as a form does."""
    query = urlencode(request_of(client, PKCE, **changes))
    return await visitor(app).http.get(f"/authorize?{query}")


REDIRECTS = [
    # ATK-60
    f"{CALLBACK}/",
    f"{CALLBACK}?x=1",
    f"{CALLBACK}#",
    "https://app.example/CALLBACK",
    "HTTPS://APP.EXAMPLE/callback",
    "https://app.example:443/callback",
    "https://app.example/./callback",
    "https://app.example/x/../callback",
    "https://app.example/%63allback",
    f"{CALLBACK} ",
    f"{CALLBACK}%20",
    f"{CALLBACK}\n",
    # ATK-61
    "https://app.example@evil.example/callback",
    "https://evil.example\\@app.example/callback",
    "https://app.example\\.evil.example/callback",
    "https://app.example.evil.example/callback",
    "//app.example/callback",
    "https:app.example/callback",
    "https:///evil.example/callback",
    # ATK-62
    "https://\u0430pp.example/callback",
    "https://app。example/callback",
    "https://xn--pp-7kc.example/callback",
    "https://app\u200b.example/callback",
    # ATK-63
    "javascript:alert(1)",
    "data:text/html,x",
    "http://app.example/callback",
    "app:/callback",
    # ATK-66
    f"{CALLBACK}\r\nSet-Cookie: a=b",
]


@pytest.mark.parametrize("uri", REDIRECTS)
async def test_what_is_nearly_the_redirect_uri_is_a_page(
    app: App, client: RegisteredClient, uri: str
) -> None:
    """AUTHZ-3, ATK-60, ATK-61, ATK-62, ATK-63, ATK-66: also for who is signed on."""
    someone = await signed_on(app)
    answer = await someone.ask(client, PKCE, redirect_uri=uri)
    assert_page(answer)
    assert "set-cookie" not in answer.headers
    assert await count(app, COUNT_CODES, client.id) == 0


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("http://127.0.0.1:49152/cb", True),
        ("http://127.0.0.1/cb", True),
        ("http://127.0.0.1:49152/cb/", False),
        ("http://localhost:1/cb", False),
        ("http://[::1]:9/cb", False),
        ("http://127.0.0.1.evil.example/cb", False),
        ("http://127.0.0.2/cb", False),
        ("http://127.0.0.1:80@evil.example/cb", False),
        ("http://127.0.0.1:99999/cb", False),
        ("http://2130706433/cb", False),
        ("http://0x7f000001/cb", False),
    ],
)
async def test_a_native_client_may_have_any_port(app: App, uri: str, *, found: bool) -> None:
    """AUTHZ-3, ATK-64: and nothing else; for no other client is it so."""
    members: dict[str, Any] = {"redirect_uris": ("http://127.0.0.1:8080/cb",)}
    native = await make_web_client(app, type="public", **members)
    answer = await ask(app, native, redirect_uri=uri)
    if found:
        assert answer.headers["location"].startswith("/login?request=")
    else:
        assert_page(answer)
    web = await make_web_client(app, **members)
    assert_page(await ask(app, web, redirect_uri=uri))


STATES = [
    "+",
    "%",
    "%2B",
    "a b",
    "é€😀",
    "&code=x",
    "\r\nSet-Cookie: a=b",
    "\"'<script>",
    "s" * 2048,
]


@pytest.mark.parametrize("state", STATES)
async def test_state_comes_back_as_it_was(app: App, client: RegisteredClient, state: str) -> None:
    """AUTHZ-6, ATK-66: byte for byte, in one parameter, in no header of its own."""
    answer = await ask(app, client, state=state, prompt="none")
    found = parse_qs(urlsplit(answer.headers["location"]).query, keep_blank_values=True)
    assert found["state"] == [state]
    assert set(found) == {"error", "error_description", "state", "iss"}
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("length", [2049, 20_000])
async def test_a_long_state_is_refused_without_it(
    app: App, client: RegisteredClient, length: int
) -> None:
    """AUTHZ-6, ATK-66."""
    answer = await ask(app, client, state="s" * length)
    response = response_of(answer)
    assert response["error"] == "invalid_request"
    assert "state" not in response


async def test_no_state_none_back_and_the_registered_query_stays(app: App) -> None:
    """AUTHZ-6."""
    client = await make_web_client(app, redirect_uris=(f"{CALLBACK}?a=b%20c",))
    uri = f"{CALLBACK}?a=b%20c"
    answer = await ask(app, client, state=None, prompt="none", redirect_uri=uri)
    assert answer.headers["location"].startswith(f"{CALLBACK}?a=b%20c&error=login_required&")
    assert "state" not in response_of(answer)


async def test_form_post_answers_by_a_page_that_posts(app: App, client: RegisteredClient) -> None:
    """AUTHZ-15, ATK-66, ATK-74: escaped, and its one script and target are named by the policy."""
    state = '"><script>alert(1)</script>'
    answer = await ask(app, client, response_mode="form_post", prompt="none", state=state)
    assert_page(answer, 200)
    fields = hidden(answer)
    assert (fields["error"], fields["state"]) == ("login_required", state)
    assert fields["iss"] == app.services.issuer
    assert answer.text.count("<script") == 1
    nonce = answer.text.partition('<script nonce="')[2].partition('"')[0]
    policy = answer.headers["content-security-policy"]
    assert policy.endswith(f"form-action https://app.example; script-src 'nonce-{nonce}'")


async def test_nothing_is_posted_to_a_scheme_of_an_app(app: App) -> None:
    """AUTHZ-15: such a URI takes no POST; the client hears of it, and no code is made for it."""
    uri = "com.example.app:/callback"
    members: dict[str, Any] = {"type": "public"}
    native = await make_web_client(app, redirect_uris=(uri,), **members)
    someone = await signed_on(app)
    answer = await someone.ask(native, PKCE, redirect_uri=uri, response_mode="form_post")
    assert answer.headers["location"].startswith(f"{uri}?error=invalid_request&")
    assert await count(app, COUNT_CODES, native.id) == 0
