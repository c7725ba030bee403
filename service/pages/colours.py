"""Colours as WCAG 2.2 counts them: `#rrggbb` in, `#rrggbb` out."""

import re
from collections.abc import Iterable
from colorsys import hls_to_rgb, rgb_to_hls

BLACK, WHITE = "#000000", "#ffffff"
# WCAG 2.2 §1.4.3 for text, §1.4.11 for what is no text.
TEXT_CONTRAST, SHAPE_CONTRAST = 4.5, 3.0

_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_STEPS = 50
# The part of sRGB that is a straight line.
_LINEAR = 0.04045


def is_colour(text: str) -> bool:
    """Whether the text is `#rrggbb`, and so can't be anything else in a style sheet."""
    return _COLOUR.fullmatch(text) is not None


def contrast(one: str, other: str) -> float:
    """The contrast ratio, 1 to 21 (WCAG 2.2, 'contrast ratio')."""
    darker, lighter = sorted((_luminance(one), _luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def lowest_contrast(colour: str, grounds: Iterable[str]) -> float:
    """The contrast with the ground on which it is hardest to see."""
    return min(contrast(colour, ground) for ground in grounds)


def mix(colour: str, other: str, share: float) -> str:
    """The colour with a share, 0 to 1, of the other in it."""
    pairs = zip(_channels(colour), _channels(other), strict=True)
    return _colour(a + (b - a) * share for a, b in pairs)


def text_on(colour: str) -> str:
    """Black or white, whichever reads better on the colour: 4.58 to one at least."""
    return max(WHITE, BLACK, key=lambda text: contrast(text, colour))


def readable(colour: str, grounds: tuple[str, ...], least: float) -> str:
    """The colour, lighter or darker by as little as gives the least contrast with all grounds.

    It keeps its hue. The grounds are all light or all dark; black or white is what it ends at.
    """
    hue, lightness, saturation = rgb_to_hls(*(channel / 255 for channel in _channels(colour)))
    end = 0.0 if text_on(grounds[0]) == BLACK else 1.0
    for step in range(_STEPS):
        light = lightness + (end - lightness) * step / _STEPS
        changed = _colour(channel * 255 for channel in hls_to_rgb(hue, light, saturation))
        if lowest_contrast(changed, grounds) >= least:
            return changed
    return text_on(grounds[0])


def _colour(channels: Iterable[float]) -> str:
    return "#" + "".join(f"{round(channel):02x}" for channel in channels)


def _channels(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))


def _luminance(colour: str) -> float:
    linear = [
        c / 12.92 if c <= _LINEAR else ((c + 0.055) / 1.055) ** 2.4
        for c in (channel / 255 for channel in _channels(colour))
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
