"""The posted form: RFC 6749 §3.2 and Appendix B, read from the raw body, strictly.

A framework's parser would take JSON for an empty form, mend broken UTF-8 and keep the last of two
equal names; here each of these is refused.
"""

import re
from collections.abc import Collection, Iterable
from urllib.parse import unquote_to_bytes

from litestar.types import Receive, Scope

from service.http.headers import header_values
from service.oauth.errors import InvalidRequest

MAX_BODY = 64 * 1024
_MAX_LENGTH_DIGITS = 9
_MAX_PARAMETERS = 100
_MAX_VALUE = 8 * 1024
# Only these may be sent more than once (RFC 8707 §2, RFC 8693 §2.1).
_REPEATABLE = frozenset({"resource", "audience"})
_MEDIA_TYPE = b"application/x-www-form-urlencoded"
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class BodyTooLarge(InvalidRequest):
    """The body is longer than 64 KiB."""

    status = 413


class Form:
    """The parameters of a request. An empty one is absent (RFC 6749 §3.2)."""

    __slots__ = ("_values",)

    def __init__(self, values: dict[str, list[str]]) -> None:
        self._values = values

    @property
    def is_empty(self) -> bool:
        """Whether nothing was sent, or only empty parameters."""
        return not self._values

    @property
    def names(self) -> frozenset[str]:
        """Which parameters were sent."""
        return frozenset(self._values)

    def get(self, name: str) -> str | None:
        """A parameter that may be sent once."""
        values = self._values.get(name)
        return values[0] if values else None

    def get_all(self, name: str) -> tuple[str, ...]:
        """A parameter that may be repeated."""
        return tuple(self._values.get(name, ()))

    def require(self, name: str) -> str:
        """A parameter that has to be there. Raises InvalidRequest."""
        value = self.get(name)
        if value is None:
            raise InvalidRequest(f"the parameter {name} is missing")
        return value


async def read_form(scope: Scope, receive: Receive) -> Form:
    """The request's form.

    Raises InvalidRequest for another media type (TOK-3), bad encoding (TOK-4), a repeated
    parameter (TOK-5) or too many of them, BodyTooLarge for more than 64 KiB (TOK-41).
    """
    return parse_form(await read_raw_form(scope, receive))


async def read_raw_form(scope: Scope, receive: Receive) -> bytes:
    """The bytes of a posted form. Raises InvalidRequest, BodyTooLarge."""
    headers = scope["headers"]
    _check_media_type(header_values(headers, b"content-type"))
    if header_values(headers, b"content-encoding"):
        raise InvalidRequest("a compressed body is not accepted")
    return await read_body(headers, receive)


def _check_media_type(values: list[bytes]) -> None:
    if len(values) != 1:
        raise InvalidRequest("send exactly one Content-Type: application/x-www-form-urlencoded")
    media_type, *parameters = values[0].lower().split(b";")
    if media_type.strip() != _MEDIA_TYPE:
        raise InvalidRequest("the Content-Type must be application/x-www-form-urlencoded")
    for parameter in parameters:
        name, _, value = parameter.strip().partition(b"=")
        if name == b"charset" and value.strip(b'"') != b"utf-8":
            raise InvalidRequest("the charset must be utf-8")


async def read_body(headers: Iterable[tuple[bytes, bytes]], receive: Receive) -> bytes:
    """The whole body. Raises BodyTooLarge, and InvalidRequest when the client went away."""
    for value in header_values(headers, b"content-length"):
        if not value.isdigit() or len(value) > _MAX_LENGTH_DIGITS or int(value) > MAX_BODY:
            raise BodyTooLarge("the body is longer than 64 KiB")
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise InvalidRequest("the client went away")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise BodyTooLarge("the body is longer than 64 KiB")
        if not message.get("more_body"):
            return body


def parse_form(body: bytes, known: Collection[str] | None = None) -> Form:
    """A form from its bytes, or a query; `known` are then its parameters. Raises InvalidRequest."""
    if body.count(b"&") >= _MAX_PARAMETERS:
        raise InvalidRequest("more than 100 parameters")
    values: dict[str, list[str]] = {}
    sent: set[str] = set()
    for pair in body.split(b"&"):
        if not pair:
            continue
        raw_name, _, raw_value = pair.partition(b"=")
        name, value = _decode(raw_name), _decode(raw_value)
        # Only known parameters are ever read, so a repeated unknown one does no harm (TOK-6).
        if name in sent and name in (known or _KNOWN) and name not in _REPEATABLE:
            raise InvalidRequest(f"the parameter {name} is repeated")
        sent.add(name)
        # Escapes only shrink, so most values need not be encoded again to know their bytes.
        if len(raw_value) > _MAX_VALUE and len(value.encode()) > _MAX_VALUE:
            raise InvalidRequest("a parameter is longer than 8 KiB")
        if value:
            values.setdefault(name, []).append(value)
    return Form(values)


def read_pairs(raw: bytes, known: Collection[str]) -> list[tuple[str, str]]:
    """The known parameters of an authorization request in their order, as they were sent.

    Which may be repeated is judged later: some faults are for the client (AUTHZ-5).
    Raises InvalidRequest.
    """
    if raw.count(b"&") >= _MAX_PARAMETERS:
        raise InvalidRequest("more than 100 parameters")
    pairs: list[tuple[str, str]] = []
    for pair in raw.split(b"&"):
        raw_name, _, raw_value = pair.partition(b"=")
        name, value = _decode(raw_name), _decode(raw_value)
        if name in known:
            pairs.append((name, value))
    return pairs


# Every parameter that this server reads or will come to read at a form endpoint.
_KNOWN = frozenset(
    {
        "client_id",
        "client_secret",
        "client_assertion",
        "client_assertion_type",
        "grant_type",
        "scope",
        "resource",
        "audience",
        "token",
        "token_type_hint",
        "refresh_token",
        "code",
        "code_verifier",
        "redirect_uri",
        "username",
        "password",
        "assertion",
    }
)


def _decode(raw: bytes) -> str:
    """RFC 6749 Appendix B: percent-decoding, + for a space, then strict UTF-8."""
    if _BROKEN_ESCAPE.search(raw):
        raise InvalidRequest("a percent sign must begin an escape such as %20")
    decoded = unquote_to_bytes(raw.replace(b"+", b" ")) if b"%" in raw else raw.replace(b"+", b" ")
    try:
        text = decoded.decode()
    except UnicodeDecodeError:
        raise InvalidRequest("parameters must be UTF-8") from None
    if "\0" in text:
        raise InvalidRequest("parameters must not have NUL in them")
    return text
