"""GET and POST /authorize: what is refused where, and how answers travel. RFC 6749 §4.1."""

from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import amend_client, revoke_client
from tests.conftest import RegisteredClient
from tests.http.at_pages import (
    COUNT_REQUESTS,
    assert_guarded,
    assert_page,
    count,
    signed_on,
    visitor,
)
from tests.http.browsing import (
    CALLBACK,
    PASSWORD,
    Pkce,
    hidden,
    make_web_client,
    request_of,
    response_of,
)

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
PKCE = Pkce()
FORM = {"content-type": "application/x-www-form-urlencoded"}


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


async def ask_raw(app: App, query: str, *, post: bool) -> httpx.Response:
    """The answer to a request in exactly these words."""
    http = visitor(app).http
    if post:
        return await http.post("/authorize", content=query, headers=FORM)
    return await http.get(f"/authorize?{query}")


def query_of(client: RegisteredClient, *more: tuple[str, str], **changes: str | None) -> str:
    return urlencode([*request_of(client, PKCE, **changes).items(), *more])


async def test_a_get_is_kept_and_goes_to_the_sign_in_page(
    app: App, client: RegisteredClient
) -> None:
    """AUTHZ-1, LOGIN-5: by a handle alone."""
    answer = await visitor(app).get("/authorize", **request_of(client, PKCE))
    assert answer.status_code == 303
    path, _, handle = answer.headers["location"].partition("?request=")
    assert path == "/login"
    assert len(handle) == 43
    assert_guarded(answer)


async def test_a_post_from_another_site_comes_back_by_get(
    app: App, client: RegisteredClient
) -> None:
    """AUTHZ-1, AUTHZ-7: it came without cookies; the GET after it has them."""
    someone = await signed_on(app)
    headers = {**FORM, "origin": "https://app.example", "sec-fetch-site": "cross-site"}
    answer = await visitor(app).http.post(
        "/authorize", content=query_of(client, prompt="none"), headers=headers
    )
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/authorize/continue?request=")
    assert "set-cookie" not in answer.headers
    answer = await someone.browser.follow(answer)
    assert response_of(answer)["error"] == "consent_required"


@pytest.mark.parametrize("path", ["/authorize", "/authorize/continue", "/login", "/consent"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_other_methods_are_405_without_cors(app: App, method: str, path: str) -> None:
    """AUTHZ-1, ATK-73: OPTIONS is no preflight here."""
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    answer = await visitor(app).http.request(method, path, headers=headers)
    assert_page(answer, 405)
    allowed = ["GET"] if path == "/authorize/continue" else ["GET, POST"]
    assert answer.headers.get_list("allow") == allowed


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "https://app.example.evil"])
async def test_no_page_can_be_read_by_another_site(
    app: App, client: RegisteredClient, origin: str
) -> None:
    """ATK-73: whatever is asked, no header of CORS comes back; at the token endpoint neither."""
    http = visitor(app).http
    for answer in (
        await http.get(f"/authorize?{query_of(client)}", headers={"origin": origin}),
        await http.get("/login", headers={"origin": origin}),
        await http.post("/token", data={"grant_type": "x"}, headers={"origin": origin}),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


FAULTS_FOR_A_PAGE: dict[str, Any] = {
    "no client": {"client_id": None},
    "an unknown client": {"client_id": "nobody"},
    "what is no client": {"client_id": "\x1b[31m'\"<script>"},
    "no redirect URI with openid": {"redirect_uri": None},
    "a long client": {"client_id": "a" * 9000},
}


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize("changes", FAULTS_FOR_A_PAGE.values(), ids=FAULTS_FOR_A_PAGE)
async def test_without_a_proven_client_there_is_a_page(
    app: App, client: RegisteredClient, changes: dict[str, str | None], *, post: bool
) -> None:
    """AUTHZ-2: and never a redirect."""
    answer = await ask_raw(app, query_of(client, **changes), post=post)
    assert_page(answer)
    assert "<script" not in answer.text


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize(
    "more",
    [
        ("client_id", "other"),
        ("redirect_uri", CALLBACK),
        ("redirect_uri", "https://evil.example/"),
    ],
)
async def test_what_proves_the_target_comes_once(
    app: App, client: RegisteredClient, more: tuple[str, str], *, post: bool
) -> None:
    """AUTHZ-5, ATK-65."""
    assert_page(await ask_raw(app, query_of(client, more), post=post))
    first = urlencode([more, *request_of(client, PKCE).items()])
    assert_page(await ask_raw(app, first, post=post))


@pytest.mark.parametrize(
    "query",
    ["client_id=%ff&", "%c3%28=1&", "a=%zz&", "a=%00&", "x=1&" * 120, "client_id=%ed%a0%80&"],
)
@pytest.mark.parametrize("post", [False, True])
async def test_what_can_not_be_read_is_a_page(
    app: App, client: RegisteredClient, query: str, *, post: bool
) -> None:
    """AUTHZ-2, ATK-99: broken UTF-8 and escapes, NUL, more than 100 parameters."""
    assert_page(await ask_raw(app, query + query_of(client), post=post))


async def test_a_post_is_a_form(app: App, client: RegisteredClient) -> None:
    """AUTHZ-1: no JSON, no text that parses as a form, nothing compressed."""
    http, content = visitor(app).http, query_of(client)
    for headers in (
        {"content-type": "application/json"},
        {"content-type": "text/plain"},
        {},
        {**FORM, "content-encoding": "gzip"},
    ):
        assert_page(await http.post("/authorize", content=content, headers=headers))
    answer = await http.post("/authorize", content="a=" + "x" * 70_000, headers=FORM)
    assert_page(answer, 413)


async def test_a_disabled_client_is_a_page(app: App) -> None:
    """AUTHZ-2."""
    client = await make_web_client(app)
    await revoke_client(app.services.database, client.id, enabled=False)
    assert_page(await ask_raw(app, query_of(client), post=False))


REFUSALS: dict[str, tuple[dict[str, str | None], str]] = {
    # AC-1
    "no response_type": ({"response_type": None}, "invalid_request"),
    "token": ({"response_type": "token"}, "unsupported_response_type"),
    "hybrid": ({"response_type": "code id_token"}, "unsupported_response_type"),
    # AC-2, ATK-45
    "no challenge": ({"code_challenge": None}, "invalid_request"),
    "neither": ({"code_challenge": None, "code_challenge_method": None}, "invalid_request"),
    "no method": ({"code_challenge_method": None}, "invalid_request"),
    "plain": ({"code_challenge_method": "plain"}, "invalid_request"),
    "s256": ({"code_challenge_method": "s256"}, "invalid_request"),
    "42 characters": ({"code_challenge": CHALLENGE[:-1]}, "invalid_request"),
    "44 characters": ({"code_challenge": CHALLENGE + "A"}, "invalid_request"),
    "padded": ({"code_challenge": CHALLENGE[:-1] + "="}, "invalid_request"),
    # AUTHZ-8
    "a request object": ({"request": "e30.e30."}, "request_not_supported"),
    "a request URI": ({"request_uri": "http://169.254.1.1/"}, "request_uri_not_supported"),
    "a registration": ({"registration": "{}"}, "registration_not_supported"),
    "a fragment": ({"response_mode": "fragment"}, "invalid_request"),
    "another resource": ({"resource": "https://other.example"}, "invalid_target"),
    "no URI": ({"resource": "orders"}, "invalid_target"),
    "two spaces": ({"scope": "openid  profile"}, "invalid_scope"),
    "nothing left": ({"scope": "admin"}, "invalid_scope"),
    "a bad prompt": ({"prompt": "always"}, "invalid_request"),
    "none and login": ({"prompt": "none login"}, "invalid_request"),
    "max_age -1": ({"max_age": "-1"}, "invalid_request"),
    "max_age 1.5": ({"max_age": "1.5"}, "invalid_request"),
    "max_age abc": ({"max_age": "abc"}, "invalid_request"),
    "max_age over 2^31": ({"max_age": "2147483649"}, "invalid_request"),
    "a long nonce": ({"nonce": "n" * 256}, "invalid_request"),
    "too much": ({"id_token_hint": "h" * 16_400}, "invalid_request"),
}


@pytest.mark.parametrize("post", [False, True])
@pytest.mark.parametrize(("changes", "error"), REFUSALS.values(), ids=REFUSALS)
async def test_the_client_hears_of_all_other_faults(
    app: App, client: RegisteredClient, changes: dict[str, str | None], error: str, *, post: bool
) -> None:
    """AUTHZ-8, AC-1, AC-2, AC-10, AUTHZ-10, AUTHZ-11, AUTHZ-12, AUTHZ-14, RES-1, ATK-45, ATK-68."""
    before = await count(app, COUNT_REQUESTS, client.id)
    answer = await ask_raw(app, query_of(client, **changes), post=post)
    assert answer.headers["location"].startswith(f"{CALLBACK}?error=")
    response = response_of(answer)
    assert response.keys() == {"error", "error_description", "state", "iss"}
    assert (response["error"], response["state"]) == (error, "a state +%é")
    assert response["iss"] == app.services.issuer
    assert await count(app, COUNT_REQUESTS, client.id) == before


@pytest.mark.parametrize("name", ["scope", "state", "nonce", "prompt", "code_challenge"])
async def test_a_parameter_that_comes_twice_is_refused_to_the_client(
    app: App, client: RegisteredClient, name: str
) -> None:
    """AUTHZ-5: an unknown one does no harm, and an empty one is absent."""
    answer = await ask_raw(app, query_of(client, (name, "x"), prompt="login"), post=False)
    response = response_of(answer)
    assert response["error"] == "invalid_request"
    assert ("state" in response) == (name != "state")
    harmless = (("foo", "1"), ("foo", "2"), ("max_age", ""))
    answer = await ask_raw(app, query_of(client, *harmless), post=False)
    assert answer.headers["location"].startswith("/login")


@pytest.mark.parametrize("path", ["/authorize/continue", "/login", "/consent"])
async def test_what_the_client_may_no_longer_ask_for_it_hears_of(app: App, path: str) -> None:
    """AUTHZ-2, AUTHZ-8: the registration changed while the request waited, whatever page is open.

    Also behind a form: of a wrong password, and of who is somebody else.
    """
    client, browser = await make_web_client(app), visitor(app)
    request = request_of(client, PKCE, scope="orders:read")
    page = await browser.follow(await browser.get("/authorize", **request))
    members = {"scopes": ("openid",)}
    await amend_client(app.services.database, client.id, members, app.services.issuer)
    app.services.clients.drop(client.id)
    for answer in (
        await browser.get(path, request=hidden(page)["request"]),
        await browser.submit(page, username="nobody", password=PASSWORD),
        await browser.submit(page, decision="switch"),
    ):
        assert answer.headers["location"].startswith(f"{CALLBACK}?error=invalid_scope&")
        assert response_of(answer)["state"] == request["state"]
