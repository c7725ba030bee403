"""The issuer: RFC 8414 §2, a URL that every verifier compares as the same string."""

import ipaddress
import re

_URL = re.compile(
    r"(?P<scheme>[A-Za-z]+)://"
    r"(?P<host>[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[!-~]*?)?"
    r"(?P<rest>[?#][!-~]*)?"
)
_PATH = re.compile(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*/?")
_DEFAULT_PORTS = {"https": "443", "http": "80"}
_MAX_PORT = 65535


def issuer_faults(issuer: str) -> list[str]:
    """Every reason why the text can't be an issuer (META-1), each what it must be; none if it can.

    Stricter than RFC 8414 §2, which leaves two spellings of one URL: what an HTTP client might
    write in another way is refused.
    """
    url = _URL.fullmatch(issuer)
    if url is None or not _is_host(url["host"]) or int(url["port"] or "1") > _MAX_PORT:
        return ["must be a URL such as https://auth.example.com"]
    scheme, host, path = url["scheme"].lower(), url["host"].lower(), url["path"] or ""
    rules = (
        (
            scheme == "https" or (scheme == "http" and is_loopback(host.strip("[]"))),
            "must be https; plain http is for a loopback host alone",
        ),
        (url["scheme"] + url["host"] == scheme + host, "must be in lower case up to its path"),
        (url["port"] != _DEFAULT_PORTS.get(scheme, ""), "must not name the default port"),
        (not path.endswith("/"), "must have no trailing slash"),
        (_PATH.fullmatch(path), "must have a plain path: of letters, digits, and . _ ~ - alone"),
        (not url["rest"], "must have no query and no fragment"),
    )
    return [fault for kept, fault in rules if not kept]


def is_loopback(host: str) -> bool:
    """Whether the host of a URL, without brackets, is this machine for certain."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return ".." not in host
    try:
        ipaddress.IPv6Address(host[1:-1])
    except ValueError:
        return False
    return True
