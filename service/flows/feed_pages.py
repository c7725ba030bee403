"""Pages of the feed for followers over HTTP: each is read and encoded once, and shared by all."""

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

import msgspec

from service.flows.feed_tail import FeedTail
from service.flows.flights import Flights
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.feed import Head
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import list_page

PAGE_ENTRIES = 128
PAGE_BYTES = 1024 * 1024
_KEPT_BYTES = 16 * 1024 * 1024
_OVERHEAD = 1024
# Strangers may ask for any page: so many are read at once, and so many more wait for that.
_READ_AT_ONCE = 2
_WAITING = 32

_encode = msgspec.json.Encoder().encode


class Page:
    """Consecutive entries, encoded; `head` is of their last. A full one is followed by more.

    `whole`: it begins with the number that follows the one asked for, and none is missing.
    """

    def __init__(self, head: Head, entries: Sequence[str], *, full: bool, whole: bool) -> None:
        self.head = head
        self.full = full
        self.whole = whole
        self._entries = _encode(entries)
        self._heartbeat: str | None = None
        self._body = b""

    @property
    def size(self) -> int:
        """About the memory that it takes, once it was sent."""
        return 2 * len(self._entries) + _OVERHEAD

    def body(self, heartbeat: str) -> bytes:
        """The answer with a heartbeat, or without; the same bytes for all who get the same."""
        if self._heartbeat != heartbeat:
            self._heartbeat, self._body = heartbeat, write_body(self._entries, heartbeat)
        return self._body


def write_body(entries: bytes, heartbeat: str) -> bytes:
    """An answer of encoded entries; a heartbeat is ASCII that JSON does not escape."""
    if not heartbeat:
        return b'{"entries":' + entries + b"}"
    return b'{"entries":' + entries + b',"heartbeat":"' + heartbeat.encode() + b'"}'


class FeedPages:
    """The pages that were asked for lately, from the tail in memory or else from PostgreSQL."""

    def __init__(self, database: Database, tail: FeedTail) -> None:
        self._database = database
        self._tail = tail
        self._kept: OrderedDict[tuple[str, int], Page] = OrderedDict()
        self._bytes = 0
        self._flights: Flights[Page | None] = Flights()
        self._slots = asyncio.Semaphore(_READ_AT_ONCE)
        self._reading = 0

    async def find(self, after: int, head: Head) -> Page | None:
        """The page after a number below the head; None while PostgreSQL is away.

        Raises TemporarilyUnavailable, DatabaseUnavailable when PostgreSQL is there but busy.
        """
        key = (head.epoch, after)
        page = self._kept.get(key)
        if page is not None and (page.full or page.head.number >= head.number):
            self._kept.move_to_end(key)
            return page
        entries = self._tail.find(head.epoch, after, head.number)
        if entries is not None:
            return self._keep(after, Page(head, entries, full=False, whole=True))
        return await self._flights.share((*key, head.number), lambda: self._read(after, head))

    async def _read(self, after: int, head: Head) -> Page | None:
        if self._reading >= _READ_AT_ONCE + _WAITING:
            raise TemporarilyUnavailable("too many pages are asked for; try again shortly")
        self._reading += 1
        try:
            async with self._slots, self._database.connection() as connection:
                rows = await list_page(
                    connection, head.epoch, after, head.number, PAGE_ENTRIES, PAGE_BYTES
                )
        except DatabaseUnavailable:
            if not self._database.away:
                raise
            return None
        finally:
            self._reading -= 1
        return self._keep(after, _page_of(rows, after, head))

    def _keep(self, after: int, page: Page) -> Page:
        key = (page.head.epoch, after)
        old = self._kept.pop(key, None)
        self._kept[key] = page
        self._bytes += page.size - (old.size if old else 0)
        while self._bytes > _KEPT_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].size
        return page


def _page_of(rows: Sequence[tuple[int, str]], after: int, head: Head) -> Page:
    """The page of what was found; raises TemporarilyUnavailable if that is nothing.

    Then the epoch was left and its entries are gone, or the database lost them: this pod is about
    to hear of it. Where only the first are missing, they fell below the floor a moment ago.
    """
    if not rows:
        raise TemporarilyUnavailable("the feed begins anew; try again shortly")
    last, jws = rows[-1]
    return Page(
        Head(head.epoch, last, sha256(jws.encode()).digest()),
        [jws for _, jws in rows],
        full=last < head.number,
        whole=len(rows) == last - after,
    )
