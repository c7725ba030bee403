"""The posted form: RFC 6749 §3.2 and Appendix B."""

import gzip
from urllib.parse import urlencode

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.http.form import Form, parse_form
from service.oauth.errors import InvalidRequest
from tests.conftest import MakeClient
from tests.http.refusals import FORM, GRANT, assert_refused

BODY = b"grant_type=client_credentials"
URLENCODED = "application/x-www-form-urlencoded"

TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
UNKNOWN_NAMES = TEXTS.map("x-{}".format)


@settings(deadline=None)
@given(st.binary(max_size=300))
@example(b"")
@example(b"&&=&=a&")
@example(b"%")
@example(b"a=%ED%A0%80")
@example(b"\xe1\x80\x80")
def test_any_bytes_are_a_form_or_refused(body: bytes) -> None:
    """TOK-4, ATK-99: nothing but InvalidRequest is ever raised."""
    try:
        form = parse_form(body)
    except InvalidRequest:
        return
    assert isinstance(form, Form)


@settings(deadline=None)
@given(st.text(alphabet="ab=&%+;0fF \0é", max_size=40))
def test_any_text_of_the_forms_own_signs_is_a_form_or_refused(text: str) -> None:
    """TOK-4: the same, nearer to the grammar than random bytes come."""
    try:
        parse_form(text.encode())
    except InvalidRequest:
        return


@settings(deadline=None)
@given(st.lists(st.tuples(UNKNOWN_NAMES, TEXTS), max_size=50))
def test_encoded_pairs_come_back(pairs: list[tuple[str, str]]) -> None:
    """RFC 6749 Appendix B; TOK-6: empty is absent, unknown ones may be repeated."""
    form = parse_form(urlencode(pairs).encode())
    for name in {name for name, _ in pairs}:
        values = tuple(value for known, value in pairs if known == name and value)
        assert form.get_all(name) == values
        assert form.get(name) == (values[0] if values else None)


@settings(deadline=None)
@given(st.lists(TEXTS.filter(bool), min_size=1, max_size=5))
def test_repeatable_parameters_keep_their_order(values: list[str]) -> None:
    """TOK-5: RFC 8707 §2, RFC 8693 §2.1."""
    for name in ("resource", "audience"):
        form = parse_form(urlencode([(name, value) for value in values]).encode())
        assert form.get_all(name) == tuple(values)


@settings(deadline=None)
@given(
    st.sampled_from(["grant_type", "scope", "client_id", "client_secret", "token"]), TEXTS, TEXTS
)
def test_a_known_parameter_twice_is_refused(name: str, first: str, second: str) -> None:
    """TOK-5: equal values, other values and empty ones alike."""
    with pytest.raises(InvalidRequest, match="repeated"):
        parse_form(urlencode([(name, first), ("x", "y"), (name, second)]).encode())


def test_signs_that_separate_nothing() -> None:
    """TOK-4, ATK-39: + is a space, a semicolon and an escaped ampersand are text."""
    form = parse_form(b"a=1+2%2B3&b=1;c=2&d=1%26e%3D2&f=g=h&&i&A=3")
    assert form.get("a") == "1 2+3"
    assert form.get("b") == "1;c=2"
    assert form.get("d") == "1&e=2"
    assert form.get("f") == "g=h"
    assert [form.get(name) for name in ("c", "e", "i", "A")] == [None, None, None, "3"]


def test_a_missing_parameter_is_named() -> None:
    """RFC 6749 §5.2; TOK-6: an empty one is missing."""
    with pytest.raises(InvalidRequest, match="the parameter token is missing"):
        parse_form(b"token=").require("token")


def test_a_form_of_empty_parameters_is_empty() -> None:
    """TOK-6."""
    assert parse_form(b"a=&b&&=").is_empty
    assert not parse_form(b"a=+").is_empty


MEDIA_TYPES = {
    "none": [],
    "empty": [""],
    "two": [URLENCODED, URLENCODED],
    "two in one": [f"{URLENCODED}, {URLENCODED}"],
    "JSON": ["application/json"],
    "multipart": ["multipart/form-data; boundary=b"],
    "text": ["text/plain"],
    "XML": ["application/xml"],
    "one letter more": [f"{URLENCODED}s"],
    "another charset": [f"{URLENCODED}; charset=iso-8859-1"],
    "two charsets": [f"{URLENCODED}; charset=utf-8; charset=utf-16"],
}


@pytest.mark.parametrize("values", MEDIA_TYPES.values(), ids=MEDIA_TYPES)
async def test_another_media_type_is_refused(
    http: httpx.AsyncClient, make_client: MakeClient, values: list[str]
) -> None:
    """TOK-3, ATK-38: 400, since clients parse `error` there."""
    client = await make_client()
    headers = [("content-type", value) for value in values]
    answer = await http.post("/token", content=BODY, headers=headers, auth=client.auth)
    assert_refused(answer, "invalid_request")


@pytest.mark.parametrize(
    "value",
    [
        URLENCODED.upper(),
        f"{URLENCODED};charset=UTF-8",
        f'{URLENCODED} ; charset="utf-8"',
        f"{URLENCODED}; version=1",
        f"{URLENCODED};",
    ],
)
async def test_case_and_other_parameters_of_the_media_type_do_not_matter(
    http: httpx.AsyncClient, make_client: MakeClient, value: str
) -> None:
    """TOK-3."""
    client = await make_client()
    headers = [("content-type", value)]
    answer = await http.post("/token", content=BODY, headers=headers, auth=client.auth)
    assert answer.status_code == 200


OTHER_BODIES = {
    "JSON as a form": (b'{"grant_type":"client_credentials"}', []),
    "multipart as a form": (b'--b\r\nContent-Disposition: form-data; name="grant_type"\r\n', []),
    "XML as a form": (b"<grant_type>client_credentials</grant_type>", []),
    "gzip": (gzip.compress(BODY), [("content-encoding", "gzip")]),
    "a bomb": (gzip.compress(b"a" * 10_000_000), [("content-encoding", "gzip")]),
    "said to be gzip": (BODY, [("content-encoding", "gzip")]),
}


@pytest.mark.parametrize(("body", "headers"), OTHER_BODIES.values(), ids=OTHER_BODIES)
async def test_another_body_is_refused(
    http: httpx.AsyncClient, make_client: MakeClient, body: bytes, headers: list
) -> None:
    """ATK-38: nothing is guessed, nothing unpacked."""
    client = await make_client()
    answer = await http.post("/token", content=body, headers=[FORM, *headers], auth=client.auth)
    assert_refused(answer, "invalid_request")


BAD_ENCODINGS = {
    "not UTF-8": b"%FF",
    "overlong": b"%C0%80",
    "overlong slash": b"%E0%80%AF",
    "surrogate": b"%ED%A0%80",
    "beyond Unicode": b"%F4%90%80%80",
    "NUL": b"%00",
    "cut short": b"%C3",
    "bare percent": b"%",
    "half an escape": b"%4",
    "no hex": b"%zz",
    "Unicode escape": b"%u0041",
    "raw byte": b"\xff",
    "raw NUL": b"\0",
}


@pytest.mark.parametrize("place", [b"scope=a%s", b"x=%s", b"x%s=1"], ids=["known", "value", "name"])
@pytest.mark.parametrize("text", BAD_ENCODINGS.values(), ids=BAD_ENCODINGS)
async def test_bad_encoding_is_refused_wherever_it_stands(
    http: httpx.AsyncClient, make_client: MakeClient, place: bytes, text: bytes
) -> None:
    """TOK-4, ATK-99."""
    client = await make_client()
    body = BODY + b"&" + place % text
    answer = await http.post("/token", content=body, headers=[FORM], auth=client.auth)
    assert_refused(answer, "invalid_request")


REPEATED = {
    "grant_type": b"&grant_type=client_credentials",
    "scope": b"&scope=orders:read&scope=orders:read",
    "scope, other values": b"&scope=orders:read&scope=orders:write",
    "scope, once empty": b"&scope=&scope=orders:read",
    "scope, once escaped": b"&scope=orders:read&%73cope=orders:read",
    "client_id": b"&client_id=a&client_id=a",
    "client_secret": b"&client_secret=a&client_secret=a",
    "client_assertion": b"&client_assertion=a&client_assertion=a",
}


@pytest.mark.parametrize("rest", REPEATED.values(), ids=REPEATED)
async def test_a_repeated_parameter_is_refused(
    http: httpx.AsyncClient, make_client: MakeClient, rest: bytes
) -> None:
    """TOK-5, ATK-39: RFC 6749 §3.2."""
    client = await make_client()
    answer = await http.post("/token", content=BODY + rest, headers=[FORM], auth=client.auth)
    assert_refused(answer, "invalid_request")


async def test_unknown_and_empty_parameters_are_ignored(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-6: RFC 6749 §3.2."""
    client = await make_client()
    body = BODY + b"&foo=1&foo=2&bar&=&&SCOPE=nothing&scope[]=nothing&scope=&resource=&client_id="
    answer = await http.post("/token", content=body, headers=[FORM], auth=client.auth)
    assert answer.json()["scope"] == "orders:read orders:write"


SMUGGLED = {
    "semicolon": ("grant_type=client_credentials;scope=a", "unsupported_grant_type"),
    "escaped ampersand": ("grant_type=client_credentials%26scope=a", "unsupported_grant_type"),
    "escaped twice": ("grant_type=client%255Fcredentials", "unsupported_grant_type"),
    "other case": ("Grant_Type=client_credentials", "invalid_request"),
    "pair in scope": ("grant_type=client_credentials&scope=a%26scope%3Db", "invalid_scope"),
}


@pytest.mark.parametrize(("body", "error"), SMUGGLED.values(), ids=SMUGGLED)
async def test_what_looks_like_another_pair_is_text(
    http: httpx.AsyncClient, make_client: MakeClient, body: str, error: str
) -> None:
    """ATK-39."""
    client = await make_client()
    answer = await http.post("/token", content=body, headers=[FORM], auth=client.auth)
    assert_refused(answer, error)


async def test_every_form_endpoint_reads_its_form_so(http: httpx.AsyncClient) -> None:
    """TOK-3..5 ⊕."""
    for path in ("/token", "/revoke", "/introspect"):
        for headers, body in (
            ([], BODY),
            ([FORM], b"token=%FF"),
            ([FORM], b"token=a&token=a"),
        ):
            assert_refused(await http.post(path, content=body, headers=headers), "invalid_request")
        assert_refused(await http.post(path, json=GRANT), "invalid_request")
