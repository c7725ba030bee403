"""Waiting until every verifier has seen a revocation, or for so long."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from service.flows.flights import Flights
from service.oauth.feed import Head
from service.oauth.receipt import RECEIPT_TTL, KnownVerifier
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed_receipts import list_verifiers

_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How far a revocation has come: which verifiers have seen it, and which have not.

    `slowest` is the last of which word came; `seconds` the time that was waited.
    """

    verifiers: tuple[KnownVerifier, ...]
    missing: tuple[KnownVerifier, ...]
    slowest: str | None
    seconds: float

    @property
    def seen(self) -> int:
        """How many have seen it."""
        return len(self.verifiers) - len(self.missing)


class ReceiptReader:
    """Reads the verifiers' places; who asks at the same time shares one query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._flights: Flights[list[KnownVerifier]] = Flights()

    async def read(self) -> list[KnownVerifier]:
        """Every verifier that has not lapsed. Raises DatabaseUnavailable."""
        return await self._flights.share("verifiers", self._read)

    async def _read(self) -> list[KnownVerifier]:
        async with self._database.connection() as connection:
            return await list_verifiers(connection, RECEIPT_TTL)


async def await_receipts(
    reader: ReceiptReader,
    head: Head,
    seconds: float,
    on_look: Callable[[Seen], object] = lambda _: None,
) -> Seen:
    """Wait until every living verifier has seen the entry `head`, at most so many seconds.

    While PostgreSQL is away nobody is known to have seen anything: the revocation stands all the
    same, so that is no failure. `on_look` is told what is known at each look.
    """
    began, epoch = time.monotonic(), UUID(head.epoch)
    verifiers: list[KnownVerifier] = []
    waited_for: list[KnownVerifier] = []
    slowest: str | None = None
    while True:
        try:
            verifiers = await reader.read()
        except DatabaseUnavailable:
            verifiers = verifiers or waited_for
        missing = [it for it in verifiers if not it.has_seen(epoch, head.number)]
        slowest = _slowest(missing or waited_for) or slowest
        waited_for = missing
        waited = time.monotonic() - began
        seen = Seen(
            verifiers=tuple(verifiers), missing=tuple(missing), slowest=slowest, seconds=waited
        )
        on_look(seen)
        if not missing or waited >= seconds:
            return seen
        await asyncio.sleep(min(_POLL_SECONDS, seconds - waited))


def _slowest(verifiers: list[KnownVerifier]) -> str | None:
    """Of those that are missing, or were at the last look, the one that was silent for longest."""
    return max(verifiers, key=lambda it: it.age).name if verifiers else None
