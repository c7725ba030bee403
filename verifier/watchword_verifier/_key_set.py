"""One JWK Set of the issuer, kept fresh in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterable

from watchword_verifier._clock import Clock
from watchword_verifier._fetch import Answer, Unreachable
from watchword_verifier._jwks import PublicKey, UnfitKeySet, read_key_set

_log = logging.getLogger("watchword_verifier")

# A set that could not be fetched again is believed for so long: seconds.
HARD_LIMIT = 24 * 3600.0
_MIN_AGE, _DEFAULT_AGE, _MAX_AGE = 30.0, 300.0, 3600.0
_MIN_RETRY, _MAX_RETRY = 1.0, 60.0

Fetch = Callable[[bool], Awaitable[Answer]]


class KeySet:
    """The keys by their `kid`, and when they were fetched.

    A known key costs nothing. For an unknown one there is one fetch, shared by all who ask, and
    after it none for `cool_down` seconds, so that forged `kid`s reach the issuer no faster (RS-5):
    for the first of them, then twice as long each time, to the second, until nobody asks so long.
    """

    def __init__(
        self,
        name: str,
        fetch: Fetch,
        algorithms: Collection[str],
        clock: Clock,
        cool_down: tuple[float, float],
    ) -> None:
        self.name = name
        self.keys: dict[str, PublicKey] = {}
        self.killed: set[str] = set()
        self.document = b""
        self.fetches = 0
        self._fetch = fetch
        self._algorithms = algorithms
        self._clock = clock
        self._first_cool_down, self._last_cool_down = cool_down
        self._cool_down = 0.0
        self._fetched_at = self._asked_at = self._wanted_at = float("-inf")
        self._due = asyncio.Event()
        self._flight: asyncio.Task[bool] | None = None
        self._max_age = _DEFAULT_AGE
        self._faulty = False
        self.on_change: Callable[[], object] = lambda: None

    @property
    def age(self) -> float:
        """Seconds since the set was fetched; infinite before it first was."""
        return self._clock.monotonic() - self._fetched_at

    def is_usable(self, monotonic: float) -> bool:
        """Whether there are keys, young enough to be believed."""
        return monotonic - self._fetched_at < HARD_LIMIT and bool(self.keys)

    def load(self, document: bytes, *, age: float) -> None:
        """Take a document that was fetched `age` seconds ago. Raises UnfitKeySet."""
        new = read_key_set(document, self._algorithms)
        old = self.keys
        # The same key stays the same object: by it a verified token knows that it still holds.
        self.keys = {
            kid: old[kid] if kid in old and old[kid].members == key.members else key
            for kid, key in new.items()
            if kid not in self.killed
        }
        self.document = document
        self._fetched_at = self._clock.monotonic() - age
        self.on_change()

    def kill(self, kids: Iterable[str]) -> bool:
        """Drop killed keys at once and for good; whether one of them was here."""
        new = set(kids) - self.killed
        if not new:
            return False
        self.killed |= new
        held = new & self.keys.keys()
        self.keys = {kid: key for kid, key in self.keys.items() if kid not in held}
        self.on_change()
        return bool(held)

    async def fetch(self, *, past_caches: bool = False) -> bool:
        """Fetch now, together with whoever does already; whether it worked."""
        if self._flight is None or self._flight.done():
            self._flight = asyncio.create_task(self._fetch_once(past_caches))
        # Whoever is cancelled meanwhile leaves the fetch to the others.
        return await asyncio.shield(self._flight)

    async def fetch_for_unknown(self) -> bool:
        """Whether the set was fetched for the sake of a key that it lacked: not too often."""
        now = self._clock.monotonic()
        if now - self._wanted_at > self._last_cool_down:
            self._cool_down = 0.0
        self._wanted_at = now
        if self._flight is None or self._flight.done():
            if now - self._asked_at < self._cool_down:
                return False
            longer = max(2 * self._cool_down, self._first_cool_down)
            self._cool_down = min(longer, self._last_cool_down)
            self._asked_at = now
        return await self.fetch(past_caches=True)

    def expect_change(self) -> None:
        """A signed word says that the set has changed: fetch it soon, whatever the rate."""
        self._due.set()

    async def run(self) -> None:
        """Fetch the set again whenever it has aged, until cancelled."""
        retry, expected = _MIN_RETRY, False
        while True:
            expected = expected or self._due.is_set()
            self._due.clear()
            # A set that has only killed keys is older than their successors.
            if not expected and self.keys and self.age < self._max_age:
                pause = self._max_age - self.age
            elif await self.fetch(past_caches=expected) and self.keys:
                pause, retry, expected = self._max_age, _MIN_RETRY, False
            else:
                pause, retry = retry, min(2 * retry, _MAX_RETRY)
            try:
                async with asyncio.timeout(pause):
                    await self._due.wait()
            except TimeoutError:
                continue

    async def _fetch_once(self, past_caches: bool) -> bool:  # noqa: FBT001 (private)
        self.fetches += 1
        try:
            answer = await self._fetch(past_caches)
            self.load(answer.body, age=0.0)
        except (Unreachable, UnfitKeySet) as error:
            self._note(error)
            return False
        age = _DEFAULT_AGE if answer.max_age is None else float(answer.max_age)
        self._max_age = min(max(age, _MIN_AGE), _MAX_AGE)
        self._note(None)
        return True

    def _note(self, error: Exception | None) -> None:
        """One line when it begins to fail, one when it works again."""
        if error is not None and not self._faulty:
            _log.warning(
                "the %s can't be fetched (%s): %s",
                self.name,
                error,
                "those at hand go on" if self.keys else "there are none yet",
            )
        elif error is None and self._faulty:
            _log.info("the %s could be fetched again", self.name)
        self._faulty = error is not None
