"""News of the feed: the newest head that this pod knows of, and the followers who wait for more."""

import asyncio
from collections.abc import Sequence
from hashlib import sha256

from service.flows.feed_tail import FeedTail
from service.oauth.feed import Head
from service.redis.feed import SignedEntry

# Thousands who wake in one turn of the loop would hold up every other request for as long.
_AT_ONCE = 16


class FeedNews:
    """The end of the feed as this pod knows it, from whichever source was first; it only moves on.

    `count` rises with all news. A follower costs a future here: no task, and no query.
    """

    def __init__(self) -> None:
        self.head: Head | None = None
        self.tail = FeedTail()
        self.killed_kids: set[str] = set()
        self.count = 0
        self.draining = False
        self._waiting: set[asyncio.Future[None]] = set()
        self._due: list[asyncio.Future[None]] = []

    @property
    def followers(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def take(self, epoch: str, entries: Sequence[SignedEntry]) -> None:
        """Entries that this pod published, or heard of and proved, in their order."""
        for entry in entries:
            self.tail.add(epoch, entry.number, entry.jws)
            self.killed_kids |= {fact.subject for fact in entry.facts if fact.kind == "kid"}
        if entries:
            last = entries[-1]
            self.reach(Head(epoch, last.number, sha256(last.jws.encode()).digest()))

    def reach(self, head: Head) -> None:
        """A head; those who wait are told of a newer one."""
        known = self.head
        if known is None or (head.epoch, head.number) > (known.epoch, known.number):
            self.head = head
            self.tell()

    def drain(self) -> None:
        """The pod is about to stop: whoever waits is told, and from here on nobody waits long."""
        self.draining = True
        self.tell()

    def tell(self) -> None:
        """Wake everybody who waits, some at a time."""
        self.count += 1
        under_way = bool(self._due)
        self._due += self._waiting
        self._waiting.clear()
        if not under_way:
            self._wake_some()

    def _wake_some(self) -> None:
        some, self._due = self._due[:_AT_ONCE], self._due[_AT_ONCE:]
        for waiter in some:
            _wake(waiter)
        if self._due:
            asyncio.get_running_loop().call_soon(self._wake_some)

    async def more(self, seen: int, seconds: float, gone: "asyncio.Future[object]") -> None:
        """Wait until `count` is above `seen`, at most so long, and not once `gone` is done."""
        if self.count > seen or gone.done():
            return
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def leave(_: object) -> None:
            _wake(waiter)

        gone.add_done_callback(leave)
        patience = loop.call_later(seconds, _wake, waiter)
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
            patience.cancel()
            gone.remove_done_callback(leave)


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
