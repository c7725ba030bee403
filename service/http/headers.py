"""Raw request headers: what a mapping would hide, a repetition, is seen here."""

from collections.abc import Iterable

# RFC 6749 §5.1: tokens, and answers about them, are never stored.
NO_STORE = ((b"cache-control", b"no-store"), (b"pragma", b"no-cache"))
JSON = (b"content-type", b"application/json")


def header_values(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    """Every value of a header, in order; ASGI gives names in lower case."""
    return [value for key, value in headers if key == name]
