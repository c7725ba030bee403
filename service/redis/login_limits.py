"""How often a password may be guessed: RATE-1, RATE-3, RATE-4."""

import asyncio
import time
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from service.redis.connection import RedisUnavailable
from service.redis.rate_limits import SharedCounts, digest_subject, whole_seconds

_PAIR = "account-address"
# Of an account from an address, right or wrong.
_ATTEMPTS = "attempts"
# These are never refused for: a stranger who guesses would lock everybody else out.
_ALARM_LINES = {"account": 100, "client": 1_000, "all": 5_000}
_WINDOW = timedelta(minutes=15)

_AddOne = Callable[[list[str]], Awaitable[list[int]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """Somebody who says to be `account`, which may not exist; an IPv6 `address` is cut to its /64.

    `account` is the name as it was typed: no counter tells a known one from an unknown one.
    """

    account: str
    address: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """An attempt's place in the counters, or the time until there may be one.

    `alarms` are the lines that this attempt is the first of its window to cross: `account`,
    `client` or `all`.
    """

    retry_after: timedelta | None
    alarms: tuple[str, ...]
    keys: Mapping[str, str]
    shared: bool


class LoginLimit(SharedCounts):
    """Failed logins in a window of time: of an account, from an address, of both, of a client, all.

    Windows are the clock's, equal for all pods, and part of the keys: a place that is given back
    when its window is over changes nothing in the next. While Redis is away the same limits apply
    to what this pod counts (RATE-4).
    """

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        *,
        per_account_and_address: int = 10,
        per_address: int = 100,
        attempts: int = 60,
        window: timedelta = _WINDOW,
    ) -> None:
        super().__init__(redis_url, prefix, window=window)
        self._limits = {
            _PAIR: per_account_and_address,
            "address": per_address,
            _ATTEMPTS: attempts,
        }

    async def take(self, attempt: Attempt) -> Place:
        """Take a place in every counter before the password is looked at.

        RATE-3: so as many guesses at once as you like are no more than the limit. Without a place
        (`retry_after`) no verification may happen. A place stays taken: that is a failure counted.
        """
        keys = self._keys(attempt)
        try:
            place = await self._ask(lambda: self._take(keys, self._add_shared, shared=True))
        except RedisUnavailable:
            place = await self._take(keys, self._add_own, shared=False)
        if place.retry_after is not None:
            await self._leave(place, self._limits)
        return place

    async def succeed(self, place: Place) -> None:
        """The password was right. RATE-3: resets only the counter of account and address.

        In the others only this attempt's place is given back; as an attempt it still counts, or who
        has an account could have passwords hashed without end.
        """
        if place.retry_after is None:
            key = place.keys[_PAIR]
            self._own.forget(key)
            with suppress(RedisUnavailable):
                await self._ask(lambda: self._storage.clear(key))
            await self._leave(place, place.keys.keys() - {_PAIR, _ATTEMPTS})

    async def give_back(self, place: Place) -> None:
        """The password was not looked at after all, so nothing is counted."""
        if place.retry_after is None:
            await self._leave(place, place.keys)

    async def _take(self, keys: Mapping[str, str], add_one: _AddOne, *, shared: bool) -> Place:
        counts = await add_one([keys[kind] for kind in self._limits])
        if any(count > limit for count, limit in zip(counts, self._limits.values(), strict=True)):
            wait = whole_seconds(self._seconds_left())
            return Place(retry_after=wait, alarms=(), keys=keys, shared=shared)
        # After the limits: what is refused was no failure, and a flood of it asks for no more.
        counts = await add_one([keys[kind] for kind in _ALARM_LINES])
        alarms: list[str] = []
        for (kind, line), count in zip(_ALARM_LINES.items(), counts, strict=True):
            # A place given back may bring a count below the line and over it again.
            if count > line and await add_one([digest_subject("alarm", keys[kind])]) == [1]:
                alarms.append(kind)
        return Place(retry_after=None, alarms=tuple(alarms), keys=keys, shared=shared)

    async def _leave(self, place: Place, kinds: Iterable[str]) -> None:
        """Give places back where they were taken; in Redis they stay taken if it is away."""
        keys = [place.keys[kind] for kind in kinds]
        if not place.shared:
            for key in keys:
                self._own.add(key, -1, ends_in=self._seconds_left())
            return
        with suppress(RedisUnavailable):
            await self._ask(lambda: self._subtract_shared(keys))

    async def _add_own(self, keys: list[str]) -> list[int]:
        return [self._own.add(key, 1, ends_in=self._seconds_left()) for key in keys]

    async def _add_shared(self, keys: list[str], amount: int = 1) -> list[int]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._storage.incr(key, self._window_seconds, amount))
                    for key in keys
                ]
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        return [task.result() for task in tasks]

    async def _subtract_shared(self, keys: list[str]) -> None:
        counts = await self._add_shared(keys, -1)
        # Another attempt's success reset it in the meantime: below 0 it would bear more failures.
        if below := [key for key, count in zip(keys, counts, strict=True) if count < 0]:
            await self._add_shared(below)

    def _keys(self, attempt: Attempt) -> dict[str, str]:
        # Names are ASCII, compared without regard to case; all else is nobody's, whatever it is.
        account = unicodedata.normalize("NFKC", attempt.account).casefold()
        window = str(int(time.time() // self._window_seconds))
        subjects = {
            _PAIR: (account, attempt.address),
            _ATTEMPTS: (account, attempt.address),
            "address": (attempt.address,),
            "account": (account,),
            "client": (attempt.client_id,),
            "all": (),
        }
        return {
            kind: digest_subject(f"login-{kind}", window, *subject)
            for kind, subject in subjects.items()
        }

    def _seconds_left(self) -> float:
        return self._window_seconds - time.time() % self._window_seconds
