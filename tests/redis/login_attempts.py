"""Attempts at logging in, and the limits that they meet."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from uuid import uuid4

from service.redis.login_limits import Attempt, LoginLimit, Place

Make = Callable[..., LoginLimit]

NOWHERE = "redis://127.0.0.1:1/0"
DAY = timedelta(days=1)  # no test runs into its end


def maker(url: str, closing: AsyncExitStack) -> Make:
    prefix = f"t{uuid4().hex[:12]}"

    def make(**arguments: object) -> LoginLimit:
        limit = LoginLimit(url, prefix, **{"window": DAY, **arguments})  # pyright: ignore[reportArgumentType]
        closing.push_async_callback(limit.close)
        return limit

    return make


def attempt(account: str = "alice", address: str = "192.0.2.7", client: str = "app") -> Attempt:
    return Attempt(account=account, address=address, client_id=client)


async def taken(limit: LoginLimit, times: int, what: Attempt | None = None) -> list[Place]:
    """The places of those of several attempts that may go on; one after the other."""
    places = [await limit.take(what or attempt()) for _ in range(times)]
    return [place for place in places if place.retry_after is None]
