"""Beginning a new life of the database: first take back what the feed still has.

A crash, fail-over or restore empties `database_life`. One pod reads the stream from the database's
newest number on and, under the lock of the feed's row, restores every fact that was lost, with what
it stands for; then a new incarnation begins, in a new epoch unless it was a mere crash.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from service.flows.find_loss import Loss, Standing, find_loss
from service.flows.restore_facts import restore_entries, restore_kids
from service.keys.keyring import Keyring
from service.oauth.feed import Head, genesis, milliseconds
from service.oauth.uuid7 import RANDOM_BYTES, next_epoch, uuid7
from service.redis.feed import RedisFeed
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database, DatabaseUnavailable
from service.sql.database_life import Ground, find_life, read_ground, read_history, replace_life
from service.sql.feed import lock_head, replace_epoch
from service.sql.revocations import (
    find_newest_numbered,
    list_killed_kids,
    unnumber_living_facts,
)
from service.sql.signing_keys import read_clock
from service.telemetry import log

_FACTS_AT_ONCE = 10_000


class LossUnknown(Exception):
    """The database lost writes, and the feed can't say which; an operator has to decide."""


@dataclass(frozen=True, slots=True)
class _Footing:
    """What a life would begin on, and the living one if there is one."""

    life: UUID | None
    standing: Standing
    ground: Ground
    history: Ground | None

    @property
    def is_new(self) -> bool:
        """Whether the database has never lived."""
        return self.history is None

    @property
    def may_have_lost(self) -> bool:
        """Whether it was more than a crash, after which every synchronous commit is there."""
        return self.history not in (None, self.ground)


async def begin_life(
    database: Database, feed: RedisFeed, keyring: Keyring, issuer: str, *, known: Head | None = None
) -> UUID:
    """The database's incarnation: the living one, or a new one that this pod began.

    `known` is a head that this pod once read: numbers up to it were given. Raises LossUnknown,
    DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        footing = await _read_footing(connection)
    if footing.life is not None:
        return footing.life
    # No transaction is open, and no lock held, while Redis is asked.
    loss = Loss(())
    if not footing.is_new:
        loss = await find_loss(feed, keyring, issuer, footing.standing, known)
    async with database.transaction() as connection:
        again = await _read_footing(connection)
        if again.life is not None:
            return again.life
        if again != footing:
            raise DatabaseUnavailable("the primary changed")
        await _restore_kids(connection, loss)
        unknown = loss.entries is None and (loss.proven or footing.may_have_lost)
        life = None if unknown else await _begin(connection, footing, loss)
    # After the commit: raised inside the block, it would roll the killed keys back.
    if life is None:
        raise LossUnknown
    return life


async def _read_footing(connection: Connection) -> _Footing:
    head = await lock_head(connection)
    return _Footing(
        life=await find_life(connection),
        standing=Standing(head, await find_newest_numbered(connection)),
        ground=await read_ground(connection),
        history=await read_history(connection),
    )


async def _restore_kids(connection: Connection, loss: Loss) -> None:
    """Whatever else was lost: a key that a heartbeat lists as killed stays dead."""
    known = await list_killed_kids(connection)
    lost = [kid for kid in loss.killed_kids if kid not in known]
    if lost:
        await restore_kids(connection, lost)


async def _begin(connection: Connection, footing: _Footing, loss: Loss) -> UUID:
    """Restore what was lost, and begin; the new incarnation's id."""
    entries, head = loss.entries or (), footing.standing.head
    concerned = await restore_entries(connection, entries, loss.database_read_at)
    now = await read_clock(connection)
    # Where the primary changed, a pod may yet copy what the old one numbered last: the numbers that
    # follow have to be another epoch's, or the stream would fork.
    if entries or footing.may_have_lost:
        await begin_epoch(connection, head.epoch, now)
    life = uuid7(milliseconds(now), secrets.token_bytes(RANDOM_BYTES))
    await replace_life(connection, life, footing.ground)
    # No fact says that one of these was disabled, or what became of a password or of roles: who
    # changed that in the lost seconds has to look.
    event: dict[str, Any] = {
        "life": str(life),
        "taken_back": len(entries),
        "clients": concerned.clients,
        "users": [str(user_id) for user_id in concerned.users],
    }
    await insert_audit_event(connection, "database_life_began", **event)
    say = log.info if footing.history is None else log.warning  # the first is no loss
    say("database_life_began", **event)
    return life


async def begin_epoch(connection: Connection, previous: str, now: datetime) -> Head:
    """Begin a new epoch under the head's lock: every fact that still matters is due again."""
    epoch = next_epoch(UUID(previous), milliseconds(now), secrets.token_bytes(RANDOM_BYTES))
    head = genesis(str(epoch))
    await replace_epoch(connection, head)
    last: int | None = 0
    while last is not None:
        last = await unnumber_living_facts(connection, last, _FACTS_AT_ONCE)
    return head
