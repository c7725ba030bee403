"""Rate limits: counted in Redis for all pods; by each pod alone while Redis is away."""

import asyncio
import time
from datetime import timedelta
from hashlib import sha256

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

_SECONDS = 0.05
_PAUSE_SECONDS = 5.0


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
        self._own_limiter = FixedWindowRateLimiter(MemoryStorage())
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
                    return await self._count(self._shared_limiter, key)
            except (RedisError, OSError, TimeoutError):
                self._closed_until = time.monotonic() + _PAUSE_SECONDS
        return await self._count(self._own_limiter, key)

    async def _count(self, limiter: FixedWindowRateLimiter, key: str) -> timedelta | None:
        if await limiter.hit(self._item, key):
            return None
        window = await limiter.get_window_stats(self._item, key)
        return timedelta(seconds=max(1, round(window.reset_time - time.time())))
