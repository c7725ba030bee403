"""The printed table, and what is under way."""

import sys

_WIDTHS = (34, 8, 12, 7, 0)


def progress(text: str) -> None:
    """Say on a terminal what is under way."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def print_row(*cells: str) -> None:
    """A row of the table."""
    row = "  ".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True))
    print(row.rstrip(), flush=True)
