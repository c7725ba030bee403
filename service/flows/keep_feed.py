"""Keeping the feed: each pod's loop that publishes, mends, beats, and begins a new life."""

import asyncio
import time
from contextlib import suppress

from service.flows.beat_feed import Reading, beat_feed, mend_feed
from service.flows.begin_life import LossUnknown, begin_life
from service.flows.copy_feed import CopyCheck, copy_entries
from service.flows.doubt_life import LifeDoubt
from service.flows.feed_news import FeedNews
from service.flows.feed_pulse import FeedPulse
from service.flows.follow_keys import KeyFollower
from service.flows.publish_revocations import ENTRIES_AT_ONCE, publish_revocations
from service.keys.keyring import Keyring, KeyringError
from service.metrics import Metrics
from service.oauth.feed import Head, Heartbeat
from service.oauth.revocation import CLIENT_FACT_TTL
from service.redis.connection import RedisUnavailable
from service.redis.feed import Beat, RedisFeed
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import FeedState, raise_floor, read_state
from service.telemetry import log

_TICK_SECONDS = 1.0


class FeedKeeper:
    """One pod's share in the feed. Any number of pods may do the same at the same time."""

    def __init__(
        self, database: Database, feed: RedisFeed, keyring: Keyring, issuer: str, metrics: Metrics
    ) -> None:
        self._database = database
        self._feed = feed
        self._keyring = keyring
        self._issuer = issuer
        self._metrics = metrics
        self._due = asyncio.Event()
        self._publishing = asyncio.Lock()
        self._state: FeedState | None = None
        self._read_at = 0.0
        self._fresh = False
        self._keys = KeyFollower(database, keyring)
        self._beyond: int | None = None
        self._check = CopyCheck(feed, database)
        self._doubted = False
        self._newest: Heartbeat | None = None
        self._doubt = LifeDoubt(database)
        self.news = FeedNews()
        self.pulse = FeedPulse(keyring, issuer)
        self.redis_away = False
        self.loss_unknown = False

    def nudge(self) -> None:
        """Something was committed: publish it now rather than at the next tick."""
        self._due.set()

    def head(self) -> Head | None:
        """The head as last read; None before the first reading."""
        return None if self._state is None else self._state.head

    def newest(self) -> Head | None:
        """The newest head that this pod read, made or heard of: numbers up to it were given."""
        return self.news.head

    def reading(self) -> Reading | None:
        """The newest reading; None before the first, and while it is unknown what was lost."""
        return None if self._state is None or self.loss_unknown else self._reading()

    async def run(self) -> None:
        """Publish at every nudge, and tick each second, until cancelled.

        Beside each other, as pods are: a tick takes many round trips, and a revocation that came
        in its beginning would wait for all of them.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish_when_due())
            tasks.create_task(self._tick_each_second())

    async def _publish_when_due(self) -> None:
        while True:
            await self._due.wait()
            await self._guarded_publish()

    async def _tick_each_second(self) -> None:
        while True:
            next_tick = time.monotonic() + _TICK_SECONDS
            await self._guarded_tick()
            await asyncio.sleep(next_tick - time.monotonic())

    async def _guarded_tick(self) -> None:
        try:
            await self.tick()
        except KeyringError as error:
            log.error("feed_tick_failed", error=str(error))
        except Exception as error:  # noqa: BLE001 (the loop must outlive any fault)
            log.error("feed_tick_failed", error=repr(error), exc_info=True)

    async def _guarded_publish(self) -> None:
        try:
            await self.publish()
        except Exception as error:  # noqa: BLE001 (the next tick tries again)
            log.error("feed_publish_failed", error=repr(error), exc_info=True)

    async def publish(self) -> int:
        """Number, sign and copy what is due; how many entries that made."""
        return (await self._publish())[0]

    async def cover(self) -> Head | None:
        """Publish; a head that has all in it that was committed before, whoever numbered it.

        None where that can't be said now: PostgreSQL is away, or between two lives or keys.
        """
        return (await self._publish())[1]

    async def _publish(self) -> tuple[int, Head | None]:
        """One at a time: what another publication of this pod has numbered is known here then."""
        count, head = 0, None
        async with self._publishing:
            self._due.clear()
            # Away, or between two signing keys: the tick publishes them; nothing is lost.
            with suppress(DatabaseUnavailable, KeyringError):
                entries = ENTRIES_AT_ONCE
                while entries == ENTRIES_AT_ONCE:  # what commits meanwhile has its own nudge
                    head = None
                    head, entries = await self._publish_some()
                    count += entries
        return count, head

    async def _publish_some(self) -> tuple[Head | None, int]:
        began = time.monotonic()
        head, entries = await publish_revocations(self._database, self._keyring, self._issuer)
        if head is None:
            return None, 0
        self.news.take(head.epoch, entries)
        self.news.reach(head)  # which another pod may have given
        if not entries:
            return head, 0
        self._metrics.published.inc(len(entries))
        floor = self._state.floor if self._state and self._state.head.epoch == head.epoch else 1
        try:
            await copy_entries(self._feed, self._database, head.epoch, floor, entries)
            self._metrics.publish_lag.observe(time.monotonic() - began)
        except RedisUnavailable:
            self._note_redis(away=True)  # numbers do not wait for Redis
        return head, len(entries)

    async def tick(self) -> None:
        """Read the state; do what it asks for; beat."""
        await self._read()
        if self._fresh and self._state is not None and self._state.has_unnumbered:
            await self.publish()
            await self._read()
        # By either reading: a heartbeat would say that nothing is missing.
        if self._state is None or self.loss_unknown:
            return
        try:
            heartbeat, beat = await self._beat()
            await self._judge(beat)
            if self._fresh:
                await self._doubt.weigh(self._state, heartbeat)
        except RedisUnavailable:
            self._note_redis(away=True)
        except DatabaseUnavailable:
            return
        else:
            self._note_redis(away=False)
            if beat is None or beat.outcome == "beaten":
                self._metrics.heartbeat_at.set(heartbeat.time / 1000)

    async def _beat(self) -> tuple[Heartbeat, Beat | None]:
        heartbeat, beat = await beat_feed(
            self._reading(), self._feed, self._keyring, self._issuer, self._newest
        )
        if beat is None or beat.outcome == "beaten":
            self._newest = max(self._newest or heartbeat, heartbeat, key=lambda it: it.order)
            self.pulse.see(self._newest)
        self._keyring.drop(heartbeat.killed_kids)
        if beat is not None and beat.forgery and beat.outcome == "beaten":
            self._note_repair("heartbeat", beat)
        return heartbeat, beat

    async def _read(self) -> None:
        """Take the newest state; begin a life first where one has to begin."""
        self._fresh, was_away = False, self._database.away
        try:
            state = await self._read_state()
            before = self._state or state
            if state is not None and state.life is None and await self._begin_life():
                state = await self._read_state()
            if state is not None:
                self._keyring.drop(state.killed_kids)
                await self._follow_keys(state)
        except DatabaseUnavailable as error:
            self._metrics.away.labels("postgresql").set(1)
            log.debug("postgresql_away", error=str(error))
            return
        self._metrics.away.labels("postgresql").set(0)
        if state is not None and state.life is not None:
            self._state, self._read_at = state, time.monotonic()
            self._fresh = True
            self._note_loss(unknown=False)
            self._metrics.feed_head.set(state.head.number)
            self.news.reach(state.head)
            left = before is not None and before.head.epoch != state.head.epoch
            if left or was_away:
                self.news.tell()  # of what is no newer head
            if before is not None and left:
                await self._let_go(before.head.epoch)

    async def _read_state(self) -> FeedState | None:
        async with self._database.probe() as connection:
            state = await read_state(connection)
            if state is not None and state.life is not None and state.next_floor > state.floor:
                await raise_floor(connection, state.head.epoch, state.next_floor)
        return state

    async def _begin_life(self) -> bool:
        """Whether the database has a life, begun by this pod or by another."""
        try:
            await begin_life(
                self._database, self._feed, self._keyring, self._issuer, known=self.newest()
            )
        except LossUnknown:
            if not self.loss_unknown:
                log.error(
                    "database_lost_writes",
                    message="the feed can't say which revocations were lost; run "
                    "'watchword recover --sessions keep' or '--sessions end'",
                )
            self._note_loss(unknown=True)
            return False
        return True

    async def _follow_keys(self, state: FeedState) -> None:
        """Where keys changed or an epoch begins, nothing is signed before they are read."""
        if await self._keys.follow(state):
            self.nudge()  # what was asked for meanwhile had no key

    async def _let_go(self, epoch: str) -> None:
        """Let the stream of an epoch that was left expire with its last fact."""
        try:
            await self._feed.expire(epoch, int(CLIENT_FACT_TTL.total_seconds()))
        except RedisUnavailable:
            self._note_redis(away=True)

    async def _judge(self, beat: Beat | None) -> None:
        """Mend a stream that is not whole, if the state was read just now.

        Else the database may be another one by now, and the stream all that is left of what it
        lost. One that is ahead of the state was perhaps only copied after it was read; it is
        beyond the head for sure when a later reading still has not reached it.
        """
        if beat is None or beat.outcome == "overtaken" or not self._fresh:
            return
        reading = self._reading()
        if await self._may_be_whole(beat, reading):
            return
        cause = await mend_feed(reading, beat, self._feed, self._database)
        self._note_repair(cause, beat)
        await self._beat()

    async def _may_be_whole(self, beat: Beat, reading: Reading) -> bool:
        head, seen, doubted = reading.state.head, self._beyond, self._doubted
        self._beyond, self._doubted = None, False
        ahead = beat.last > head.number
        if ahead and seen is not None and head.number < seen:
            return False
        self._beyond = beat.last if ahead else None
        if beat.outcome == "incomplete":
            return ahead
        # Another pod may have trimmed the stream between two looks: what counts is the next time.
        self._doubted = not await self._check.is_true(head, reading.floor)
        return not (self._doubted and doubted)

    def _reading(self) -> Reading:
        if self._state is None:
            raise AssertionError("beaten before the first reading")
        return Reading(
            state=self._state,
            floor=self._state.next_floor,
            age_ms=int((time.monotonic() - self._read_at) * 1000),
            database_away=not self._fresh,
        )

    def _note_redis(self, *, away: bool) -> None:
        if away != self.redis_away:
            log.warning("redis_away" if away else "redis_back")
        self.redis_away = away
        self._metrics.away.labels("redis").set(away)

    def _note_loss(self, *, unknown: bool) -> None:
        self.loss_unknown = unknown
        self._metrics.loss_unknown.set(unknown)

    def _note_repair(self, cause: str, beat: Beat) -> None:
        self._metrics.feed_repairs.labels(cause).inc()
        log.warning("feed_mended", cause=cause, last=beat.last, length=beat.length)
