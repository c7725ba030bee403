"""The texts of the pages, by key, from one file; and how foreign texts are put into them.

What a person or a client chose stands in `<bdi>`, or between isolates where no element may be, so
that its direction stays its own; characters that can't be seen are left out of it (ATK-74).
"""

import tomllib
import unicodedata
from collections.abc import Callable, Iterator
from importlib.resources import files
from string import Formatter
from typing import Any, TypeGuard

from markupsafe import Markup, escape

_BDI = Markup("<bdi>{}</bdi>")
_ISOLATED = "\N{FIRST STRONG ISOLATE}{}\N{POP DIRECTIONAL ISOLATE}"
# They join what stands beside them, in many scripts and in emoji.
_JOINERS = {"\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH NON-JOINER}"}
_UNSEEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}
# More of them on one letter grow over the lines above and below.
_MAX_MARKS = 4
# Of a name within a sentence. What decides, such as a host, never stands in one.
_MAX_NAME = 64

Parts = tuple[tuple[str, str | None], ...]
# A number or Markup is ours; any other text is foreign.
Value = str | int


def visible(text: str) -> str:
    """The text as it may be shown: nothing unseen, no overrides, no towers of marks."""
    shown: list[str] = []
    marks = 0
    for character in text:
        category = unicodedata.category(character)
        marks = marks + 1 if category in {"Mn", "Me"} else 0
        if marks > _MAX_MARKS:
            continue
        if category not in _UNSEEN or character in _JOINERS:
            shown.append(character)
        elif character.isspace():
            shown.append(" ")
    return "".join(shown)


def short(text: str) -> str:
    """The visible text, cut where it would bury the page it is in."""
    shown = visible(text)
    return shown if len(shown) <= _MAX_NAME else shown[: _MAX_NAME - 1].rstrip() + "…"


class Texts:
    """One language. A key that is not there, or a placeholder without its value, is a KeyError."""

    def __init__(self, language: str = "en") -> None:
        source = files("service.pages").joinpath(f"{language}.toml").read_text("utf-8")
        self._texts = dict(_flatten(tomllib.loads(source), ""))
        self.language = language
        self.direction = self.bare("direction")

    def __call__(self, key: str, **values: Value) -> Markup:
        """The text for an element's content: the values are escaped and isolated."""
        return self._join(key, values, _element)

    def plain(self, key: str, **values: Value) -> Markup:
        """The text for an attribute or a title, where no element may be."""
        return self._join(key, values, _attribute)

    def bare(self, key: str) -> str:
        """The text itself, unescaped; it has no placeholders."""
        ((text, _),) = self._texts[key]
        return text

    @property
    def keys(self) -> set[str]:
        """Of all its texts."""
        return set(self._texts)

    def _join(self, key: str, values: dict[str, Value], show: Callable[[Value], Markup]) -> Markup:
        parts = self._texts[key]
        return Markup("").join(
            escape(text) + (show(values[name]) if name else "") for text, name in parts
        )


def _element(value: Value) -> Markup:
    return _BDI.format(short(value)) if _is_foreign(value) else escape(value)


def _attribute(value: Value) -> Markup:
    return escape(_ISOLATED.format(short(value))) if _is_foreign(value) else escape(value)


def _is_foreign(value: Value) -> TypeGuard[str]:
    return isinstance(value, str) and not isinstance(value, Markup)


def _flatten(table: dict[str, Any], prefix: str) -> Iterator[tuple[str, Parts]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield prefix + name, tuple((text, slot) for text, slot, *_ in Formatter().parse(value))
