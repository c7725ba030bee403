"""Passwords: their one form, and which may be set. SP 800-63B-4 §3.1.1."""

import re
import unicodedata
from collections.abc import Container, Iterable, Iterator
from itertools import pairwise

SERVICE_NAME = "watchword"

MIN_CODE_POINTS = 15  # where the password is the only factor (PW-1)
MAX_CODE_POINTS = 256  # in UTF-8 never more than 1024 bytes: four each at most

# Shorter words are part of too much to say anything.
_MIN_WORD = 3
_MAX_REPEATED_PIECE = 4
_MIN_MEAN_RUN = 3
# What is tried of digits and punctuation that belong to a word, on each side of it.
_MAX_AFFIX = 16

# Neighbours on keyboards and in the alphabet.
_ROWS = (
    "1234567890",
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiopasdfghjklzxcvbnm",
    "qwertzuiopasdfghjklyxcvbnm",
    "azertyuiopqsdfghjklmwxcvbn",
    "1234567890qwertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
    "1q2w3e4r5t6y7u8i9o0p",
    "qazwsxedcrfvtgbyhnujmikolp",
    "!@#$%^&*()",
)
_RUNS = tuple(run for row in _ROWS for run in (row, row[::-1]))

_PUNCTUATION = r"\s!-/:-@\[-`{-~"  # and space
_AFFIXES = re.compile(rf"\A[\d{_PUNCTUATION}]+|[\d{_PUNCTUATION}]+\Z")
_SEPARATORS = re.compile(f"[{_PUNCTUATION}]+")


class UnfitPassword(Exception):
    """The text can't be any password. `reason` tells the person what to do."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def normalize_password(text: str) -> str:
    """The one form in which a password is counted, set and verified; raises UnfitPassword.

    Nothing is cut off, at no end: spaces are part of a password.
    """
    # Before the costly work, so that a megabyte costs nothing (ATK-77).
    _refuse_too_long(text)
    categories = set(map(unicodedata.category, text))
    if "Cs" in categories:
        raise UnfitPassword("Leave out the character that is broken: only half of it came.")
    # RFC 8264 §9.12, Controls: RFC 8265 §4.2 has none of them in a password, NUL least of all.
    if "Cc" in categories:
        raise UnfitPassword("Leave out control characters, such as tabs and line breaks.")
    # NFKC, of the two that SP 800-63B-4 §3.1.1.2 allows: keyboards and systems compose alike, and
    # full-width forms match. Its version is Python's, 14.0 on 3.11. Unicode never changes the NFKC
    # of an assigned character, so later versions read what this one stored.
    normalized = unicodedata.normalize("NFKC", text)
    _refuse_too_long(normalized)  # U+FDFA alone becomes 18
    return normalized


def _refuse_too_long(text: str) -> None:
    if len(text) > MAX_CODE_POINTS:
        raise UnfitPassword(f"Use at most {MAX_CODE_POINTS} characters.")


def password_fault(password: str, *, common: Container[str], about: Iterable[str]) -> str | None:
    """Why a normalized password can't be set, a sentence; None when it can. Never for a login.

    `common` holds folded passwords, `about` what is known of the person: names, e-mail address.
    """
    if len(password) < MIN_CODE_POINTS:
        return f"Use at least {MIN_CODE_POINTS} characters, such as four words or more."
    folded = fold(password)
    if folded in common:
        return "Many people use this password, so it is tried first; choose another."
    origins = set(_origins(folded))
    if origins & _words_about((SERVICE_NAME, *about)):
        return (
            "This is made from your name, username or e-mail address, or from this service's"
            " name; choose something that nobody can know."
        )
    if any(origin in common for origin in origins):
        return "This is a common password, repeated, reversed or added to; choose another."
    if _is_sequence(folded) or _is_sequence(_AFFIXES.sub("", folded)):
        return "This follows a simple sequence; choose characters that don't follow one another."
    return None


def fold(text: str) -> str:
    """The text without regard to case, as the blocklist has it (PW-3)."""
    # Twice: mathematical capitals have small letters only once they are plain.
    plain = unicodedata.normalize("NFKC", text.casefold())
    return unicodedata.normalize("NFKC", plain.casefold())


def _origins(folded: str) -> Iterator[str]:
    """What the password is when what was done to it is undone. The whole, never a part."""
    forms, found = [folded], {folded}
    for form in forms:
        undone = (_AFFIXES.sub("", form), _SEPARATORS.sub("", form), form[: _period(form)])
        forms += [text for text in undone if text not in found and len(text) >= _MIN_WORD]
        found.update(undone)
        for kept in _with_affixes(form):
            yield kept
            yield kept[::-1]


def _with_affixes(form: str) -> Iterator[str]:
    """The form, less any number of the digits and punctuation around its core."""
    yield form
    core = _AFFIXES.sub("", form)
    if len(core) < _MIN_WORD or core == form:
        return
    start = form.index(core)
    end = start + len(core)
    for first in range(start, max(0, start - _MAX_AFFIX) - 1, -1):
        for last in range(end, min(len(form), end + _MAX_AFFIX) + 1):
            yield form[first:last]


def _period(text: str) -> int:
    """How long the piece is of which the text is a repetition; the last may be cut short."""
    return next((n for n in range(1, len(text)) if text.startswith(text[n:])), len(text))


def _is_sequence(folded: str) -> bool:
    """Whether it is a tiny piece repeated, or runs of neighbours one after another."""
    if len(folded) < _MIN_WORD:
        return False
    if _period(folded) <= min(_MAX_REPEATED_PIECE, len(folded) // 2):
        return True
    runs, start = 0, 0
    while start < len(folded):
        end = start + 1
        while end < len(folded) and _is_run(folded[start : end + 1]):
            end += 1
        runs, start = runs + 1, end
    return len(folded) >= runs * _MIN_MEAN_RUN


def _is_run(text: str) -> bool:
    steps = {ord(after) - ord(before) for before, after in pairwise(text)}
    # Of letters: the code points of emoji and other signs follow one another as they happen to.
    in_order = steps == {0} or (steps in ({1}, {-1}) and text.isalnum())
    return in_order or any(text in run for run in _RUNS)


def _words_about(about: Iterable[str]) -> set[str]:
    """The words that an attacker who knows the person tries first."""
    words: set[str] = set()
    for text in map(fold, about):
        for whole in (text, text.partition("@")[0]):
            words |= {whole, _SEPARATORS.sub("", whole), *_SEPARATORS.split(whole)}
    words |= {_AFFIXES.sub("", word) for word in words}
    return {word for word in words if len(word) >= _MIN_WORD}
