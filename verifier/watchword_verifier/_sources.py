"""Where the feed is read: the stream in Redis, or the issuer over HTTP. Nothing is proven here."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from watchword_verifier._errors import Malformed
from watchword_verifier._feed_claims import Faulty
from watchword_verifier._fetch import Fetcher, Unreachable
from watchword_verifier._jws import parse_json_object

_REDIS_SECONDS = 2.0
PAGE = 256
_MAX_PAGE_LENGTH = 4 * 1024 * 1024


class Away(Exception):
    """The source does not answer at present."""


class RedisSource:
    """The heartbeat and the entries in Redis. Raises Away, and Faulty for what is no feed."""

    def __init__(self, url: str, prefix: str) -> None:
        try:
            from redis.asyncio import Redis  # noqa: PLC0415 (an extra)
        except ImportError:
            raise ImportError(
                "following the feed in Redis needs: pip install 'watchword-verifier[redis]'"
            ) from None
        # One connection, used by one task; a blocking read is bounded by `_call`.
        self._redis: Redis = Redis.from_url(
            url,
            socket_connect_timeout=_REDIS_SECONDS,
            socket_timeout=None,
            single_connection_client=True,
            decode_responses=True,
            encoding_errors="surrogateescape",
            protocol=2,
        )
        self._root = f"{{{prefix}}}:feed"

    async def heartbeat(self) -> str:
        """What stands in the heartbeat's place; empty if nothing does."""
        return str(await self._call(self._redis.get(f"{self._root}:heartbeat"), 0.0) or "")

    async def entries(self, epoch: str, after: int, *, wait: float) -> list[str]:
        """Entries after a number; waits so many seconds for the first."""
        position: dict[Any, Any] = {f"{self._root}:{epoch}:entries": f"{after}-0"}
        reading = self._redis.xread(position, count=PAGE, block=max(1, int(wait * 1000)))
        answer = await self._call(reading, wait)
        return [str(fields.get("jws", "")) for _, rows in answer or () for _, fields in rows]

    async def close(self) -> None:
        """Close the connection."""
        await self._redis.aclose()

    async def _call(self, reading: Awaitable[Any], wait: float) -> Any:
        from redis.exceptions import RedisError, ResponseError  # noqa: PLC0415 (an extra)

        try:
            async with asyncio.timeout(_REDIS_SECONDS + wait):
                return await reading
        except ResponseError as error:
            raise Faulty(f"Redis refuses: {error}") from None
        except (RedisError, OSError, UnicodeError) as error:
            raise Away(f"Redis does not answer: {type(error).__name__}") from error


@dataclass(frozen=True, slots=True)
class Page:
    """A page of the HTTP feed; the last one has the heartbeat."""

    entries: list[str]
    heartbeat: str | None


class HttpSource:
    """The issuer's HTTP feed. Raises Away, and Faulty for what is no feed."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    async def page(self, epoch: str, after: int, *, wait: float, elsewhere: bool = False) -> Page:
        """Entries after a number, waiting so long for one; without an epoch from the floor.

        `elsewhere`: over a connection that is not kept: the next may lead to another pod.
        """
        place: dict[str, str | int] = {"epoch": epoch, "after": after} if epoch else {}
        try:
            answer = await self._fetcher.get(
                f"{self._fetcher.issuer}/revocations",
                params={**place, "wait": int(wait)},
                headers={"connection": "close"} if elsewhere else None,
                max_length=_MAX_PAGE_LENGTH,
                wait=wait,
                authenticated=True,
            )
        except Unreachable as error:
            raise Away(str(error)) from error
        try:
            members = parse_json_object(answer.body, max_depth=2)
        except Malformed as error:
            raise Faulty(f"a page that is {error}") from None
        entries, heartbeat = members.get("entries"), members.get("heartbeat")
        if not isinstance(entries, list) or not all(isinstance(it, str) for it in entries):
            raise Faulty("a page without entries")
        if heartbeat is not None and not isinstance(heartbeat, str):
            raise Faulty("a page with a heartbeat that is none")
        if not entries and heartbeat is None:
            raise Faulty("an empty page without a heartbeat")
        return Page(entries, heartbeat)
