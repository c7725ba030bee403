"""Following the feed in the service itself: revoked clients and killed keys go at once.

What it hears of is news for followers over HTTP, too.
"""

import asyncio
from dataclasses import dataclass

from service.flows.client_cache import ClientCache
from service.flows.feed_reader import prove_entry
from service.flows.keep_feed import FeedKeeper
from service.keys.keyring import Keyring
from service.oauth.feed import Entry, Head
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed, SignedEntry
from service.telemetry import log

_BLOCK_SECONDS = 1.0
_PAUSE_SECONDS = 1.0
_PAGE = 256


@dataclass(slots=True)
class _Place:
    """What was followed so far."""

    epoch: str = ""
    number: int = 0

    def take(self, head: Head) -> None:
        """Begin at the first head, and every later epoch at its beginning."""
        if head.epoch != self.epoch:
            self.number = 0 if self.epoch else head.number
            self.epoch = head.epoch


async def follow_feed(
    feed: RedisFeed, keeper: FeedKeeper, clients: ClientCache, keyring: Keyring, issuer: str
) -> None:
    """Drop revoked clients and killed keys, and spread the news, until cancelled.

    While Redis is away the cache's own 5 seconds hold; nothing here is needed for safety.
    """
    place = _Place()
    while True:
        try:
            while (head := keeper.head()) is not None:
                place.take(head)
                page = await feed.read(place.epoch, place.number, _PAGE, block=_BLOCK_SECONDS)
                for jws in page:
                    entry = _prove(jws, place, keyring, issuer)
                    place.number = entry.number
                    keeper.news.take(entry.epoch, [SignedEntry(entry.number, jws, entry.facts)])
                    _apply(entry, clients, keyring)
        except RedisUnavailable as error:
            log.debug("feed_not_followed", reason=str(error))  # mended by whoever beats next
        except Exception as error:  # noqa: BLE001 (the loop must outlive any fault)
            log.error("feed_follow_failed", error=repr(error), exc_info=True)
        await asyncio.sleep(_PAUSE_SECONDS)


def _prove(jws: str, place: _Place, keyring: Keyring, issuer: str) -> Entry:
    entry = prove_entry(jws, keyring, issuer)
    # An old entry in a new place would be read again and again.
    if entry is None or entry.epoch != place.epoch or entry.number <= place.number:
        raise RedisUnavailable("a forged entry, or one out of place")
    return entry


def _apply(entry: Entry, clients: ClientCache, keyring: Keyring) -> None:
    for fact in entry.facts:
        if fact.kind == "client":
            clients.drop(fact.subject)
        elif fact.kind == "kid":
            keyring.drop([fact.subject])
