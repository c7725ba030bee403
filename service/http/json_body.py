"""A posted JSON object, read strictly: what a framework would mend or ignore is refused here."""

from typing import Any

from litestar.types import Receive, Scope

from service.http.faults import Faults
from service.http.form import read_body
from service.http.headers import header_values
from service.oauth.errors import InvalidRequest, UnsupportedMediaType
from service.oauth.jws import parse_json_object

_MAX_DEPTH = 4
_MAX_TEXT = 8 * 1024
_MAX_LIST = 200


class JsonBody:
    """The members of a body. Reads what is asked for, remembers every fault, names them at once."""

    def __init__(self, members: dict[str, Any]) -> None:
        self._members = members
        self._asked: set[str] = set()
        self._faults = Faults()

    def text(self, name: str) -> str:
        """A text that has to be there; '' with a fault noted when it is not."""
        value = self.optional(name)
        if value is None and name not in self._faults:
            self.fault(name, "is missing")
        return value or ""

    def optional(self, name: str) -> str | None:
        """A text that may be left out, or be null."""
        self._asked.add(name)
        value = self._members.get(name)
        if value is None:
            return None
        fault = _text_fault(value)
        if fault:
            self.fault(name, fault)
            return None
        return value

    def texts(self, name: str) -> tuple[str, ...] | None:
        """A list of texts that may be left out, or be null; each counts once."""
        self._asked.add(name)
        value = self._members.get(name)
        if value is None:
            return None
        if not isinstance(value, list) or len(value) > _MAX_LIST:
            self.fault(name, f"must be a list of at most {_MAX_LIST} texts")
            return None
        for fault in filter(None, map(_text_fault, value)):
            self.fault(name, f"an item {fault}")
            return None
        return tuple(dict.fromkeys(value))

    def flag(self, name: str) -> bool | None:
        """A boolean that may be left out, or be null."""
        self._asked.add(name)
        value = self._members.get(name)
        if value is None or isinstance(value, bool):
            return value
        self.fault(name, "must be true or false")
        return None

    def number(self, name: str, least: int, most: int) -> int | None:
        """An integer that may be left out, or be null."""
        self._asked.add(name)
        value = self._members.get(name)
        if value is None or (type(value) is int and least <= value <= most):
            return value
        self.fault(name, f"must be an integer from {least} to {most}")
        return None

    def has(self, name: str) -> bool:
        """Whether the member is there, be it null."""
        return name in self._members

    def fault(self, name: str, sentence: str) -> None:
        """Note that a member can't be taken."""
        self._faults.note(name, sentence)

    def check(self) -> None:
        """Raise InvalidRequest if there is any fault, or a member that nobody asked for."""
        self._faults.check(self._members.keys() - self._asked)


async def read_json(scope: Scope, receive: Receive, *, type_needed: bool = True) -> JsonBody:
    """The request's JSON object; an empty body is an empty one.

    `type_needed`: without a body, too. Raises UnsupportedMediaType (LOGIN-4), InvalidRequest,
    BodyTooLarge.
    """
    headers = scope["headers"]
    types = header_values(headers, b"content-type")
    if not (types or type_needed or await read_body(headers, receive)):
        return JsonBody({})
    media_type, _, parameters = (types[0] if types else b"").lower().partition(b";")
    charset = parameters.strip()
    plain = charset in {b"", b"charset=utf-8", b'charset="utf-8"'}
    if len(types) != 1 or media_type.strip() != b"application/json" or not plain:
        raise UnsupportedMediaType("send Content-Type: application/json")
    if header_values(headers, b"content-encoding"):
        raise InvalidRequest("a compressed body is not accepted")
    raw = await read_body(headers, receive)
    members = parse_json_object(raw, max_depth=_MAX_DEPTH) if raw else {}
    if members is None:
        raise InvalidRequest("the body must be one JSON object in UTF-8, no name in it twice")
    return JsonBody(members)


def _text_fault(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be a text"
    if len(value) > _MAX_TEXT:
        return "is too long"
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which no database takes
        return "must be Unicode text"
    return "must not have NUL in it" if "\0" in value else None
