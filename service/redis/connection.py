"""Connections to Redis: bounded waits, and a breaker, so that nothing waits for it twice."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

_T = TypeVar("_T")


class RedisUnavailable(Exception):
    """Redis can't answer at present; nothing of ours is lost with it."""


class RedisConnection:
    """Redis with a bound of `seconds` on each call; after a failure none is tried for `pause`."""

    def __init__(self, url: str, *, seconds: float, pause: float) -> None:
        self._client: Redis = Redis.from_url(
            url,
            socket_connect_timeout=seconds,
            # A blocking read is bounded by `call`, which knows how long it may take.
            socket_timeout=None,
            decode_responses=True,
            encoding_errors="surrogateescape",  # what is no UTF-8 comes back as the same bytes
            protocol=2,
            retry=Retry(NoBackoff(), 0),
        )
        self._seconds = seconds
        self._pause = pause
        self._closed_until = float("-inf")
        self.away = False

    async def close(self) -> None:
        """Close every connection."""
        with suppress(RedisError, OSError):  # late on a busy machine, but closed
            await self._client.aclose()

    async def call(self, command: Callable[[Redis], Awaitable[_T]], *, blocks: float = 0.0) -> _T:
        """The command's answer. Raises RedisUnavailable when it fails or takes too long.

        `blocks` are seconds that the command itself may wait on the server.
        """
        if time.monotonic() < self._closed_until:
            raise RedisUnavailable("Redis failed a moment ago")
        try:
            async with asyncio.timeout(self._seconds + blocks):
                answer = await command(self._client)
        except ResponseError as error:  # it answered: nobody waited, and nobody needs to be spared
            if "READONLY" in str(error):
                # A master that was demoted: the address may lead to the new one by now.
                await self._client.connection_pool.disconnect()
            raise RedisUnavailable(f"Redis refuses: {error}") from error
        except (RedisError, OSError, TimeoutError) as error:
            self._closed_until = time.monotonic() + self._pause
            self.away = True
            raise RedisUnavailable(f"Redis is away: {type(error).__name__}") from error
        self.away = False
        return answer


def script(text: str) -> Callable[[Redis, list[str], list[Any]], Awaitable[Any]]:
    """A Lua script, run by its digest and loaded where the server does not have it."""

    async def run(client: Redis, keys: list[str], args: list[Any]) -> Any:
        return await client.register_script(text)(keys=keys, args=args)

    return run
