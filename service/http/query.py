"""The query of a request under /admin, read strictly: filters, and which page of a list."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from uuid import UUID

from service.http.faults import Faults
from service.http.form import parse_form
from service.oauth.uuid7 import read_uuid

MOST_ON_A_PAGE = 200
_DEFAULT_ON_A_PAGE = 50
_LIMIT = re.compile(r"[1-9][0-9]{0,2}", re.ASCII)
_MOMENT = re.compile(
    r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,6})?(?:Z|[+-]\d{2}:\d{2})", re.ASCII
)
_FLAGS = {"true": True, "false": False}
# So that a parameter which is sent twice is this reader's to refuse, with its name.
_NONE_KNOWN = frozenset({""})


class Query:
    """The parameters of a query. Reads what is asked for; an empty one is absent.

    Remembers every fault and names them at once. Raises InvalidRequest for what is no query.
    """

    def __init__(self, raw: bytes) -> None:
        self._form = parse_form(raw, _NONE_KNOWN)
        self._asked: set[str] = set()
        self._faults = Faults()

    def text(self, name: str) -> str | None:
        """Any text."""
        self._asked.add(name)
        values = self._form.get_all(name)
        if len(values) > 1:
            self.fault(name, "is sent more than once")
        return values[0] if len(values) == 1 else None

    def flag(self, name: str) -> bool | None:
        """True or false."""
        text = self.text(name)
        if text is not None and text not in _FLAGS:
            self.fault(name, "must be true or false")
        return _FLAGS.get(text or "")

    def choice(self, name: str, choices: Collection[str]) -> str | None:
        """One of these."""
        text = self.text(name)
        if text is None or text in choices:
            return text
        self.fault(name, f"must be one of: {', '.join(sorted(choices))}")
        return None

    def uuid(self, name: str) -> UUID | None:
        """A UUID as this server writes it."""
        text = self.text(name)
        found = None if text is None else read_uuid(text)
        if text is not None and found is None:
            self.fault(name, "must be a UUID in lower case")
        return found

    def moment(self, name: str) -> datetime | None:
        """A time by RFC 3339."""
        text = self.text(name)
        found = None if text is None else _moment(text)
        if text is not None and found is None:
            self.fault(name, "must be a time such as 2026-01-31T12:00:00Z")
        return found

    def limit(self) -> int:
        """How many there are on a page."""
        text = self.text("limit")
        if text is None:
            return _DEFAULT_ON_A_PAGE
        if _LIMIT.fullmatch(text) and int(text) <= MOST_ON_A_PAGE:
            return int(text)
        self.fault("limit", f"must be an integer from 1 to {MOST_ON_A_PAGE}")
        return 1

    def fault(self, name: str, sentence: str) -> None:
        """Note that a parameter can't be taken."""
        self._faults.note(name, sentence)

    def check(self) -> None:
        """Raise InvalidRequest if there is any fault, or a parameter that nobody asked for."""
        self._faults.check(self._form.names - self._asked)


def _moment(text: str) -> datetime | None:
    if not _MOMENT.fullmatch(text):
        return None
    try:
        # Where the offset leads beyond the years that there are, it overflows.
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
