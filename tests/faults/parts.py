"""The parts of a pod without its background work: a test decides what happens when."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from uuid import uuid4

from redis.asyncio import Redis

from service.app import open_database
from service.flows.feed_reader import prove_entry, prove_heartbeat, read_tail
from service.flows.keep_feed import FeedKeeper
from service.flows.start import prepare
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.metrics import Metrics
from service.oauth.feed import Entry, Head, Heartbeat, genesis
from service.oauth.jws import decode_base64url
from service.redis.connection import RedisConnection
from service.redis.feed import RedisFeed
from service.settings import Settings
from service.sql.connection import Connection, Database


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A keeper that does nothing by itself, what it stands on, and a tamperer's own connection."""

    settings: Settings
    database: Database
    connection: RedisConnection
    feed: RedisFeed
    keyring: Keyring
    metrics: Metrics
    keeper: FeedKeeper
    redis: Redis

    @property
    def root(self) -> str:
        """What all keys of the feed begin with."""
        return f"{{{self.settings.redis_prefix}}}:feed"

    async def stream(self) -> str:
        """The key of the living epoch's stream."""
        return f"{self.root}:{(await self.head()).epoch}:entries"

    async def head(self) -> Head:
        """The head, from PostgreSQL."""
        async with self.database.probe() as connection:
            row = await connection.fetchrow("SELECT epoch, head, head_digest FROM feed")
        assert row is not None
        return Head(str(row["epoch"]), row["head"], row["head_digest"])

    async def heartbeat(self) -> Heartbeat | None:
        """The heartbeat in Redis, if it is proven."""
        return prove_heartbeat(await self.feed.heartbeat(), self.keyring, self.settings.issuer)

    async def entries(self, after: Head | None = None) -> tuple[Entry, ...]:
        """The stream after a head, or all of it, proven to its end, which is PostgreSQL's head."""
        head = await self.head()
        start = after or await self._start(head)
        tail = await read_tail(self.feed, start, self.keyring, self.settings.issuer)
        assert tail is not None, "the stream is not whole"
        assert tail.head == head
        return tail.entries

    async def _start(self, head: Head) -> Head:
        """The head before the stream's first entry, which may have been trimmed away."""
        first = await self.feed.read(head.epoch, 0, 1)
        entry = prove_entry(first[0], self.keyring, self.settings.issuer) if first else None
        if entry is None:
            return genesis(head.epoch)
        return Head(head.epoch, entry.number - 1, decode_base64url(entry.prev) or b"")

    async def revoke(
        self, count: int = 1, *, kind: str = "jti", over: Connection | None = None
    ) -> list[str]:
        """Write facts about as many new tokens or others, unnumbered, and commit them; their ids.

        `over` a connection of the caller's they are written and not committed.
        """
        ids = [str(uuid4()) for _ in range(count)]
        async with nullcontext(over) if over else self.database.connection() as connection:
            await connection.execute(
                """
                INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
                SELECT $2, id, CASE WHEN $2 IN ('client', 'stale') THEN 1 ELSE 0 END,
                       clock_timestamp() + '10 minutes'::interval, 'test', 'test'
                FROM unnest($1::text[]) AS id
                """,
                ids,
                kind,
            )
        return ids

    def repairs(self, cause: str) -> float:
        """How often a stream or heartbeat was mended for that cause."""
        return self.metrics.feed_repairs.labels(cause)._value.get()


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Parts with keys, a feed and a living database; nothing has been published or beaten."""
    master_keys = read_master_keys(settings.keys_dir)
    database, url = open_database(settings), settings.redis_url.reveal()
    # Patient: that the machine stands still for a second is no outage.
    connection = RedisConnection(url, seconds=10, pause=0.5)
    feed = RedisFeed(connection, settings.redis_prefix)
    keyring, metrics = Keyring(KeyStore(issuer=settings.issuer, master_keys=master_keys)), Metrics()
    redis = Redis.from_url(url)
    parts = Parts(
        settings=settings,
        database=database,
        connection=connection,
        feed=feed,
        keyring=keyring,
        metrics=metrics,
        keeper=FeedKeeper(database, feed, keyring, settings.issuer, metrics),
        redis=redis,
    )
    try:
        await prepare(database, keyring, settings.key_times)
        yield parts
    finally:
        await database.close()
        await connection.close()
        await redis.aclose()


def subjects(entries: tuple[Entry, ...]) -> list[str]:
    """Who the facts of entries are about, in the order of the stream."""
    return [fact.subject for entry in entries for fact in entry.facts]


async def add_entries(parts: Parts, count: int) -> None:
    """Publish facts one by one, and wait for the heartbeat over them."""
    await parts.keeper.tick()
    for _ in range(count):
        await parts.revoke()
        await parts.keeper.publish()
    await tick_until(parts, lambda: beats_the_head(parts))


async def tick_until(
    parts: Parts, statement: Callable[[], Awaitable[object]], seconds: float = 10
) -> None:
    """Tick until a statement comes true."""
    async with asyncio.timeout(seconds):
        while not await statement():
            await parts.keeper.tick()
            await asyncio.sleep(0.02)


async def beats_the_head(parts: Parts) -> bool:
    """Whether the heartbeat names the head of PostgreSQL."""
    heartbeat, head = await parts.heartbeat(), await parts.head()
    return heartbeat is not None and heartbeat.order[:2] == (head.epoch, head.number)


async def next_heartbeat(parts: Parts) -> None:
    """Tick until a heartbeat newer than the present one stands there."""
    before = await parts.heartbeat()

    async def rose() -> bool:
        heartbeat = await parts.heartbeat()
        return heartbeat is not None and (before is None or heartbeat.order > before.order)

    await tick_until(parts, rose)
