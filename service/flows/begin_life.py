"""Beginning a new life of the database: first take back what the feed still has.

A crash, fail-over or restore empties `database_life`. One pod, under the lock of the feed's row,
reads the stream from the database's newest number on and restores every fact that was lost, with
what it stands for; then a new incarnation begins, in a new epoch where numbers were lost.
"""

import secrets
from datetime import UTC, datetime
from uuid import UUID

from service.flows.feed_reader import Tail, prove_heartbeat, read_tail
from service.keys.keyring import Keyring
from service.oauth.feed import Head, from_seconds, genesis, milliseconds
from service.oauth.revocation import Fact
from service.oauth.uuid7 import RANDOM_BYTES, next_epoch, uuid7
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.sql.audit_events import insert_audit_event
from service.sql.clients import restore_epoch
from service.sql.connection import Connection, Database
from service.sql.database_life import find_life, read_ground, read_history, replace_life
from service.sql.feed import lock_head, replace_epoch
from service.sql.revocations import restore_revocation, unnumber_living_facts
from service.sql.sessions import restore_claims_version, restore_end
from service.sql.signing_keys import read_clock, restore_death


class LossUnknown(Exception):
    """The database lost writes, and the feed can't say which; an operator has to decide."""


async def begin_life(database: Database, feed: RedisFeed, keyring: Keyring, issuer: str) -> UUID:
    """The database's incarnation: the living one, or a new one that this pod began.

    Raises LossUnknown, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        head = await lock_head(connection)
        life = await find_life(connection)
        if life is not None:
            return life
        ground, history = await read_ground(connection), await read_history(connection)
        lost = await _read_lost(feed, head, keyring, issuer) if history else Tail((), head)
        # After a mere crash every synchronous commit is there, whatever Redis says.
        if lost is None and ground != history:
            raise LossUnknown
        life = await _begin(connection, lost or Tail((), head), head)
        await replace_life(connection, life, ground)
        await insert_audit_event(
            connection,
            "database_life_began",
            life=str(life),
            taken_back=len(lost.entries if lost else ()),
        )
    return life


async def _read_lost(feed: RedisFeed, head: Head, keyring: Keyring, issuer: str) -> Tail | None:
    """What the stream has and the database lost; None if the stream can't tell.

    It can when it goes on from the database's head to the heartbeat's without a gap.
    """
    try:
        heartbeat = prove_heartbeat(await feed.heartbeat(), keyring, issuer)
        if heartbeat is None or heartbeat.epoch > head.epoch:
            return None
        tail = await read_tail(feed, head, keyring, issuer)
    except RedisUnavailable:
        return None
    if tail is None or (heartbeat.epoch == head.epoch and tail.head.number < heartbeat.head):
        return None
    return tail


async def _begin(connection: Connection, lost: Tail, head: Head) -> UUID:
    """Restore what was lost; a new epoch where numbers were. The new incarnation's id."""
    for entry in lost.entries:
        for fact in entry.facts:
            await restore_fact(connection, fact)
    now = await read_clock(connection)
    if lost.entries:
        await begin_epoch(connection, head.epoch, now)
    return uuid7(milliseconds(now), secrets.token_bytes(RANDOM_BYTES))


async def begin_epoch(connection: Connection, previous: str, now: datetime) -> Head:
    """Begin a new epoch under the head's lock: every fact that still matters is due again."""
    epoch = next_epoch(UUID(previous), milliseconds(now), secrets.token_bytes(RANDOM_BYTES))
    head = genesis(str(epoch))
    await replace_epoch(connection, head)
    await unnumber_living_facts(connection)
    return head


async def restore_fact(connection: Connection, fact: dict[str, object]) -> None:
    """Take a fact back, with what it stands for."""
    kind, subject = str(fact["kind"]), str(fact["subject"])
    version, exp = int(str(fact["version"])), fact["exp"]
    expires_at = from_seconds(exp) if isinstance(exp, int) else None
    if expires_at is None or expires_at > datetime.now(UTC):
        await restore_revocation(connection, Fact(kind, subject, version, expires_at))
    match kind:
        case "client":
            await restore_epoch(connection, subject, version)
        case "kid":
            await restore_death(connection, subject)
        case "sid":
            await restore_end(connection, UUID(subject))
        case "stale":
            await restore_claims_version(connection, UUID(subject), version)
        case _:  # `jti`: access tokens are not stored
            pass
