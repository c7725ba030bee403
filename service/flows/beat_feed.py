"""The heartbeat: each second, by whichever pod comes first, over a stream that is whole."""

from dataclasses import dataclass, replace

from service.flows.copy_feed import copy_missing
from service.flows.feed_reader import prove_heartbeat
from service.keys.keyring import Keyring
from service.keys.sign import sign
from service.oauth.feed import HEARTBEAT_TYP, Heartbeat, heartbeat_claims, milliseconds
from service.oauth.jws import encode_base64url
from service.oauth.signing_key import FEED
from service.redis.feed import Beat, RedisFeed
from service.sql.connection import Database
from service.sql.feed import FeedState

# Another pod's heartbeat of this age still counts; a pod without PostgreSQL waits longer, since
# one that reads the database has more to say.
_FRESH_MS = 900
_FRESH_MS_WITHOUT_DATABASE = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The feed's state as this pod read it, `age_ms` ago by its own monotonic clock.

    `database_away`: it tried again since, and could not.
    """

    state: FeedState
    floor: int
    age_ms: int
    database_away: bool

    def heartbeat(self) -> Heartbeat:
        """The heartbeat that this reading allows: PostgreSQL's clock, carried on."""
        read_at = milliseconds(self.state.at)
        return Heartbeat(
            epoch=self.state.head.epoch,
            head=self.state.head.number,
            digest=encode_base64url(self.state.head.digest),
            floor=self.floor,
            time=read_at + self.age_ms,
            database_read_at=read_at,
            killed_kids=self.state.killed_kids,
        )


async def beat_feed(
    reading: Reading,
    feed: RedisFeed,
    keyring: Keyring,
    issuer: str,
    newest: Heartbeat | None = None,
) -> tuple[Heartbeat, Beat | None]:
    """The newest heartbeat in Redis, ours or another pod's, and how ours went (None: not due).

    Epoch, then number, then time only rise: an older heartbeat of ours is never written. What is no
    heartbeat of this issuer is replaced, by a pod that has just read the database, and so is one
    older than `newest`, the newest that this pod saw so far. Raises RedisUnavailable.
    """
    old = await feed.heartbeat()
    ours, theirs = reading.heartbeat(), prove_heartbeat(old, keyring, issuer)
    fresh = _FRESH_MS_WITHOUT_DATABASE if reading.database_away else _FRESH_MS
    if theirs is not None and theirs == newest and _stands_still(theirs, ours):
        ours = replace(ours, time=theirs.time + 1)
    elif theirs is not None and (
        theirs.order >= ours.order
        or (theirs.order[:2] == ours.order[:2] and ours.time - theirs.time < fresh)
    ):
        return theirs, None
    if old and theirs is None and reading.database_away:
        # Signed, perhaps, by a key that this pod has not heard of.
        return ours, Beat("overtaken", 0, 0)
    new = sign(keyring.key_set(FEED).signer, HEARTBEAT_TYP, heartbeat_claims(issuer, ours))
    beat = await feed.beat(ours.epoch, head=ours.head, floor=ours.floor, old=old, new=new)
    rolled_back = theirs is not None and newest is not None and theirs.order < newest.order
    return ours, replace(beat, forgery=rolled_back or (theirs is None and old != ""))


def _stands_still(theirs: Heartbeat, ours: Heartbeat) -> bool:
    """Whether a heartbeat that nobody replaced since the last tick is ahead of the clock.

    By a fail-over the clock may fall back by a minute; so long the heart must not stop.
    """
    return theirs.order[:2] == ours.order[:2] and theirs.time >= ours.time


async def mend_feed(reading: Reading, beat: Beat, feed: RedisFeed, database: Database) -> str:
    """Make an incomplete stream whole from PostgreSQL; what was wrong with it.

    Entries that are only missing at its end are added (a flush, a pod that died between commit and
    copy). A stream with holes, or that goes beyond the head, was tampered with and is begun anew.
    Raises RedisUnavailable, DatabaseUnavailable.
    """
    head, floor = reading.state.head, reading.floor
    whole_so_far = beat.length == max(0, beat.last - floor + 1)
    cause = "behind" if beat.last < head.number and whole_so_far else "tampered"
    if cause == "tampered":
        await feed.clear(head.epoch)
    await copy_missing(feed, database, head, floor)
    return cause
