"""What a verifier consists of: keys and revocations followed in the background, and the judge."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from datetime import timedelta

from watchword_verifier._cache import TokenCache
from watchword_verifier._claims import Claims
from watchword_verifier._clock import Clock
from watchword_verifier._errors import RevocationsStale, UnknownKey, VerifierError
from watchword_verifier._facts import Facts
from watchword_verifier._feed import Feed
from watchword_verifier._fetch import Fetcher
from watchword_verifier._follow import Follower
from watchword_verifier._introspect import confirm
from watchword_verifier._judge import Judge
from watchword_verifier._keys import Keys
from watchword_verifier._options import Options, Stale
from watchword_verifier._receipts import Receipt, Receipts
from watchword_verifier._rules import Rules
from watchword_verifier._sources import HttpSource, RedisSource
from watchword_verifier._status import Status, Watch, to_timedelta

_log = logging.getLogger("watchword_verifier")

_CLOCK = Clock()
_PAUSE_SECONDS = 1.0


class Engine:
    """The parts of one verifier, put together. Everything in the background runs in one loop."""

    def __init__(self, options: Options, clock: Clock = _CLOCK) -> None:
        self._options = options
        self._clock = clock
        self._facts = Facts()
        self._fetcher = Fetcher(options.issuer, options.client, options.tls)
        self._keys = Keys(self._fetcher, options.algorithms, clock, options.key_cache)
        self._leeway = options.leeway.total_seconds()
        self._max_staleness = options.max_staleness.total_seconds()
        self._feed = Feed(
            options.issuer,
            self._keys,
            self._facts,
            max_staleness=self._max_staleness,
            leeway=self._leeway,
        )
        rules = Rules(
            issuer=options.issuer,
            audience=options.audience,
            algorithms=frozenset(options.algorithms),
            leeway=self._leeway,
            multiple_audiences=options.multiple_audiences,
        )
        cache = TokenCache(options.cache_size)
        self._judge = Judge(rules, self._keys.tokens, self._facts, clock, cache)
        self._results: Counter[str] = Counter()
        self._follower: Follower | None = None
        self._wall_ahead = float("-inf")
        self._tasks: asyncio.Task[None] | None = None
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Begin to follow; wait until keys and a snapshot are here, or `start_timeout`."""
        if self._tasks is not None:
            raise RuntimeError("the verifier was started already")
        try:
            await self._start(self._options)
        except BaseException:  # also whoever loses patience leaves nothing behind
            await self.close()
            raise

    async def _start(self, options: Options) -> None:
        await self._stack.enter_async_context(self._fetcher)
        redis = None
        if options.revocations is not None:
            redis = RedisSource(options.revocations, options.redis_prefix)
            self._stack.push_async_callback(redis.close)
        http = HttpSource(self._fetcher) if redis is None or options.reserve else None
        self._follower = Follower(
            self._feed, self._keys, self._clock, (redis, http), self._max_staleness
        )
        await self._keys.load_cache()
        ready = asyncio.Event()
        self._tasks = asyncio.create_task(self._run(self._follower, ready))
        with suppress(TimeoutError):
            async with asyncio.timeout(options.start_timeout.total_seconds()):
                await ready.wait()

    async def close(self) -> None:
        """Stop following, and close every connection."""
        if self._tasks is not None:
            self._tasks.cancel()
            with suppress(asyncio.CancelledError):
                await self._tasks
            self._tasks = None
        await self._stack.aclose()

    async def verify(
        self, token: str, scopes: Iterable[str], stale: Stale, max_staleness: timedelta | None
    ) -> Claims:
        """The claims of a good token that has the scopes, by what is known or can be asked."""
        try:
            claims = await self._verify(token, stale, max_staleness)
            claims.require_scope(*scopes)
        except VerifierError as error:
            self.count(type(error).__name__)
            raise
        self.count("verified")
        return claims

    def verify_here(self, token: str, stale: Stale, max_staleness: timedelta | None) -> Claims:
        """What of `verify` needs no waiting, in any thread; nothing is counted.

        Raises UnknownKey and RevocationsStale also where `verify` would ask the issuer.
        """
        claims = self._judge.judge(token)
        if stale != "accept" and not self._is_fresh(max_staleness):
            raise RevocationsStale("revocations are older than they may be")
        return claims

    def count(self, result: str) -> None:
        """Count a verification by its result."""
        self._results[result] += 1

    async def _verify(self, token: str, stale: Stale, max_staleness: timedelta | None) -> Claims:
        try:
            try:
                return self.verify_here(token, stale, max_staleness)
            except UnknownKey:
                if not await self._keys.tokens.fetch_for_unknown():
                    raise
            return self.verify_here(token, stale, max_staleness)
        except RevocationsStale:
            if stale != "introspect":
                raise
        await confirm(self._fetcher, token)
        return self._judge.judge(token)

    @property
    def is_ready(self) -> bool:
        """Whether keys and a first snapshot of the revocations are here."""
        return self._feed.is_complete and self._keys.tokens.is_usable(self._clock.monotonic())

    @property
    def staleness(self) -> timedelta | None:
        """How old the news of revocations is; None before the first snapshot."""
        return to_timedelta(self._feed.age(self._clock.monotonic()))

    def status(self) -> Status:
        """How all of it does."""
        feed, keys, follower = self._feed, self._keys.tokens, self._follower
        return Status(
            ready=self.is_ready,
            fresh=self._is_fresh(None),
            staleness=self.staleness,
            database_staleness=to_timedelta(feed.database_age(self._clock.monotonic())),
            epoch=feed.epoch,
            number=feed.number,
            head=feed.heartbeat.head if feed.heartbeat else 0,
            facts=len(self._facts),
            source=follower.source if follower else None,
            kids=tuple(keys.keys),
            killed_kids=tuple(sorted(keys.killed)),
            keys_age=to_timedelta(keys.age),
            cached=len(self._judge.cache),
            troubles=dict(follower.troubles) if follower else {},
            faults=dict(follower.faults) if follower else {},
            tokens=dict(self._results),
        )

    def _is_fresh(self, max_staleness: timedelta | None) -> bool:
        monotonic = self._clock.monotonic()
        limit = self._max_staleness if max_staleness is None else max_staleness.total_seconds()
        if self._feed.age(monotonic) > limit:
            return False
        of_database = self._options.max_database_staleness
        return of_database is None or (
            self._feed.database_age(monotonic) <= of_database.total_seconds()
        )

    async def _run(self, follower: Follower, ready: asyncio.Event) -> None:
        """Everything in the background, until cancelled."""
        watch = Watch(self.status, self._tidy, self._options.max_staleness)
        receipts = None
        if self._options.client is not None:
            receipts = Receipts(self._fetcher, self._options.name, self._receipt)
            self._stack.push_async_callback(receipts.say_goodbye)

        def progress() -> None:
            if receipts is not None:
                receipts.note()
            if self.is_ready and self._is_fresh(None) and not ready.is_set():
                watch.look()
                ready.set()

        follower.on_progress = self._keys.on_change = progress
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever("the keys", self._keys.run))
            tasks.create_task(_forever("the revocations", follower.run))
            tasks.create_task(_forever("the status", watch.run))
            if receipts is not None:
                tasks.create_task(_forever("receipts", receipts.run))

    def _receipt(self) -> Receipt | None:
        if not self._feed.is_complete:
            return None
        kids = (*self._keys.tokens.keys, *self._keys.feed.keys)
        return Receipt(self._feed.epoch, self._feed.number, kids)

    def _tidy(self) -> None:
        """Drop facts that no token outlives; begin again when the clock that said so was wrong.

        A clock that ran ahead dropped facts too early: set back, it would let their tokens live.
        """
        wall = self._clock.wall()
        ahead = wall - self._clock.monotonic()
        if ahead < self._wall_ahead - self._leeway:
            self._feed.begin_again()
            self._wall_ahead = ahead
        if self._facts.drop_expired(wall, self._leeway):
            self._wall_ahead = max(self._wall_ahead, ahead)


async def _forever(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Begin again after a defect, which the log tells: to stand still would be noticed too late."""
    while True:
        try:
            await run()
        except Exception:  # noqa: BLE001 (whatever it is)
            _log.exception("following %s failed: beginning again", what)
        await asyncio.sleep(_PAUSE_SECONDS)
