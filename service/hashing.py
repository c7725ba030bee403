"""Passwords: argon2id (RFC 9106), off the event loop, on a bounded pool of polite threads."""

import asyncio
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import argon2
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from service.telemetry import log

_SALT_BYTES = 16
_TAG_BYTES = 32
_LOWEST_PRIORITY = 19
# A full queue of the default size is worked off in about a second.
_RETRY_AFTER = timedelta(seconds=1)

_Result = TypeVar("_Result")


class HashingBusy(Exception):
    """Too many passwords wait to be hashed; a place may be free after `retry_after`."""

    def __init__(self, retry_after: timedelta = _RETRY_AFTER) -> None:
        super().__init__("too many passwords wait to be hashed")
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """Whether a password was right; if so, whether its hash has other parameters than today's."""

    right: bool
    needs_rehash: bool


_WRONG = Verification(right=False, needs_rehash=False)


class PasswordHasher:
    """Hashes `parallel` passwords at a time, each in `memory_kib`; `waiting` more may queue.

    Making one takes the time of one hash. Use it from one event loop, and close it.
    """

    def __init__(
        self,
        *,
        memory_kib: int = 19 * 1024,  # OWASP's floor, with two passes in one lane
        passes: int = 2,
        lanes: int = 1,
        parallel: int = 2,
        waiting: int = 32,
    ) -> None:
        self._argon2id = argon2.PasswordHasher(
            time_cost=passes,
            memory_cost=memory_kib,
            parallelism=lanes,
            hash_len=_TAG_BYTES,
            salt_len=_SALT_BYTES,
            type=argon2.Type.ID,
        )
        self._of_nobody = self._argon2id.hash(secrets.token_bytes(_TAG_BYTES))
        self._pool = ThreadPoolExecutor(parallel, "hashing", initializer=_step_back)
        self._places = parallel + waiting
        # Each from its submission to its end; threads take out of it what they have ended.
        self._work: set[Future[Any]] = set()
        self._closed = False

    async def hash(self, password: str) -> str:
        """The hash of a password, its salt and parameters in it. Raises HashingBusy."""
        encoded = password.encode()
        return await self._run(lambda: self._argon2id.hash(encoded))

    async def verify(self, stored: str | None, password: str) -> Verification:
        """Whether the password has this hash; None is an unknown user's. Raises HashingBusy.

        A hash that can't be read is an alarm in the log and verifies nothing.
        """
        encoded = password.encode()
        # Hashed even for nobody, or that there is no such user could be timed (LOGIN-10).
        against = self._of_nobody if stored is None else stored
        return await self._run(lambda: self._verify(against, encoded))

    @property
    def is_full(self) -> bool:
        """Whether one more would be turned away."""
        return self._closed or len(self._work) >= self._places

    @property
    def running_now(self) -> int:
        """How many passwords are being hashed."""
        return sum(work.running() for work in tuple(self._work))

    @property
    def waiting_now(self) -> int:
        """How many wait for their turn."""
        return sum(not work.running() for work in tuple(self._work))

    def close(self) -> None:
        """Take no more work, drop what waits, let what runs end by itself."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], _Result]) -> _Result:
        """Do the work in a thread; whoever is cancelled while it waits gives up its place."""
        if self.is_full:
            raise HashingBusy
        future = self._pool.submit(work)
        self._work.add(future)
        future.add_done_callback(self._work.discard)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and task is not None and not task.cancelling():
                raise HashingBusy from None  # dropped by close(); nobody cancelled the caller
            raise

    def _verify(self, stored: str, password: bytes) -> Verification:
        try:
            self._argon2id.verify(stored, password)
            return Verification(right=True, needs_rehash=self._argon2id.check_needs_rehash(stored))
        except VerifyMismatchError:
            return _WRONG
        except (InvalidHashError, UnicodeEncodeError) as error:
            self._alarm(error)
            # Hashed all the same, or such an account could be told by its time.
            return self._verify(self._of_nobody, password)
        except VerificationError as error:
            self._alarm(error)
            return _WRONG

    def _alarm(self, error: Exception) -> None:
        """Name the error's kind alone: the text of some has the hash in it."""
        log.error("stored_password_hash_unusable", error=type(error).__name__)


def _step_back() -> None:
    """Give this thread the lowest priority, so that a flood of logins can't slow the tokens."""
    if sys.platform == "linux":  # elsewhere the call would change the whole process, or another
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
