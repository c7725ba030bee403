"""META-1, rule by rule: an issuer that every verifier compares as the same string."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.issuer import is_loopback, issuer_faults

NO_URL = "must be a URL such as https://auth.example.com"
NO_HTTPS = "must be https; plain http is for a loopback host alone"
NOT_LOWER = "must be in lower case up to its path"
DEFAULT_PORT = "must not name the default port"
SLASH = "must have no trailing slash"
PATH = "must have a plain path: of letters, digits, and . _ ~ - alone"
QUERY = "must have no query and no fragment"


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example.com",
        "https://auth.example.com:8443",
        "https://auth.example.com/tenant",
        "https://auth.example.com/a/B-1/.well~known_",
        "https://xn--bcher-kva.example",
        "https://192.0.2.1",
        "https://[2001:db8::1]:8443",
        "https://localhost",
        "http://localhost:8000",
        "http://127.0.0.1:8000/x",
        "http://127.1.2.3",
        "http://[::1]:8000",
    ],
)
def test_these_can_be_issuers(issuer: str) -> None:
    assert issuer_faults(issuer) == []


@pytest.mark.parametrize(
    ("issuer", "faults"),
    [
        ("", [NO_URL]),
        ("auth.example.com", [NO_URL]),
        ("https:/auth.example.com", [NO_URL]),
        ("https://", [NO_URL]),
        ("https:///path", [NO_URL]),
        ("https://?x", [NO_URL]),
        ("https://user@auth.example.com", [NO_URL]),
        ("https://user:password@auth.example.com", [NO_URL]),
        ("https://@auth.example.com", [NO_URL]),
        ("https://auth.example.com.", [NO_URL]),
        ("https://auth..example.com", [NO_URL]),
        ("https://-auth.example.com", [NO_URL]),
        ("https://auth_1.example.com", [NO_URL]),
        ("https://bücher.example", [NO_URL]),
        ("https://auth.example.com\\evil", [NO_URL]),
        ("https://auth.example.com\n", [NO_URL]),
        (" https://auth.example.com", [NO_URL]),
        ("https://auth.exa\tmple.com", [NO_URL]),
        ("https://auth.example.com/a b", [NO_URL]),
        ("https://auth.example.com:", [NO_URL]),
        ("https://auth.example.com:0", [NO_URL]),
        ("https://auth.example.com:0443", [NO_URL]),
        ("https://auth.example.com:65536", [NO_URL]),
        ("https://auth.example.com:99999999999", [NO_URL]),
        ("https://auth.example.com:port", [NO_URL]),
        ("https://[::g]", [NO_URL]),
        ("https://[127.0.0.1]", [NO_URL]),
        ("https://[::1", [NO_URL]),
        ("http://[::1%lo]", [NO_URL]),
        ("http://auth.example.com", [NO_HTTPS]),
        ("http://localhost.example.com", [NO_HTTPS]),
        ("http://127.0.0.1.example.com", [NO_HTTPS]),
        ("http://0.0.0.0:8000", [NO_HTTPS]),
        ("http://10.0.0.1", [NO_HTTPS]),
        ("ftp://localhost", [NO_HTTPS]),
        ("HTTPS://auth.example.com", [NOT_LOWER]),
        ("https://Auth.example.com", [NOT_LOWER]),
        ("https://[2001:DB8::1]", [NOT_LOWER]),
        ("http://LOCALHOST:8000", [NOT_LOWER]),
        ("https://auth.example.com:443", [DEFAULT_PORT]),
        ("http://localhost:80", [DEFAULT_PORT]),
        ("https://auth.example.com/", [SLASH]),
        ("https://auth.example.com/tenant/", [SLASH]),
        ("https://auth.example.com//tenant", [PATH]),
        ("https://auth.example.com/./tenant", [PATH]),
        ("https://auth.example.com/tenant/..", [PATH]),
        ("https://auth.example.com/%74enant", [PATH]),
        ("https://auth.example.com/tenant;x", [PATH]),
        ("https://auth.example.com?", [QUERY]),
        ("https://auth.example.com?x=1", [QUERY]),
        ("https://auth.example.com#", [QUERY]),
        ("https://auth.example.com/tenant#x", [QUERY]),
        ("http://Auth.example.com:80//?x", [NO_HTTPS, NOT_LOWER, DEFAULT_PORT, SLASH, PATH, QUERY]),
    ],
)
def test_these_can_not(issuer: str, faults: list[str]) -> None:
    assert issuer_faults(issuer) == faults


@given(st.text() | st.from_regex(r"https?://[a-zA-Z.:0-9\[\]]*(/.*)?", fullmatch=True))
def test_any_text_is_judged(text: str) -> None:
    faults = issuer_faults(text)
    assert faults or text.isascii()
    assert faults or text == text.strip()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.255.0.9", "::1"])
def test_these_are_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["", "::", "localhost.", "127.0.0.1.nip.io", "10.0.0.1"])
def test_these_are_not(host: str) -> None:
    assert not is_loopback(host)
