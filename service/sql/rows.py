"""Rows as values."""

from typing import Any


def members_of(row: Any) -> dict[str, Any]:
    """The columns of a row by name; arrays as tuples, for a frozen value."""
    columns: dict[str, Any] = dict(row)
    return {name: tuple(it) if isinstance(it, list) else it for name, it in columns.items()}
