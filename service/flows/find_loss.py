"""What the database lost, as far as the feed can tell: only what this issuer signed counts."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from service.flows.feed_reader import Tail, prove_heartbeat, read_tail
from service.keys.keyring import Keyring
from service.oauth.feed import Entry, Head, Heartbeat, milliseconds
from service.oauth.uuid7 import unix_milliseconds
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed

# A heartbeat is signed each second over what was read within that second. One that is behind the
# database, and by more than this, was the last before Redis went away.
_UNFED_MS = 10_000


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the database stands: its head, and when it last gave a fact a number."""

    head: Head
    numbered_at: datetime | None


@dataclass(frozen=True, slots=True)
class Loss:
    """What the feed says that the database lost.

    `entries` are all that it lost; None when the feed can't tell. `proven` says that it lost
    something for certain. `database_read_at` is when the heartbeat's pod last read the database, in
    milliseconds.
    """

    entries: tuple[Entry, ...] | None
    proven: bool = False
    killed_kids: tuple[str, ...] = ()
    database_read_at: int = 0


async def find_loss(
    feed: RedisFeed, keyring: Keyring, issuer: str, standing: Standing, known: Head | None
) -> Loss:
    """What was numbered beyond the database's head; `known` is a head that this pod once read.

    Waits on Redis, so it is called outside of any transaction.
    """
    head = standing.head
    try:
        heartbeat = prove_heartbeat(await feed.heartbeat(), keyring, issuer)
        tail = await read_tail(feed, head, keyring, issuer)
    except RedisUnavailable:
        heartbeat, tail = None, None
    seen = [(known.epoch, known.number)] if known else []
    if heartbeat:
        seen.append((heartbeat.epoch, heartbeat.head))
    proven = bool(tail and tail.entries) or any(it > (head.epoch, head.number) for it in seen)
    if heartbeat is None:
        return Loss(None, proven)
    whole = tail is not None and all(it <= (head.epoch, tail.head.number) for it in seen)
    return Loss(
        entries=tail.entries if tail and whole and _fits(tail, heartbeat, standing) else None,
        proven=proven,
        killed_kids=heartbeat.killed_kids,
        database_read_at=heartbeat.database_read_at,
    )


def _fits(tail: Tail, heartbeat: Heartbeat, standing: Standing) -> bool:
    """Whether the stream goes on from the database's history as the heartbeat saw it."""
    head = standing.head
    if (heartbeat.epoch, heartbeat.head) >= (head.epoch, head.number):
        return tail.digest(heartbeat.head) == heartbeat.digest
    # Behind the database: a moment, as it may be, or since Redis went away?
    began = unix_milliseconds(UUID(head.epoch)) if heartbeat.epoch < head.epoch else 0
    numbered = milliseconds(standing.numbered_at) if standing.numbered_at else 0
    return max(began, numbered) - heartbeat.database_read_at <= _UNFED_MS
