"""Following the feed in the service itself: a client fact drops the cached client at once."""

import asyncio

from service.flows.client_cache import ClientCache
from service.flows.feed_reader import prove_entry
from service.flows.keep_feed import FeedKeeper
from service.keys.keyring import Keyring
from service.oauth.feed import Entry
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed

_BLOCK_SECONDS = 5.0
_PAUSE_SECONDS = 1.0
_PAGE = 256


async def follow_feed(
    feed: RedisFeed, keeper: FeedKeeper, clients: ClientCache, keyring: Keyring, issuer: str
) -> None:
    """Drop revoked clients from the cache, until cancelled.

    While Redis is away the cache's own 5 seconds hold; nothing here is needed for safety.
    """
    epoch, number = "", 0
    while True:
        head = keeper.head()
        if head is None:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        if head.epoch != epoch:
            epoch, number = head.epoch, head.number
        try:
            page = await feed.read(epoch, number, _PAGE, block=_BLOCK_SECONDS)
        except RedisUnavailable:
            await asyncio.sleep(_PAUSE_SECONDS)
            continue
        for jws in page:
            entry = prove_entry(jws, keyring, issuer)
            if entry is None or entry.epoch != epoch:
                await asyncio.sleep(_PAUSE_SECONDS)
                epoch = ""  # forged or out of place: begin at the head again
                break
            number = entry.number
            _apply(entry, clients)


def _apply(entry: Entry, clients: ClientCache) -> None:
    for fact in entry.facts:
        if fact["kind"] == "client":
            clients.drop(fact["subject"])
