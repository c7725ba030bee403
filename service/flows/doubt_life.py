"""Doubting a life: a database that a heartbeat is ahead of has lost writes, though it lives.

A cluster that was stopped, copied and put back keeps the row that says it lives.
"""

import time

from service.oauth.feed import Heartbeat
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.database_life import end_life
from service.sql.feed import FeedState
from service.telemetry import log

# For so long nobody beats over a heartbeat that names more than the database has. Where another
# primary is alive its pods do, and it is this database that nobody should believe.
_STILL_SECONDS = 3.0


class LifeDoubt:
    """What this pod saw of a heartbeat that its database can't have given rise to."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._heartbeat: Heartbeat | None = None
        self._since = 0.0

    async def weigh(self, state: FeedState, heartbeat: Heartbeat) -> None:
        """End the life of a database that lacks what the heartbeat names; the next tick begins one.

        `state` was read a moment ago, perhaps before the heartbeat; not three seconds before.
        Raises DatabaseUnavailable.
        """
        if (heartbeat.epoch, heartbeat.head) <= (state.head.epoch, state.head.number):
            self._heartbeat = None
        elif heartbeat != self._heartbeat:
            self._heartbeat, self._since = heartbeat, time.monotonic()
        elif time.monotonic() - self._since > _STILL_SECONDS and state.life is not None:
            async with self._database.transaction() as connection:
                await end_life(connection, state.life)
                await insert_audit_event(connection, "database_life_ended", life=str(state.life))
            log.error(
                "database_life_ended",
                message="the database is behind the feed: an old copy was put in its place",
                head=state.head.number,
                heartbeat=heartbeat.head,
            )
