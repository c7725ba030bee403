"""The feed over HTTP: a page of it, or where there is no more the heartbeat, after a wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from service.flows.beat_feed import Reading
from service.flows.feed_pages import FeedPages, write_body
from service.flows.keep_feed import FeedKeeper
from service.keys.keyring import KeyringError
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.feed import Head, Heartbeat
from service.oauth.jws import encode_base64url
from service.sql.connection import Database

MAX_WAIT = 10
# While the pod drains nobody waits longer: a roll-out must not wait for followers, nor may they
# ask again and again.
_DRAINING_WAIT = 1
_NOTHING = b"[]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a follower asks for: the entries after a number of an epoch, and how long it waits."""

    epoch: str | None = None
    after: int | None = None
    wait: int = MAX_WAIT


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedAnswer:
    """An answer's body; whether it stays the same for ever, and how many seconds were waited."""

    body: bytes
    immutable: bool
    waited: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _View:
    """The feed as this pod can give it at one moment."""

    reading: Reading
    head: Head

    @property
    def floor(self) -> int:
        return self.reading.floor

    def names_epoch(self, ask: Ask) -> bool:
        """Whether the follower is in the present epoch; otherwise it begins at the floor."""
        return ask.epoch == self.head.epoch

    def goes_on(self, ask: Ask) -> bool:
        """Whether the answer begins where the follower is."""
        return self.names_epoch(ask) and ask.after is not None and ask.after >= self.floor - 1

    def start(self, ask: Ask) -> int:
        """The number after which the answer begins."""
        return ask.after if ask.after is not None and self.goes_on(ask) else self.floor - 1


class FeedServer:
    """Answers followers. A wait costs a future and a timer; a page is made once for all."""

    def __init__(self, database: Database, keeper: FeedKeeper, *, max_followers: int) -> None:
        self._database = database
        self._keeper = keeper
        self._news = keeper.news
        self._pages = FeedPages(database, keeper.news.tail)
        self.max_followers = max_followers

    async def answer(self, ask: Ask, leaving: Callable[[], Awaitable[object]]) -> FeedAnswer:
        """The page, or the heartbeat alone once `ask.wait` has passed or the follower has left.

        Raises TemporarilyUnavailable while no heartbeat may be signed, and when too many wait.
        """
        began, waited = time.monotonic(), 0.0
        gone: asyncio.Future[object] | None = None
        try:
            while True:
                seen, view = self._news.count, self._view()
                found = await self._find(view, ask)
                if found is not None:
                    return replace(found, waited=waited)
                left = self._patience(view, ask) - (time.monotonic() - began)
                if left <= 0 or (gone is not None and gone.done()):
                    body = write_body(_NOTHING, self._sign(self._heartbeat(view, view.head)))
                    return FeedAnswer(body=body, immutable=False, waited=waited)
                gone = gone or asyncio.ensure_future(leaving())
                waited += await self._wait(seen, left, gone)
        finally:
            if gone is not None:
                gone.cancel()

    def _view(self) -> _View:
        reading, head = self._keeper.reading(), self._keeper.newest()
        if reading is None or head is None:
            raise TemporarilyUnavailable(
                "nothing can be said of the feed at present; try again shortly",
                reason="not read yet, or unknown what was lost",
            )
        # Of an epoch that was not read yet nobody knows the floor: within a second it will be.
        known = head if head.epoch == reading.state.head.epoch else reading.state.head
        return _View(reading=reading, head=known)

    async def _find(self, view: _View, ask: Ask) -> FeedAnswer | None:
        """The page that follows; None if there is none, or PostgreSQL is away."""
        start = view.start(ask)
        page = await self._pages.find(start, view.head) if start < view.head.number else None
        if page is None:
            return None
        if page.full:
            immutable = page.whole and view.goes_on(ask)
            return FeedAnswer(body=page.body(""), immutable=immutable, waited=0)
        body = page.body(self._sign(self._heartbeat(view, page.head)))
        return FeedAnswer(body=body, immutable=False, waited=0)

    def _patience(self, view: _View, ask: Ask) -> float:
        """For how long the follower waits for news, counted from its request."""
        if not view.names_epoch(ask):
            return 0
        return min(ask.wait, _DRAINING_WAIT) if self._news.draining else ask.wait

    async def _wait(self, seen: int, seconds: float, gone: "asyncio.Future[object]") -> float:
        """Wait for news; for how long it did."""
        if self._news.followers >= self.max_followers:
            raise TemporarilyUnavailable("too many followers wait; try again shortly")
        began = time.monotonic()
        await self._news.more(seen, seconds, gone)
        return time.monotonic() - began

    def _heartbeat(self, view: _View, head: Head) -> Heartbeat:
        """The newest heartbeat over that head that this pod can answer for."""
        ours, theirs = view.reading.heartbeat(), self._keeper.pulse.newest
        ours = replace(ours, head=head.number, digest=encode_base64url(head.digest))
        if self._database.away and theirs and theirs.order[:2] > ours.order[:2]:
            # Others still read the database: who follows shall know that it lacks their entries.
            now = max(ours.time, theirs.time)
            ours = replace(theirs, time=now, database_read_at=ours.database_read_at)
        unread = sorted(self._news.killed_kids.difference(ours.killed_kids))
        return replace(ours, killed_kids=(*ours.killed_kids, *unread))

    def _sign(self, heartbeat: Heartbeat) -> str:
        try:
            return self._keeper.pulse.sign(heartbeat)
        except KeyringError as error:
            raise TemporarilyUnavailable(
                "no key signs the feed at present; try again shortly", reason=str(error)
            ) from error
