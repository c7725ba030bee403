"""Whose pages these are: the operator's name, logo, colours and links."""

import re
from dataclasses import dataclass
from pathlib import Path

from service.oauth.user import name_fault, url_fault
from service.pages.colours import SHAPE_CONTRAST, TEXT_CONTRAST, is_colour, lowest_contrast
from service.pages.palette import LIGHT

_MAX_NAME = 40
_MAILTO = re.compile(r"mailto:[\x21-\x7E]{1,200}")


class UnfitBrand(ValueError):
    """Pages can't look like this. `faults` has one sentence for each reason."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """What the operator says of the pages; raises UnfitBrand if people could not read them.

    `accent`, of buttons and links, and `background`, of the page in its light theme, are `#rrggbb`.
    The links are https URLs; `help` may also be `mailto:`.
    """

    name: str = "Watchword"
    logo: Path | None = None
    accent: str = "#0b6157"
    background: str = LIGHT.page
    privacy: str | None = None
    terms: str | None = None
    help: str | None = None

    def __post_init__(self) -> None:
        colours = _colour_faults(self.accent, self.background)
        links = {"privacy": self.privacy, "terms": self.terms, "help": self.help}
        faults = [
            *_name_faults(self.name),
            *colours,
            *(
                f"{name}: must be {fault}"
                for name, url in links.items()
                if (fault := _link_fault(name, url))
            ),
        ]
        if faults:
            raise UnfitBrand(faults)

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        """The links of a page's foot, each with the key of its text."""
        named = (("privacy", self.privacy), ("terms", self.terms), ("help", self.help))
        return tuple((name, url) for name, url in named if url)


def _name_faults(name: str) -> list[str]:
    if len(name) <= _MAX_NAME and not name_fault(name):
        return []
    return [f"name: must be 1 to {_MAX_NAME} printable characters, without spaces around them"]


def _link_fault(name: str, url: str | None) -> str | None:
    if url is None or (name == "help" and _MAILTO.fullmatch(url)):
        return None
    return url_fault(url)


def _colour_faults(accent: str, background: str) -> list[str]:
    """Dark themes have no say: the accent is lightened for them."""
    named = {"accent": accent, "background": background}
    faults = [f"{name}: must be #rrggbb" for name, text in named.items() if not is_colour(text)]
    if faults:
        return faults
    texts = lowest_contrast(background, (LIGHT.text, LIGHT.muted, LIGHT.bad))
    if texts < TEXT_CONTRAST:
        return [_too_weak(f"background: text on {background}", texts, "lighter")]
    shapes = lowest_contrast(accent, (background, LIGHT.card))
    if shapes < SHAPE_CONTRAST:
        return [_too_weak(f"accent: {accent} on the light page", shapes, "darker")]
    return []


def _too_weak(what: str, ratio: float, change: str) -> str:
    needed = TEXT_CONTRAST if change == "lighter" else SHAPE_CONTRAST
    return f"{what} has a contrast of {ratio:.1f}:1; {needed:g}:1 is needed: choose a {change} one"
