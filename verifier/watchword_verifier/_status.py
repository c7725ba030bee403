"""How a verifier does: for health checks and metrics, and one log line for each change."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_log = logging.getLogger("watchword_verifier")

_LOOK_SECONDS = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What is known at one moment.

    `ready`: keys and a first snapshot of the revocations are here. `fresh`: revocations are younger
    than `max_staleness`. `staleness` is None before the first snapshot; `database_staleness`: since
    the server last read its database. `number` of `head` entries of `epoch` are processed, `facts`
    of them live. `source`: `redis`, `http` or None. `kids`: the keys held. `keys_age`: since they
    were fetched. `troubles`: what is wrong with a source now. `faults`: how often a source gave
    what was no feed of the issuer. `tokens`: verifications by result. `cached`: tokens remembered.
    """

    ready: bool
    fresh: bool
    staleness: timedelta | None
    database_staleness: timedelta | None
    epoch: str
    number: int
    head: int
    facts: int
    source: str | None
    kids: tuple[str, ...]
    killed_kids: tuple[str, ...]
    keys_age: timedelta | None
    cached: int
    troubles: Mapping[str, str] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    tokens: Mapping[str, int] = field(default_factory=dict)


def to_timedelta(seconds: float) -> timedelta | None:
    """Seconds as a timedelta; None for 'never'."""
    return None if seconds == float("inf") else timedelta(seconds=seconds)


class Watch:
    """Looks at the status four times a second, and logs what changes."""

    def __init__(
        self, status: Callable[[], Status], tidy: Callable[[], object], max_staleness: timedelta
    ) -> None:
        self._status = status
        self._tidy = tidy
        self._max_staleness = max_staleness
        self._ready = self._was_fresh = False
        self._source: str | None = None
        self._database_away = False

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            self.look()
            self._tidy()
            await asyncio.sleep(_LOOK_SECONDS)

    def look(self) -> None:
        """Compare with the last look."""
        status = self._status()
        if status.ready and not self._ready:
            self._ready = True
            _log.info("ready: %d revocations, %d keys", status.facts, len(status.kids))
        if status.fresh != self._was_fresh:
            self._was_fresh = status.fresh
            self._tell_freshness(status)
        if status.source != self._source:
            self._source = status.source
            if status.source is not None:
                _log.info("following the revocations by %s", status.source)
        self._tell_database(status)

    def _tell_freshness(self, status: Status) -> None:
        if status.fresh:
            _log.info("revocations are fresh, up to entry %d of %s", status.number, status.epoch)
        else:
            what = "; ".join(f"{name}: {it}" for name, it in status.troubles.items())
            _log.error(
                "revocations are stale: %s old, the issuer read its database %s ago (%s)",
                status.staleness,
                status.database_staleness,
                what or "nothing new came",
            )

    def _tell_database(self, status: Status) -> None:
        age = status.database_staleness
        away = status.fresh and age is not None and age > self._max_staleness
        if away != self._database_away:
            self._database_away = away
            if away:
                _log.warning("the issuer has not read its database for %s: it may be away", age)
            else:
                _log.info("the issuer reads its database again")
