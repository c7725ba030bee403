"""What browsers add to a request under /api: cookies, origins, CORS. LOGIN-4, TOK-40."""

from collections.abc import Iterable

from litestar.types import Scope

from service.http.headers import header_values
from service.oauth.client import Client
from service.oauth.errors import AccessDenied

# __Host-: a browser takes and sends it over TLS alone, for this host alone, with Path=/ (ATK-75).
COOKIE = "__Host-watchword_refresh"

Headers = tuple[tuple[bytes, bytes], ...]

VARY: Headers = ((b"vary", b"Origin"),)
_PREFLIGHT: Headers = (
    (b"access-control-allow-methods", b"GET, POST, PATCH, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type, x-requested-with"),
    (b"access-control-max-age", b"600"),
)
EXPOSED = (b"access-control-expose-headers", b"retry-after, www-authenticate, x-request-id")


def read_origin(scope: Scope) -> str | None:
    """The origin of the page that asks; None for what is no page. Two are those of none."""
    values = header_values(scope["headers"], b"origin")
    return None if not values else values[0].decode("latin-1") if len(values) == 1 else ""


def check_origin(origin: str | None, client: Client, issuer_origin: str) -> None:
    """Let pages of the client's own origins pass, and what is no page. Raises AccessDenied."""
    if origin is not None and origin != issuer_origin and origin not in client.allowed_origins:
        raise AccessDenied("requests from that origin are not accepted")


def check_delivery(scope: Scope, client: Client, origin: str | None) -> None:
    """Refuse to hand a refresh token to what it is not for. Raises AccessDenied.

    A cookie needs a page to be kept by; a body must never come to one, where any script reads it.
    """
    if client.has_cookie:
        if origin is None:
            raise AccessDenied("send the Origin header that browsers send")
    elif origin is not None or header_values(scope["headers"], b"sec-fetch-site"):
        raise AccessDenied("this client is no web app: its tokens are not given to browsers")


def check_header(scope: Scope) -> None:
    """Demand the header that no form and no foreign page can send (CSRF). Raises AccessDenied."""
    if not any(value.strip() for value in header_values(scope["headers"], b"x-requested-with")):
        raise AccessDenied("send an X-Requested-With header that is not empty")


def cors_headers(origin: str | None, allowed: Iterable[str]) -> Headers:
    """The headers by which a browser lets the page read the answer; for its own origins alone."""
    if origin is None or origin not in allowed:
        return VARY
    return (
        *VARY,
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-credentials", b"true"),
        EXPOSED,
    )


def preflight_headers(origin: str | None, allowed: Iterable[str]) -> Headers:
    """Beside those, for a preflight: what its request may have."""
    return _PREFLIGHT if origin is not None and origin in allowed else ()


def read_cookie(scope: Scope) -> str | None:
    """The refresh token in the cookie; None where there is none, or more than one (ATK-75)."""
    return read_cookie_named(scope, COOKIE)


def read_cookie_named(scope: Scope, cookie: str) -> str | None:
    """The cookie's value; None where there is none, or more than one (ATK-75)."""
    found: list[str] = []
    for header in header_values(scope["headers"], b"cookie"):
        for pair in header.decode("latin-1").split(";"):
            # No more than that: what browsers let a sibling set, such as a name behind a byte
            # that Unicode calls a space, must not become a name with __Host- here.
            name, _, value = pair.strip(" \t").partition("=")
            if name == cookie:
                found.append(value)
    return found[0] if len(found) == 1 else None


def set_cookie(token: str, seconds: int) -> Headers:
    """Keep the refresh token where no script reads it, until the session's nearer expiry."""
    return _cookie(f"{COOKIE}={token}; Max-Age={seconds}")


def clear_cookie() -> Headers:
    """Forget the refresh token, which is of no more use."""
    return _cookie(f"{COOKIE}=; Max-Age=0")


def _cookie(text: str) -> Headers:
    return ((b"set-cookie", f"{text}; Path=/; Secure; HttpOnly; SameSite=Strict".encode()),)
