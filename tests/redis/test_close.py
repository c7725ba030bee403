"""Connections that close late, on a busy machine, are closed all the same."""

import asyncio
import time
from datetime import timedelta

import uvloop

from service.embedded.redis import EmbeddedRedis
from service.redis.connection import RedisConnection
from service.redis.rate_limits import RateLimit


def stall(times: int) -> None:
    """Keep the loop for longer than a connection may take to close, round after round."""
    time.sleep(0.1)
    if times:
        asyncio.get_running_loop().call_soon(stall, times - 1)


def test_a_connection_that_closes_late_is_no_failure(redis_server: EmbeddedRedis) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(close_late(redis_server))


async def close_late(redis_server: EmbeddedRedis) -> None:
    limit = RateLimit(redis_server.url, "close", amount=5, window=timedelta(seconds=60))
    connection = RedisConnection(redis_server.url, seconds=0.05, pause=5)
    await limit.hit("any", "body")
    await connection.call(lambda client: client.ping())
    for each in (limit, connection):
        asyncio.get_running_loop().call_soon(stall, 2)
        await each.close()
