"""Receipts: this verifier tells the issuer how far it has followed the feed (DESIGN: seen by)."""

import asyncio
import logging
import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from socket import gethostname

from watchword_verifier._fetch import Fetcher, Unreachable

_log = logging.getLogger("watchword_verifier")

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9._-]")
_PATH = "/revocations/receipts"
_EVERY_SECONDS = 10.0
_AT_MOST_EVERY_SECONDS = 1.0
_MAX_ANSWER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Receipt:
    """A place in the feed, and the keys that are held."""

    epoch: str
    number: int
    kids: tuple[str, ...]


class Receipts:
    """Reports the newest receipt every 10 s, and at once after a change, at most one a second.

    Without a name it is that of the host and the process: each of them follows by itself.
    """

    def __init__(
        self, fetcher: Fetcher, name: str | None, current: Callable[[], Receipt | None]
    ) -> None:
        self._fetcher = fetcher
        self._name = name or f"{_NOT_IN_A_NAME.sub('-', gethostname())[:100]}:{os.getpid()}"
        self._current = current
        self._sent: Receipt | None = None
        self._changed = asyncio.Event()
        self._faulty = False

    def note(self) -> None:
        """Something may have changed."""
        if self._current() != self._sent:
            self._changed.set()

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            receipt = self._current()
            self._changed.clear()
            if receipt is not None:
                await self._send(receipt)
                await asyncio.sleep(_AT_MOST_EVERY_SECONDS)
            try:
                async with asyncio.timeout(_EVERY_SECONDS - _AT_MOST_EVERY_SECONDS):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def say_goodbye(self) -> None:
        """Be forgotten, rather than missed."""
        with suppress(Unreachable):
            form = {"name": self._name, "gone": "true"}
            await self._fetcher.post(_PATH, form, max_length=_MAX_ANSWER)

    async def _send(self, receipt: Receipt) -> None:
        form = {
            "name": self._name,
            "epoch": receipt.epoch,
            "number": str(receipt.number),
            "kids": " ".join(receipt.kids),
        }
        try:
            await self._fetcher.post(_PATH, form, max_length=_MAX_ANSWER)
        except Unreachable as error:
            if not self._faulty:
                _log.warning("receipts can't be reported: %s", error)
            self._faulty = True
        else:
            self._sent, self._faulty = receipt, False
