"""The example's output: numbered lines, what came of each at the right."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

_WIDTH = 52


class Telling:
    """Prints a story step by step."""

    def __init__(self) -> None:
        self._number = 0

    def step(self, text: str, result: str = "") -> None:
        """A numbered line."""
        self._number += 1
        _print(f"{self._number:2}  {text}", result)

    def more(self, text: str, result: str = "") -> None:
        """A line that belongs to the step before."""
        _print(f"      {text}", result)

    @contextmanager
    def timed(self, text: str) -> Iterator[None]:
        """A numbered line, with the seconds that the block took."""
        began = time.perf_counter()
        yield
        self.step(text, f"{time.perf_counter() - began:.1f} s")


def _print(text: str, result: str) -> None:
    print(f"{text:{_WIDTH}}  {result}".rstrip(), flush=True)
