"""Rate limits: counted in Redis for all pods; by each pod alone while Redis is away (RATE-4)."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from typing import TypeVar

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from service.redis.connection import RedisUnavailable

_SECONDS = 0.05
_PAUSE_SECONDS = 5.0
_MAX_AT_ONCE = 8
_MAX_SUBJECTS = 100_000

_T = TypeVar("_T")


class SharedCounts:
    """Counts in windows of time: in Redis for all pods, and this pod's own for when it is away."""

    def __init__(self, redis_url: str, prefix: str, *, window: timedelta) -> None:
        self._window_seconds = max(1, int(window.total_seconds()))
        self._pool = ConnectionPool.from_url(
            redis_url,
            socket_connect_timeout=_SECONDS,
            # `_ask` bounds it. The library's own bound, 5 s, is kept with `asyncio.wait_for`, which
            # before Python 3.12 loses a cancellation that comes as a command has just been sent.
            socket_timeout=None,
        )
        self._storage = RedisStorage(
            f"async+{redis_url}",
            implementation="redispy",
            key_prefix=f"{{{prefix}}}:limit",
            connection_pool=self._pool,  # pyright: ignore[reportArgumentType] (as documented)
        )
        # Those who wait for their turn wait outside the 50 ms: a burst of our own is no outage.
        self._turns = asyncio.Semaphore(_MAX_AT_ONCE)
        self._own = _OwnCount()
        self._closed_until = float("-inf")
        self._away = False

    @property
    def away(self) -> bool:
        """Whether Redis failed when it was last asked: this pod counts alone (RATE-4)."""
        return self._away

    async def close(self) -> None:
        """Close the connections to Redis."""
        with suppress(RedisError, OSError):  # late on a busy machine, but closed
            await self._pool.aclose()

    async def _ask(self, question: Callable[[], Awaitable[_T]]) -> _T:
        """What Redis answers within 50 ms; raises RedisUnavailable, for 5 s more without asking."""
        async with self._turns:
            if time.monotonic() < self._closed_until:
                raise RedisUnavailable("Redis failed a moment ago")
            try:
                async with asyncio.timeout(_SECONDS):
                    answer = await question()
            except (RedisError, OSError, TimeoutError) as error:
                self._closed_until = time.monotonic() + _PAUSE_SECONDS
                self._away = True
                # The other connections lead to the same server, which may not come back.
                with suppress(RedisError, OSError, TimeoutError):
                    await self._pool.disconnect(inuse_connections=False)
                raise RedisUnavailable(f"Redis is away: {type(error).__name__}") from error
        self._away = False
        return answer


class RateLimit(SharedCounts):
    """How often something may happen in a window of time, for each of several subjects.

    `unasked`: so many of a subject each pod lets pass by its own count, and Redis is not asked.
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        *,
        amount: int,
        window: timedelta,
        unasked: int = 0,
        on_excess: Callable[[str], None] = lambda _: None,
    ) -> None:
        super().__init__(redis_url, prefix, window=window)
        self._unasked = unasked
        self._on_excess = on_excess
        self._item: RateLimitItem = RateLimitItemPerSecond(amount, self._window_seconds)
        self._limiter = FixedWindowRateLimiter(self._storage)

    async def hit(self, kind: str, subject: str) -> timedelta | None:
        """Count one more; None within the limit, else the time until the window ends.

        Waits at most 50 ms for Redis, and not at all for 5 s after it failed. What goes beyond the
        limit is told to `on_excess`, by its kind.
        """
        retry_after = await self._hit(digest_subject(kind, subject))
        if retry_after is not None:
            self._on_excess(kind)
        return retry_after

    async def _hit(self, key: str) -> timedelta | None:
        count = self._count(key) if self._unasked else 0
        if 0 < count <= self._unasked:
            return None
        try:
            return await self._ask(lambda: self._hit_shared(key))
        except RedisUnavailable:
            count = count or self._count(key)
            return None if count <= self._item.amount else whole_seconds(self._own.seconds_left)

    def _count(self, key: str) -> int:
        return self._own.add(key, 1, ends_in=self._window_seconds)

    async def _hit_shared(self, key: str) -> timedelta | None:
        if await self._limiter.hit(self._item, key):
            return None
        window = await self._limiter.get_window_stats(self._item, key)
        return whole_seconds(window.reset_time - time.time())


class FailureLimit(RateLimit):
    """How often an attempt may fail in a minute, for each of several subjects."""

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        *,
        per_minute: int,
        on_excess: Callable[[str], None] = lambda _: None,
    ) -> None:
        minute = timedelta(minutes=1)
        super().__init__(redis_url, prefix, amount=per_minute, window=minute, on_excess=on_excess)

    async def count_failure(self, kind: str, subject: str) -> timedelta | None:
        """Count one more failure; None within the limit, else the time until the next minute."""
        return await self.hit(kind, subject)


def digest_subject(kind: str, *subject: str) -> str:
    """The key of a count: what a stranger sends never becomes part of it."""
    text = "\0".join((kind, *subject))
    return sha256(text.encode(errors="surrogatepass")).hexdigest()[:32]


def whole_seconds(seconds: float) -> timedelta:
    """A time to wait, at least a second."""
    return timedelta(seconds=max(1, round(seconds)))


class _OwnCount:
    """One pod's own count. All subjects share one window: a flood of them costs each the same.

    What `limits` keeps in memory is searched for what expired at every count (2 ms at 30,000
    subjects, on the event loop).
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._ends_at = 0.0

    @property
    def seconds_left(self) -> float:
        """Until the window ends."""
        return self._ends_at - time.monotonic()

    def add(self, key: str, amount: int, *, ends_in: float) -> int:
        """The count after `amount` more, never below 0; a window that begins here ends so soon."""
        if self.seconds_left <= 0 or len(self._counts) >= _MAX_SUBJECTS:
            self._counts.clear()
            self._ends_at = time.monotonic() + ends_in
        count = max(0, self._counts[key] + amount)
        self._counts[key] = count
        if count == 0:
            self.forget(key)
        return count

    def forget(self, key: str) -> None:
        """Begin anew for one subject."""
        self._counts.pop(key, None)
