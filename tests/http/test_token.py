"""POST /token: methods, the order of the checks, both kinds of answer, the limits of a request."""

from urllib.parse import urlencode

import httpx
import pytest

from service.app import App
from tests.conftest import MakeClient, http_to
from tests.http.refusals import FORM, GRANT, assert_refused

ENDPOINTS = ["/token", "/revoke", "/introspect"]


async def test_a_client_gets_a_token_with_no_store(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-8: RFC 6749 §5.1."""
    client = await make_client()
    answer = await http.post("/token", data=GRANT, auth=client.auth)
    assert answer.status_code == 200
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("pragma") == ["no-cache"]
    assert answer.headers.get_list("content-type") == ["application/json"]
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 300)
    assert type(body["expires_in"]) is int
    assert body["scope"] == "orders:read orders:write"


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_any_method_but_post_is_405(http: httpx.AsyncClient, path: str, method: str) -> None:
    """TOK-1: RFC 6749 §3.2; ATK-41: a header or a parameter overrides no method."""
    override = {"x-http-method-override": "POST", "x-method-override": "POST"}
    answer = await http.request(method, f"{path}?_method=POST", headers=override)
    assert answer.status_code == 405
    assert answer.headers.get_list("allow") == ["POST"]
    if method != "HEAD":
        assert_refused(answer, "invalid_request", 405)


async def test_a_post_stays_one_whatever_overrides_it(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-41."""
    client = await make_client()
    form, override = {**GRANT, "_method": "DELETE"}, {"x-http-method-override": "DELETE"}
    answer = await http.post("/token", data=form, auth=client.auth, headers=override)
    assert answer.status_code == 200


async def test_what_stands_in_the_query_is_not_read(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-2: RFC 6749 §2.3.1; ATK-39."""
    client = await make_client()
    named = {"client_id": client.id, "client_secret": client.secret}
    query = urlencode({**GRANT, **named, "scope": "orders:read"})
    assert_refused(await http.post(f"/token?{query}", headers=[FORM]), "invalid_request")
    assert_refused(await http.post(f"/token?{query}"), "invalid_request")
    answer = await http.post(f"/token?{query}", headers=[FORM], auth=client.auth)
    assert_refused(answer, "invalid_request")
    assert_refused(await http.post(f"/token?{query}", data=GRANT), "invalid_client")
    answer = await http.post(f"/token?{query}&grant_type=password", data={**GRANT, **named})
    assert answer.json()["scope"] == "orders:read orders:write"


WRONG = ("nobody", "wrong")
ORDER = {
    "media type before client": ("not a form", WRONG, "invalid_request"),
    "encoding before client": ("grant_type=%FF", WRONG, "invalid_request"),
    "duplicates before client": ("scope=a&scope=a", WRONG, "invalid_request"),
    "client before grant_type": ("x=1", WRONG, "invalid_client"),
    "client before the grant": ("grant_type=unheard_of", WRONG, "invalid_client"),
    "client before scope": ("grant_type=client_credentials&scope=b", WRONG, "invalid_client"),
    "grant_type is there": ("scope=b", None, "invalid_request"),
    "grant_type is not empty": ("grant_type=&scope=b", None, "invalid_request"),
    "grant_type is implemented": ("grant_type=unheard_of&scope=b", None, "unsupported_grant_type"),
    "client may use it": ("grant_type=client_credentials&scope=b", None, "unauthorized_client"),
}


@pytest.mark.parametrize(("body", "auth", "error"), ORDER.values(), ids=ORDER)
async def test_checks_come_in_one_order(
    http: httpx.AsyncClient, make_client: MakeClient, body: str, auth: tuple | None, error: str
) -> None:
    """TOK-7: RFC 6749 §5.2."""
    client = await make_client(grant_types=())
    media_type = ("content-type", "text/plain") if body == "not a form" else FORM
    answer = await http.post("/token", content=body, auth=auth or client.auth, headers=[media_type])
    assert_refused(answer, error, 401 if error == "invalid_client" else 400)


async def test_a_refusal_never_repeats_what_was_sent(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-9: RFC 6749 §5.2."""
    client, probe = await make_client(), 'pr0be"\\\r\n<é>'
    for name, error in {
        "grant_type": "unsupported_grant_type",
        "scope": "invalid_scope",
        "resource": "invalid_target",
    }.items():
        answer = await http.post("/token", data={**GRANT, name: probe}, auth=client.auth)
        assert_refused(answer, error)
        assert "pr0be" not in answer.text
        assert "pr0be" not in str(answer.headers)
    named = {**GRANT, "client_id": client.id}
    for form in ({**named, "client_secret": probe}, {**named, "client_id": probe}):
        answer = await http.post("/token", data=form)
        assert_refused(answer, "invalid_client")
        assert "pr0be" not in answer.text


@pytest.mark.parametrize(
    "grant_type",
    [
        "CLIENT_CREDENTIALS",
        "client_credentials ",
        "client-credentials",
        "implicit",
        "password",
        "REFRESH_TOKEN",
        "AUTHORIZATION_CODE",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
    ],
)
async def test_another_grant_is_unsupported(
    http: httpx.AsyncClient, make_client: MakeClient, grant_type: str
) -> None:
    """ATK-37."""
    client = await make_client()
    answer = await http.post("/token", data={"grant_type": grant_type}, auth=client.auth)
    assert_refused(answer, "unsupported_grant_type")


async def test_a_grant_type_that_is_doubled_or_an_array_is_malformed(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-37: the name with brackets is another name, so grant_type is missing."""
    client = await make_client()
    for body in (
        "grant_type=client_credentials&grant_type=client_credentials",
        "grant_type=client_credentials&grant_type=",
        "grant_type[]=client_credentials",
    ):
        answer = await http.post("/token", content=body, auth=client.auth, headers=[FORM])
        assert_refused(answer, "invalid_request")


async def test_cookies_are_neither_read_nor_set(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-18."""
    client = await make_client()
    cookie = {"cookie": f"client_id={client.id}; client_secret={client.secret}; session=1"}
    answer = await http.post("/token", data=GRANT, auth=client.auth, headers=cookie)
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert_refused(await http.post("/token", data=GRANT, headers=cookie), "invalid_client")


async def test_plain_http_from_outside_is_refused_and_never_redirected(
    app: App, make_client: MakeClient
) -> None:
    """TOK-18: the secret has crossed the network by then; a redirect would hide that."""
    client = await make_client()
    async with http_to(app, client=("203.0.113.7", 4711)) as http:
        assert_refused(await http.post("/token", data=GRANT, auth=client.auth), "invalid_request")


FULL = 64 * 1024 - len("grant_type=client_credentials&")
LONG = "&".join(["p=" + "a" * 8000] * 8) + "&q="

SIZES = {
    "100 parameters": ("&".join(f"p{n}=1" for n in range(99)), 200),
    "101 parameters": ("&".join(f"p{n}=1" for n in range(100)), 400),
    "a value of 8 KiB": ("p=" + "a" * 8192, 200),
    "a value over 8 KiB": ("p=" + "a" * 8193, 400),
    "8 KiB as escapes": ("p=" + "%61" * 8192, 200),
    "4097 characters, over 8 KiB": ("p=" + "%C3%A9" * 4097, 400),
    "a body of 64 KiB": (LONG.ljust(FULL, "b"), 200),
    "a body over 64 KiB": (LONG.ljust(FULL + 1, "b"), 413),
    "100 000 parameters": ("a&" * 100_000, 413),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["with length", "in chunks"])
@pytest.mark.parametrize(("rest", "status"), SIZES.values(), ids=SIZES)
async def test_body_and_parameters_have_limits(
    http: httpx.AsyncClient, make_client: MakeClient, rest: str, status: int, *, chunked: bool
) -> None:
    """TOK-41, ATK-100."""
    client = await make_client()
    body = f"grant_type=client_credentials&{rest}".encode()

    async def parts():
        for start in range(0, len(body), 4096):
            yield body[start : start + 4096]

    content = parts() if chunked else body
    answer = await http.post("/token", content=content, auth=client.auth, headers=[FORM])
    if status == 200:
        assert answer.status_code == 200
    else:
        assert_refused(answer, "invalid_request", status)
