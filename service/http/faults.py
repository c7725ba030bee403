"""What is wrong with a request, member by member: all of it is named at once."""

from collections.abc import Iterable

from service.oauth.errors import InvalidRequest

_MAX_FAULTS = 20


class Faults:
    """Sentences by member; the first of each member stays."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._found

    def note(self, name: str, sentence: str) -> None:
        """Note that a member can't be taken."""
        if len(self._found) < _MAX_FAULTS:
            self._found.setdefault(name, sentence)

    def check(self, unknown: Iterable[str]) -> None:
        """Raise InvalidRequest if there is any fault, or a member that nobody asked for."""
        for name in unknown:
            shown = name if name.isascii() and name.isidentifier() else "(a member)"
            self.note(shown[:64], "is not known here")
        if self._found:
            raise InvalidRequest("the request has faults; see fields", fields=self._found)
