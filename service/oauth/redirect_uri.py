"""Redirect URIs: what can be registered, what matches, and how an answer travels in one.

RFC 6749 §3.1.2, RFC 8252 §7 and §8, RFC 9700 §2.1 and §4.1.3.
"""

import ipaddress
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, unquote, urlencode

MAX_LENGTH = 2000
_MAX_PORT = 65535
_DEFAULT_PORTS = {"https": "443", "http": "80"}
# What a response adds to the query, by whatever extension: the client could not tell which is ours.
_RESPONSE_PARAMETERS = frozenset(
    {"code", "state", "iss", "error", "error_description", "error_uri", "response", "session_state"}
)

# RFC 3986 §2 without * and #, which have a sentence of their own.
_CHARACTERS = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()+,;=%-]+")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%[01][0-9A-Fa-f]|%7[Ff]")
_URI = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*):"
    r"(?://(?P<authority>[^/?]*))?"
    r"(?P<path>[^?]*)"
    r"(?:\?(?P<query>.*))?"
)
_AUTHORITY = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:@\[\]]+)(?::(?P<port>[0-9]*))?")
_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")
# A name of the app's maker turned around, such as com.example.app (RFC 8252 §7.1).
_PRIVATE_USE = re.compile(r"[a-z][a-z0-9-]*(?:\.[a-z0-9][a-z0-9-]*)+")

LOOPBACK_HOSTS = frozenset({"127.0.0.1", "[::1]", "localhost"})
_LOOPBACK = re.compile(
    r"(?P<host>http://(?:127\.0\.0\.1|\[::1\]|localhost))"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<rest>(?:[/?].*)?)",
    re.DOTALL,
)


def redirect_uri_fault(uri: str, *, native: bool) -> str | None:
    """Why this can't be registered as a redirect URI, with what to write instead (AUTHZ-4).

    `native`: whether the client can be an app on a device, which alone may have a scheme of its
    own. Stricter than RFC 6749 §3.1.2: what browsers would write in another way is refused, since
    URIs are compared as strings.
    """
    if fault := _text_fault(uri):
        return fault
    parts = _URI.fullmatch(uri)
    if parts is None:
        return "write an absolute URI such as https://app.example/callback"
    if fault := _path_fault(parts["path"], parts["query"] or ""):
        return fault
    scheme = parts["scheme"]
    if scheme not in _DEFAULT_PORTS:
        return _private_use_fault(scheme, parts["authority"], parts["path"], native=native)
    if not parts["authority"]:
        return f"write a host behind {scheme}://, such as https://app.example/callback"
    return _authority_fault(scheme, parts["authority"])


def assures_identity(uri: str) -> bool:
    """Whether the answer goes to a web site, which nobody else can be (RFC 8252 §8.6, AUTHZ-17).

    Whatever runs on a user's device can take a port there, or another app's scheme.
    """
    return uri.startswith("https://")


def matches(registered: str, requested: str, *, native: bool) -> bool:
    """Whether a request's redirect URI is the registered one: byte for byte (AUTHZ-3).

    A native client's loopback URI may name any port, since the system gives it one when it starts
    (RFC 8252 §7.3).
    """
    if registered == requested:
        return True
    ours, theirs = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(requested)
    if not native or ours is None or theirs is None or int(theirs["port"] or "1") > _MAX_PORT:
        return False
    return (ours["host"], ours["rest"]) == (theirs["host"], theirs["rest"])


def with_parameters(uri: str, pairs: Iterable[tuple[str, str]]) -> str:
    """The redirect URI with response parameters behind its query, which stays as it is (AUTHZ-6).

    Values are form-encoded (RFC 6749 §4.1.2 and Appendix B), so that none of them can end the URI
    or a header.
    """
    begun = "?" in uri
    joint = "" if begun and uri[-1] in "?&" else "&" if begun else "?"
    return f"{uri}{joint}{urlencode(list(pairs))}"


def takes_post(uri: str) -> bool:
    """Whether a form can be posted there: an app's own scheme is opened, with a URI and no more."""
    return uri.startswith(("https://", "http://"))


def form_action_of(uri: str) -> str:
    """What a form-action of Content Security Policy lets through for a redirect URI.

    Its grammar has no IPv6 address (CSP Level 3 §2.3.1): a browser would pass over the source, and
    hold the redirect back. Raises ValueError as `origin_of`.
    """
    origin = origin_of(uri)
    return f"{origin.partition(':')[0]}:" if "[" in origin else origin


def origin_of(uri: str) -> str:
    """Where a redirect URI leads, as people read it.

    Scheme, host and port; of a private-use scheme the scheme with its colon. Raises ValueError for
    what can't be registered.
    """
    parts = _URI.fullmatch(uri)
    if parts is None:
        raise ValueError("no absolute URI")
    if parts["scheme"] not in _DEFAULT_PORTS:
        return f"{parts['scheme']}:"
    return f"{parts['scheme']}://{parts['authority']}"


def web_origins(uris: Iterable[str]) -> frozenset[str]:
    """The web origins, as browsers send them, that redirect URIs lead to (TOK-40)."""
    return frozenset(origin_of(uri) for uri in uris if uri.startswith(("https://", "http://")))


def _text_fault(uri: str) -> str | None:
    """What is wrong with the characters, wherever they are."""
    if not uri or len(uri) > MAX_LENGTH:
        return f"write a URI of 1 to {MAX_LENGTH} characters"
    rules = (
        ("#" in uri, "leave the fragment out, and its # with it"),
        ("*" in uri, "write each URI in full: there are no wildcards"),
        ("\\" in uri, "write / for \\"),
        (not uri.isascii(), "write the host in punycode (xn--…) and the rest percent-encoded"),
        (not _CHARACTERS.fullmatch(uri), "leave out spaces, controls and what no URI has"),
        (_ESCAPE.search(uri), "let each % begin an escape such as %C3, and escape no control"),
    )
    return next((fault for broken, fault in rules if broken), None)


def _path_fault(path: str, query: str) -> str | None:
    # Browsers take %2e for a dot, and resolve dot segments before they send.
    if {".", ".."} & set(unquote(path).split("/")):
        return "write the path without . and .. segments"
    names = {name for name, _ in parse_qsl(query, keep_blank_values=True)}
    if taken := sorted(names & _RESPONSE_PARAMETERS):
        return f"leave {' and '.join(taken)} out of the query: the response adds it"
    return None


def _private_use_fault(
    scheme: str, authority: str | None, path: str, *, native: bool
) -> str | None:
    """RFC 8252 §7.1; what a browser itself would run or open has no dot, and is refused by that."""
    if scheme.lower() in _DEFAULT_PORTS:
        return "write the scheme in lower case"
    if not native:
        return "write https://; a scheme of its own is for a public client, an app on a device"
    if not _PRIVATE_USE.fullmatch(scheme):
        return "write https://, or a scheme of your domain turned around: com.example.app:/callback"
    if authority is None and not path.startswith("/"):
        return f"write a path behind the scheme: {scheme}:/callback"
    if authority and "@" in authority:
        return "leave the user name before @ out"
    return None


def _authority_fault(scheme: str, authority: str) -> str | None:
    if "@" in authority:
        return "leave the user name before @ out"
    parts = _AUTHORITY.fullmatch(authority)
    if parts is None or not _is_host(parts["host"]):
        return "write a host name or address as browsers do, in lower case: https://app.example"
    port = parts["port"]
    if port is not None and not _is_port(port):
        return "write a port of 1 to 65535, or none and no colon"
    if port == _DEFAULT_PORTS[scheme]:
        return f"leave the default port :{port} out"
    if scheme == "http" and parts["host"] not in LOOPBACK_HOSTS:
        return "write https://; plain http is for 127.0.0.1, [::1] and localhost"
    return None


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[1-9][0-9]{0,4}", text)) and int(text) <= _MAX_PORT


def _is_host(host: str) -> bool:
    """A name or an address in the one spelling that browsers give it."""
    try:
        if host.startswith("["):
            return str(ipaddress.IPv6Address(host[1:-1])) == host[1:-1]
        # A last label that begins with a digit makes a browser read the whole as an IPv4 address.
        if host.rpartition(".")[2][0].isdigit():
            return str(ipaddress.IPv4Address(host)) == host
    except (ValueError, IndexError):
        return False
    return bool(_NAME.fullmatch(host))
