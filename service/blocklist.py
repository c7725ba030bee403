"""The passwords that are tried first: a list of common ones, part of the package."""

from functools import cache
from importlib.resources import files


@cache
def common_passwords() -> frozenset[str]:
    """Every password of the list, folded; read once, kept for good (two megabytes)."""
    text = files("service").joinpath("common_passwords.txt").read_text("utf-8")
    _, _, words = text.partition("\n\n")  # after the comment: some words begin with # too
    return frozenset(words.split())
