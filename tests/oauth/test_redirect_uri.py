"""Redirect URIs: RFC 6749 §3.1.2, RFC 8252 §7, RFC 9700 §4.1.3."""

from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.redirect_uri import (
    assures_identity,
    matches,
    origin_of,
    redirect_uri_fault,
    with_parameters,
)

GOOD = [
    "https://app.example/callback",
    "https://app.example",
    "https://app.example/",
    "https://app.example:8443/callback?tenant=a%20b&x=",
    "https://xn--bcher-kva.example/r%C3%BCck",
    "https://192.0.2.7/cb",
    "https://[2001:db8::1]:8443/cb",
    "https://app.example/a@b/...;v=1/cb",
    "http://127.0.0.1/cb",
    "http://127.0.0.1:8080/cb",
    "http://[::1]:9/cb",
    "http://localhost:3000/cb?x=1",
]
PRIVATE_USE = ["com.example.app:/callback", "com.example.app://callback", "org.a-b.c1:/cb?x=1"]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("uri", GOOD)
def test_what_can_be_registered(uri: str, native: bool) -> None:
    """AUTHZ-4."""
    assert redirect_uri_fault(uri, native=native) is None


@pytest.mark.parametrize("uri", PRIVATE_USE)
def test_a_scheme_of_its_own_is_for_native_clients(uri: str) -> None:
    """AUTHZ-4: RFC 8252 §7.1."""
    assert redirect_uri_fault(uri, native=True) is None
    assert "https://" in (redirect_uri_fault(uri, native=False) or "")


FAULTS = {
    # AUTHZ-4, in its order
    "https://app.example/cb#": "fragment",
    "https://app.example/cb#top": "fragment",
    "https://anna@app.example/cb": "before @",
    "https://anna:secret@app.example/cb": "before @",
    "com.example.app://anna@x/cb": "before @",
    "http://app.example/cb": "plain http",
    "http://127.0.0.2/cb": "plain http",
    "http://10.0.0.1/cb": "plain http",
    "myapp:/cb": "https://",
    "myapp://callback": "https://",
    "com.example.app:callback": "write a path",
    "javascript:alert(1)": "https://",
    "JavaScript:alert(1)": "https://",
    "data:text/html,x": "https://",
    "file:///etc/passwd": "https://",
    "vbscript:x": "https://",
    "about:blank": "https://",
    "ftp://app.example/cb": "https://",
    "https://*.app.example/cb": "wildcards",
    "https://app.example/*": "wildcards",
    "https://app.example\\cb": "write / for",
    "https://evil\\@app.example/cb": "write / for",
    "https://app.example\\.evil/cb": "write / for",
    "https://app.example/a b": "spaces",
    " https://app.example/cb": "spaces",
    "https://app.example/cb ": "spaces",
    "https://app.example/cb\n": "spaces",
    "https://app.example/\r\nSet-Cookie:a=b": "spaces",
    "https://app.example/\0": "spaces",
    "https://app.example/<script>": "spaces",
    "https://app.example/%0d%0aSet-Cookie:a=b": "escape no control",
    "https://app.example/%00": "escape no control",
    "https://app.example/%7f": "escape no control",
    "https://app.example/%zz": "begin an escape",
    "https://app.example/100%": "begin an escape",
    "https://bücher.example/cb": "punycode",
    "https://\u0430pp.example/cb": "punycode",  # a Cyrillic letter
    "https://app\uff0eexample/cb": "punycode",  # a full-width dot
    "https://app.exa\u200bmple/cb": "punycode",
    "https://app.example/x/../cb": "segments",
    "https://app.example/./cb": "segments",
    "https://app.example/x/%2e%2E/cb": "segments",
    "https://app.example/..": "segments",
    "/callback": "absolute URI",
    "//app.example/cb": "absolute URI",
    "app.example/cb": "absolute URI",
    "?x=1": "absolute URI",
    "": "1 to 2000",
    "https://app.example/" + "a" * 1981: "1 to 2000",
    # Hosts and ports that browsers read in another way
    "https:app.example/cb": "write a host",
    "https:///evil/cb": "write a host",
    "https://": "write a host",
    "https://?x": "write a host",
    "https://:8443/cb": "host name",
    "https://app..example/cb": "host name",
    "https://app.example./cb": "host name",
    "https://-app.example/cb": "host name",
    "https://app%2eexample/cb": "host name",
    "https://APP.example/cb": "host name",
    "HTTPS://app.example/cb": "lower case",
    "http://2130706433/cb": "host name",
    "http://0x7f000001/cb": "host name",
    "http://0177.0.0.1/cb": "host name",
    "http://127.1/cb": "host name",
    "http://[::0001]/cb": "host name",
    "http://[::1/cb": "host name",
    "http://[127.0.0.1]/cb": "host name",
    "http://127.0.0.1.evil/": "plain http",
    "http://127.0.0.1:80@evil/": "before @",
    "http://localhost.evil/cb": "plain http",
    "https://app.example:/cb": "write a port",
    "https://app.example:0/cb": "write a port",
    "https://app.example:080/cb": "write a port",
    "http://127.0.0.1:99999/cb": "write a port",
    "https://app.example:443/cb": "default port",
    "http://127.0.0.1:80/cb": "default port",
    # What the response adds
    "https://app.example/cb?code=x": "leave code out",
    "https://app.example/cb?a=b&%73tate=&iss=x": "leave iss and state out",
}


@pytest.mark.parametrize(("uri", "said"), FAULTS.items())
def test_what_can_not_be_registered(uri: str, said: str) -> None:
    """AUTHZ-4, ATK-60 to ATK-64, ATK-66: for apps on a device neither; what to write is said."""
    fault = redirect_uri_fault(uri, native=True)
    assert fault is not None
    assert said in fault
    assert redirect_uri_fault(uri, native=False) is not None
    assert fault.isprintable()


CALLBACK = "https://app.example/cb"
ALIKE = [
    *("https://app.example/cb/", "https://app.example/cb?x=1", "https://app.example/cb#"),
    *("https://app.example/CB", "HTTPS://APP.EXAMPLE/cb", "https://app.example:443/cb"),
    *("https://app.example/./cb", "https://app.example/x/../cb", "https://app.example/%63b"),
    *("https://app.example/cb ", "https://app.example/cb%20", "https://app.example/cb%0a"),
    *("https://app.example/cb\n", "https://app.example/cb?", "https://app.example//cb"),
    *("https://app.example@evil/cb", "https://evil\\@app.example/cb"),
    *("https://app.example\\.evil/cb", "https://app.example.evil/cb", "//app.example/cb"),
    *("https:app.example/cb", "https:///evil/cb", "https://evil/cb", "http://app.example/cb"),
    *(
        "https://app\uff0eexample/cb",
        "https://\u0430pp.example/cb",
        "https://xn--pp-7cd.example/cb",
    ),
    *("https://app.exa\u200bmple/cb", "https://app.example/c\u200bb", "https://app.example/"),
    *("https://app.example:8443/cb", "", "cb", "javascript:alert(1)"),
]


@pytest.mark.parametrize("native", [True, False])
@pytest.mark.parametrize("uri", ALIKE)
def test_nothing_alike_matches(uri: str, native: bool) -> None:
    """AUTHZ-3, ATK-60, ATK-61, ATK-62, ATK-63: no normalisation, no prefix."""
    assert matches(CALLBACK, CALLBACK, native=native)
    assert not matches(CALLBACK, uri, native=native)


@given(st.sampled_from([*GOOD, *PRIVATE_USE]), st.text() | st.sampled_from([*GOOD, *ALIKE]))
def test_only_the_same_bytes_match(registered: str, requested: str) -> None:
    """AUTHZ-3: and never another client's loopback port where there is a secret."""
    assert matches(registered, requested, native=False) == (registered == requested)
    if not registered.startswith("http:"):
        assert matches(registered, requested, native=True) == (registered == requested)


@given(
    st.sampled_from(["127.0.0.1", "[::1]", "localhost"]),
    st.none() | st.integers(1, 65535),
    st.none() | st.integers(1, 65535),
    st.sampled_from(["", "/", "/cb", "/cb?x=1", "?x=1"]),
)
def test_a_native_client_comes_from_any_port(
    host: str, registered: int | None, requested: int | None, rest: str
) -> None:
    """AUTHZ-3: RFC 8252 §7.3; a client with a secret from the registered one."""
    ours, theirs = (
        f"http://{host}{'' if port is None else f':{port}'}{rest}"
        for port in (registered, requested)
    )
    assert matches(ours, theirs, native=True)
    assert matches(ours, theirs, native=False) == (registered == requested)


@pytest.mark.parametrize(
    "uri",
    [
        *("http://127.0.0.1.evil/cb", "http://127.0.0.2/cb", "http://127.0.0.1:80@evil/cb"),
        *("http://127.0.0.1:99999/cb", "http://127.0.0.1:0/cb", "http://127.0.0.1:08/cb"),
        *("http://127.0.0.1:/cb", "http://127.0.0.1:8 /cb", "http://127.0.0.1:٨/cb"),
        *("http://2130706433/cb", "http://0x7f000001/cb", "http://127.1/cb"),
        *("http://localhost:1/cb", "http://[::1]:9/cb", "https://127.0.0.1:9/cb"),
        *("http://127.0.0.1:9/CB", "http://127.0.0.1:9/cb/", "http://127.0.0.1:9/cb?x"),
        *("http://127.0.0.1:9/cb#", "http://127.0.0.1:9/cb\n", "http://127.0.0.1:9"),
        *("HTTP://127.0.0.1:9/cb", "http://127.0.0.1:9\\cb", "http://anna@127.0.0.1:9/cb"),
    ],
)
def test_at_another_port_everything_else_is_the_same(uri: str) -> None:
    """AUTHZ-3, ATK-64: the three hosts do not stand for each other."""
    assert not matches("http://127.0.0.1/cb", uri, native=True)
    assert not matches("http://127.0.0.1:8080/cb", uri, native=True)


@given(st.sampled_from(["https://app.example/cb", "com.example.app:/cb"]), st.text(max_size=8))
def test_a_port_is_free_on_the_device_alone(uri: str, tail: str) -> None:
    """AUTHZ-3."""
    assert not matches(uri, uri.replace("/cb", ":9/cb") + tail, native=True)


TEXT = st.text(st.characters(codec="utf-8"))
PAIRS = st.lists(st.tuples(st.sampled_from(["code", "state", "iss", "error"]), TEXT), min_size=1)


@given(st.sampled_from([*GOOD, *PRIVATE_USE]), PAIRS)
def test_a_response_is_read_back_as_it_was_written(uri: str, pairs: list[tuple[str, str]]) -> None:
    """AUTHZ-6: `+`, `%`, `&` and all of Unicode come back; the registered query stays."""
    answer = with_parameters(uri, pairs)
    assert answer.startswith(uri)
    assert answer.isascii()
    assert answer.isprintable()
    before = parse_qsl(urlsplit(uri).query, keep_blank_values=True)
    assert parse_qsl(urlsplit(answer).query, keep_blank_values=True) == [*before, *pairs]
    assert "#" not in answer


@pytest.mark.parametrize(
    ("uri", "answer"),
    [
        ("https://a.example/cb", "https://a.example/cb?code=x&state=a+b"),
        ("https://a.example/cb?a=%7e&b", "https://a.example/cb?a=%7e&b&code=x&state=a+b"),
        ("https://a.example/cb?", "https://a.example/cb?code=x&state=a+b"),
        ("https://a.example/cb?a=b&", "https://a.example/cb?a=b&code=x&state=a+b"),
        ("com.example.app:/cb", "com.example.app:/cb?code=x&state=a+b"),
    ],
)
def test_the_query_is_kept_byte_for_byte(uri: str, answer: str) -> None:
    """AUTHZ-6: RFC 6749 §4.1.2."""
    assert with_parameters(uri, [("code", "x"), ("state", "a b")]) == answer


def test_no_state_ends_a_header() -> None:
    """ATK-66."""
    state = '\r\nSet-Cookie: a=b"<script>&code=y#'
    answer = with_parameters(CALLBACK, [("state", state), ("iss", "https://auth.example")])
    assert answer == (
        f"{CALLBACK}?state=%0D%0ASet-Cookie%3A+a%3Db%22%3Cscript%3E%26code%3Dy%23"
        "&iss=https%3A%2F%2Fauth.example"
    )


@pytest.mark.parametrize(
    ("uri", "origin"),
    [
        ("https://app.example/cb?x=https://evil", "https://app.example"),
        ("https://app.example:8443", "https://app.example:8443"),
        ("http://[::1]:9/cb", "http://[::1]:9"),
        ("com.example.app:/cb", "com.example.app:"),
        ("com.example.app://callback", "com.example.app:"),
    ],
)
def test_the_origin(uri: str, origin: str) -> None:
    """AUTHZ-15, AUTHZ-17: what a form may go to, and what a person is shown."""
    assert origin_of(uri) == origin


def test_only_a_web_site_is_surely_the_clients() -> None:
    """AUTHZ-17: RFC 8252 §8.6."""
    assert assures_identity("https://app.example/cb")
    assert not any(map(assures_identity, [*PRIVATE_USE, "http://127.0.0.1/", "http://localhost/"]))


def test_a_relative_uri_has_no_origin() -> None:
    with pytest.raises(ValueError, match="absolute"):
        origin_of("/cb")


@given(st.text() | st.from_regex(r"https?://[a-z@:\[\]\\.0-9/?#%*]{0,20}"), st.booleans())
def test_what_is_registered_is_one_line_of_a_plain_uri(uri: str, native: bool) -> None:
    """AUTHZ-4: whatever the text, there is a sentence or nothing, and never an exception."""
    if redirect_uri_fault(uri, native=native) is None:
        assert uri.isascii()
        assert uri.isprintable()
        assert not set(uri) & set(' #*\\"<>')
        assert "@" not in (urlsplit(uri).netloc)
        assert origin_of(uri)
        assert matches(uri, uri, native=native)
