"""The colours of a page: the house's greys, and what follows from the operator's accent."""

from dataclasses import dataclass, fields, replace

from service.pages.colours import (
    BLACK,
    SHAPE_CONTRAST,
    TEXT_CONTRAST,
    WHITE,
    mix,
    readable,
    text_on,
)

# Of the accent in the ground behind tiles and notes: a dark one needs more to be seen.
_TINT, _DARK_TINT = 0.09, 0.18
# Thin coloured letters on black need more than WCAG asks for.
_DARK_TEXT_CONTRAST = 6.0
_HOVER = 0.16


@dataclass(frozen=True, slots=True, kw_only=True)
class Greys:
    """A theme without its accent. `edge` is the border of an input: 3:1 against the card."""

    page: str
    card: str
    text: str
    muted: str
    line: str
    edge: str
    bad: str
    bad_tint: str
    warn: str
    warn_tint: str


LIGHT = Greys(
    page="#f5f6f8",
    card="#ffffff",
    text="#15202b",
    muted="#55626f",
    line="#e2e6eb",
    edge="#84919e",
    bad="#b42318",
    bad_tint="#fdf0ee",
    warn="#8a5200",
    warn_tint="#fdf4e2",
)
DARK = Greys(
    page="#0d1217",
    card="#161d25",
    text="#e8edf2",
    muted="#a3afbc",
    line="#2b3541",
    edge="#70808f",
    bad="#ff9c92",
    bad_tint="#331c1d",
    warn="#f0bd62",
    warn_tint="#2e2617",
)


def light(background: str) -> Greys:
    """The light theme on the operator's background."""
    return replace(LIGHT, page=background)


def properties(greys: Greys, accent: str) -> str:
    """A theme as CSS custom properties, which follow from its greys and the accent."""
    grounds = (greys.page, greys.card)
    fill = readable(accent, grounds, SHAPE_CONTRAST)
    on_fill = text_on(fill)
    is_light = text_on(greys.card) == BLACK
    tint = mix(greys.card, fill, _TINT if is_light else _DARK_TINT)
    least = TEXT_CONTRAST if is_light else _DARK_TEXT_CONTRAST
    colours = {field.name.replace("_", "-"): getattr(greys, field.name) for field in fields(greys)}
    colours |= {
        "accent": fill,
        "accent-strong": mix(fill, BLACK if on_fill == WHITE else WHITE, _HOVER),
        "on-accent": on_fill,
        "tint": tint,
        "link": readable(accent, (*grounds, tint), least),
    }
    return "".join(f"--{name}:{colour};" for name, colour in colours.items())
