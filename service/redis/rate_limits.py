"""Rate limits: counted in Redis for all pods; by each pod alone while Redis is away."""

import asyncio
import time
from collections import Counter
from datetime import timedelta
from hashlib import sha256

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

_SECONDS = 0.05
_PAUSE_SECONDS = 5.0
_MINUTE_SECONDS = 60.0
_MAX_SUBJECTS = 100_000


class FailureLimit:
    """How often an attempt may fail in a minute, for each of several subjects."""

    def __init__(self, redis_url: str, prefix: str, *, per_minute: int) -> None:
        self._item: RateLimitItem = RateLimitItemPerMinute(per_minute)
        self._pool = ConnectionPool.from_url(redis_url, socket_connect_timeout=_SECONDS)
        shared = RedisStorage(
            f"async+{redis_url}",
            implementation="redispy",
            key_prefix=f"{{{prefix}}}:limit",
            connection_pool=self._pool,  # pyright: ignore[reportArgumentType] (as documented)
        )
        self._shared_limiter = FixedWindowRateLimiter(shared)
        self._own = _OwnCount(per_minute)
        self._closed_until = float("-inf")

    async def close(self) -> None:
        """Close the connections to Redis."""
        await self._pool.aclose()

    async def count_failure(self, kind: str, subject: str) -> timedelta | None:
        """Count one more failure; None within the limit, else the time until the next minute.

        Waits at most 50 ms for Redis, and not at all for 5 s after it failed.
        """
        # Digested: what a stranger sends never becomes part of a key.
        key = sha256(f"{kind}\0{subject}".encode()).hexdigest()[:32]
        if time.monotonic() >= self._closed_until:
            try:
                async with asyncio.timeout(_SECONDS):
                    return await self._count_shared(key)
            except (RedisError, OSError, TimeoutError):
                self._closed_until = time.monotonic() + _PAUSE_SECONDS
        return self._own.count(key)

    async def _count_shared(self, key: str) -> timedelta | None:
        if await self._shared_limiter.hit(self._item, key):
            return None
        window = await self._shared_limiter.get_window_stats(self._item, key)
        return timedelta(seconds=max(1, round(window.reset_time - time.time())))


class _OwnCount:
    """One pod's own count. All subjects share one minute: a flood of them costs each the same.

    What `limits` keeps in memory is searched for what expired at every failure (2 ms at 30,000
    subjects, on the event loop).
    """

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._counts: Counter[str] = Counter()
        self._ends_at = 0.0

    def count(self, key: str) -> timedelta | None:
        """Count one more; None within the limit, else the time until the next minute."""
        now = time.monotonic()
        if now >= self._ends_at or len(self._counts) >= _MAX_SUBJECTS:
            self._counts.clear()
            self._ends_at = now + _MINUTE_SECONDS
        self._counts[key] += 1
        if self._counts[key] <= self._per_minute:
            return None
        return timedelta(seconds=max(1, round(self._ends_at - now)))
