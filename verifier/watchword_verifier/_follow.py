"""Following the feed: Redis first, the issuer over HTTP where Redis has nothing new to say."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

from watchword_verifier._clock import Clock
from watchword_verifier._feed import Feed, KilledFeedKey, Moment, UnknownFeedKey
from watchword_verifier._feed_claims import Faulty, Heartbeat, place_of
from watchword_verifier._keys import Keys
from watchword_verifier._sources import PAGE, Away, HttpSource, RedisSource

_log = logging.getLogger("watchword_verifier")

# How often the heartbeat in Redis is looked at; one comes each second.
_BEAT_SECONDS = 0.5
# Redis that had nothing new for so long is helped out over HTTP.
_RESERVE_AFTER = 3.0
_MIN_PAUSE, _MAX_PAUSE = 0.2, 5.0
# One that answers, if with what is no feed, may be right again at its next beat.
_MAX_FAULTY_PAUSE = 1.0
_LOOK_SECONDS = 0.25
_MAX_WAIT = 10.0
_TELL_AGAIN_SECONDS = 60.0
_BREATH_SECONDS = 0.001


class Follower:
    """Fills the feed from its sources until cancelled, and knows how each of them does.

    `faults` counts what came that was no feed of the issuer, by source; `troubles` has, for each
    source that has any, what is wrong now.
    """

    def __init__(
        self,
        feed: Feed,
        keys: Keys,
        clock: Clock,
        sources: tuple[RedisSource | None, HttpSource | None],
        max_staleness: float,
    ) -> None:
        self._feed = feed
        self._keys = keys
        self._clock = clock
        self._redis, self._http = sources
        self._max_staleness = max_staleness
        self._heard_at = {"redis": float("-inf"), "http": float("-inf")}
        self._confirmed = False
        self._beat_at = float("-inf")
        self._redis_beat: Heartbeat | None = None
        self._poke = asyncio.Event()
        self._told_at: dict[tuple[str, str], float] = {}
        self.faults: Counter[str] = Counter()
        self.troubles: dict[str, str] = {}
        self.on_progress: Callable[[], object] = lambda: None

    @property
    def source(self) -> str | None:
        """Which source the feed comes by: `redis`, `http`, or None while neither answers."""
        now = self._clock.monotonic()
        if now - self._heard_at["redis"] <= _RESERVE_AFTER:
            return "redis"
        return "http" if now - self._heard_at["http"] <= _MAX_WAIT + _RESERVE_AFTER else None

    async def run(self) -> None:
        """Follow until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._redis is not None:
                # It gets the first second to itself: from there the whole stream costs the least.
                self._heard_at["redis"] = self._clock.monotonic() - _RESERVE_AFTER + 1.0
                tasks.create_task(self._loop("redis", partial(self._read_redis, self._redis)))
            if self._http is not None:
                tasks.create_task(self._loop("http", partial(self._read_http, self._http)))

    async def _loop(self, source: str, read: Callable[[], Awaitable[None]]) -> None:
        """Read again and again; whatever comes out of a source never ends the loop."""
        pause = _MIN_PAUSE
        while True:
            try:
                await read()
            except (Away, Faulty) as error:
                if not await self._note(source, error):
                    longest = _MAX_FAULTY_PAUSE if isinstance(error, Faulty) else _MAX_PAUSE
                    await asyncio.sleep(min(pause, longest))
                    pause = min(2 * pause, longest)
            except Exception as error:  # noqa: BLE001 (revocations must go on arriving)
                _log.error("following the feed by %s failed: %r", source, error, exc_info=error)
                await asyncio.sleep(_MAX_PAUSE)
            else:
                pause = _MIN_PAUSE

    async def _note(self, source: str, error: Away | Faulty) -> bool:
        """Get the keys that are lacking; whether they came, so that one may try again at once.

        Else log what is wrong, once, and let the other source help.
        """
        if isinstance(error, KilledFeedKey):
            if await self._keys.feed.fetch(past_caches=True):
                self._feed.trust_feed_keys(error)
                return True
        elif isinstance(error, UnknownFeedKey) and await self._keys.feed.fetch_for_unknown():
            return True
        self._heard_at[source] = float("-inf")
        self._poke.set()
        if isinstance(error, Faulty):
            self.faults[source] += 1
        self.troubles[source] = text = str(error)
        now = self._clock.monotonic()
        # Texts have numbers in them: what was told long ago must not pile up.
        told = {it: at for it, at in self._told_at.items() if now - at <= _TELL_AGAIN_SECONDS}
        self._told_at = told
        if (source, text) not in told:
            told[source, text] = now
            level = logging.ERROR if isinstance(error, Faulty) else logging.WARNING
            _log.log(level, "the revocation feed by %s: %s", source, text)
        return False

    async def _read_redis(self, redis: RedisSource) -> None:
        """One look at the heartbeat where it is due, and at what comes until the next is."""
        if self._clock.monotonic() - self._beat_at >= _BEAT_SECONDS:
            heartbeat = await redis.heartbeat()
            if heartbeat:
                self._feed.hear(heartbeat, self._now())
                self._judge_redis()
            self._beat_at = self._clock.monotonic()
        if not self._feed.epoch:
            await asyncio.sleep(_LOOK_SECONDS)
            return
        wait = self._beat_at + _BEAT_SECONDS - self._clock.monotonic()
        epoch, after = self._feed.epoch, self._feed.number
        page = await redis.entries(epoch, after, wait=max(0.0, wait))
        if self._feed.take(epoch, page):
            self._heard("redis")
            # A burst is read in few pages, and a long stream beside requests, not before them.
            await asyncio.sleep(0 if len(page) == PAGE else _BREATH_SECONDS)

    def _judge_redis(self) -> None:
        """Redis delivers if its heartbeats rise and keep up, also where HTTP knew them before."""
        last, before = self._feed.last, self._redis_beat
        self._redis_beat = last
        if last is None or (before is not None and last.order <= before.order):
            return
        # Before a first snapshot only entries count: heartbeats alone would keep HTTP from helping.
        if self._feed.is_complete and self._feed.lag(last) < _RESERVE_AFTER:
            self._heard("redis")

    async def _read_http(self, http: HttpSource) -> None:
        """One poll, to its last page; in reserve, only where Redis needs help."""
        if self._redis is not None and not self._needs_http():
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._poke.wait()
            self._poke.clear()
            return
        wait = min(_MAX_WAIT, self._max_staleness / 3)
        if not self._feed.epoch or (self._redis is not None and not self._confirmed):
            wait = 0.0
        began, before = self._clock.monotonic(), self._feed.number
        await self._poll(http, wait)
        self._confirmed = True
        self._heard("http")
        if wait and self._feed.number == before and self._clock.monotonic() - began < 1.0:
            await asyncio.sleep(1.0)  # one that answers without waiting must not be asked at once

    async def _poll(self, http: HttpSource, wait: float) -> None:
        """Take what follows this follower's place, page by page, and the heartbeat at its end."""
        feed, begun = self._feed, list[tuple[str, list[str]]]()
        epoch, after = feed.epoch, feed.number
        # A pod that has not read its database lately may be the only one that is cut off from it.
        elsewhere = feed.database_age(self._clock.monotonic()) > _RESERVE_AFTER
        while True:
            page = await http.page(epoch, after, wait=wait, elsewhere=elsewhere)
            if page.entries:
                before, (epoch, after) = (epoch, after), place_of(page.entries[-1])
                if (epoch, after) == before and page.heartbeat is None:
                    raise Faulty("a page that goes no further")
                if epoch == feed.epoch:
                    feed.take(epoch, page.entries)
                    self.on_progress()
                else:  # an epoch that begins with the heartbeat, which the last page has
                    begun.append((epoch, page.entries))
                await asyncio.sleep(0)
            if page.heartbeat is not None:
                break
            wait = 0.0
        feed.hear(page.heartbeat, self._now(), trusted=True)
        for of, entries in begun:
            feed.take(of, entries)
            await asyncio.sleep(0)

    def _needs_http(self) -> bool:
        """Whether Redis is silent, late, behind, or has not been compared with the issuer yet."""
        now = self._clock.monotonic()
        if now - self._heard_at["redis"] > _RESERVE_AFTER:
            return True
        return self._feed.is_complete and (
            not self._confirmed
            or self._feed.age(now) > _RESERVE_AFTER
            or self._feed.database_age(now) > self._max_staleness
        )

    def _heard(self, source: str) -> None:
        self._heard_at[source] = self._clock.monotonic()
        self.troubles.pop(source, None)
        self.on_progress()

    def _now(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.wall())
