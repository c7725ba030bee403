"""Copying the feed from PostgreSQL to Redis, and mending what is missing there."""

from collections.abc import Sequence

from service.oauth.feed import MAX_ENTRY_LENGTH, Head, read_entry
from service.oauth.jws import parse_compact, parse_payload
from service.oauth.revocation import Fact
from service.redis.feed import RedisFeed, SignedEntry
from service.sql.connection import Database
from service.sql.feed import list_entries

_PAGE = 128
_CHECKED = 32


async def copy_entries(
    feed: RedisFeed, database: Database, epoch: str, floor: int, entries: Sequence[SignedEntry]
) -> None:
    """Copy entries that were just committed; where Redis lacks some before them, those too.

    Raises RedisUnavailable, DatabaseUnavailable.
    """
    if entries and await feed.append(epoch, floor, entries) < entries[-1].number:
        await copy_missing(feed, database, Head(epoch, entries[-1].number, b""), floor)


class CopyCheck:
    """Whether the stream has PostgreSQL's bytes; numbers and length may be right and these not."""

    def __init__(self, feed: RedisFeed, database: Database) -> None:
        self._feed = feed
        self._database = database
        self._after = 0

    async def is_true(self, head: Head, floor: int) -> bool:
        """Look at the newest entries, and at a further page of the older ones at each call.

        Raises RedisUnavailable, DatabaseUnavailable.
        """
        newest = max(floor - 1, head.number - _CHECKED)
        older = self._after if floor <= self._after < newest else floor - 1
        true = [await self._is_page_true(head, after) for after in {newest, older}]
        self._after = older + _CHECKED if all(true) else older
        return all(true)

    async def _is_page_true(self, head: Head, after: int) -> bool:
        count = min(_CHECKED, head.number - after)
        if not count:
            return True
        copied = await self._feed.read(head.epoch, after, count)
        async with self._database.connection() as connection:
            rows = await list_entries(connection, head.epoch, after, count)
        return copied == [jws for _, jws in rows]


async def copy_missing(feed: RedisFeed, database: Database, head: Head, floor: int) -> None:
    """Copy the same signed bytes again, from where the stream ends to the head.

    Raises RedisUnavailable, DatabaseUnavailable.
    """
    last = await feed.append(head.epoch, floor, [])
    while last < head.number:
        async with database.connection() as connection:
            rows = await list_entries(connection, head.epoch, last, _PAGE)
        if not rows:
            return
        page = [SignedEntry(number, jws, _facts(jws)) for number, jws in rows]
        copied = await feed.append(head.epoch, floor, page)
        if copied <= last:
            return  # another pod began the stream anew; the next heartbeat looks again
        last = copied


def _facts(jws: str) -> tuple[Fact, ...]:
    """The facts of an entry that the database gave us, for the look-up keys."""
    parsed = parse_compact(jws, max_length=MAX_ENTRY_LENGTH)
    claims = parse_payload(parsed.payload) if parsed else None
    entry = read_entry(claims, str(claims.get("iss"))) if claims else None
    if entry is None:
        raise AssertionError("feed_entries: an entry that is none")
    return entry.facts
