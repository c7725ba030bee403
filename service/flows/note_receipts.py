"""Noting receipts: those of many verifiers in one statement, each told how it went."""

import asyncio
from dataclasses import dataclass

from service.metrics import Metrics
from service.oauth.errors import TemporarilyUnavailable, TooManyAttempts
from service.oauth.receipt import Receipt
from service.sql.connection import Database
from service.sql.feed_receipts import delete_receipt, upsert_receipts

# One statement takes so many; so many may wait for the next one.
_AT_ONCE = 500
_MAX_WAITING = 10_000
# What comes within this time shares a statement: thousands of verifiers hear of an entry at once.
_GATHER_SECONDS = 0.02
# More names of one client are a mistake, such as a name that is made anew for each report.
MAX_NAMES = 1_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    receipt: Receipt
    done: "asyncio.Future[None]"


class ReceiptBook:
    """Where this pod notes receipts. One statement at a time, so none overtakes another."""

    def __init__(self, database: Database, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def note(self, receipt: Receipt) -> None:
        """Note a receipt. Raises DatabaseUnavailable, TooManyAttempts, TemporarilyUnavailable."""
        if len(self._waiting) >= _MAX_WAITING:
            raise TemporarilyUnavailable("too many receipts at once; try again shortly")
        waiting = _Waiting(receipt, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        await waiting.done

    async def forget(self, client_id: str, name: str) -> None:
        """A verifier says goodbye. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            await delete_receipt(connection, client_id, name)

    async def _write(self) -> None:
        try:
            while self._waiting:
                await asyncio.sleep(_GATHER_SECONDS)
                together = self._waiting[:_AT_ONCE]
                del self._waiting[:_AT_ONCE]
                await self._write_some(together)
        finally:
            self._writing = None

    async def _write_some(self, together: list[_Waiting]) -> None:
        """Note the newest receipt of each verifier; tell everybody."""
        newest: dict[tuple[str, str], Receipt] = {}
        for it in together:
            key = (it.receipt.client_id, it.receipt.name)
            newest[key] = max(newest.get(key, it.receipt), it.receipt, key=lambda r: r.place)
        try:
            noted = await self._upsert(list(newest.values()))
        except Exception as error:  # noqa: BLE001 (it is each reporter's)
            for it in together:
                _tell(it, error)
            return
        for it in together:
            known = (it.receipt.client_id, it.receipt.name) in noted
            self._metrics.receipts.labels("noted" if known else "refused").inc()
            _tell(it, None if known else _REFUSED)

    async def _upsert(self, receipts: list[Receipt]) -> set[tuple[str, str]]:
        async with self._database.connection() as connection:
            known, lags = await upsert_receipts(connection, receipts, MAX_NAMES)
        for lag in lags:
            self._metrics.revocation_seen.observe(max(0.0, lag))
        return known


_REFUSED = TooManyAttempts(f"the client has more than {MAX_NAMES} verifiers: give each one name")


def _tell(waiting: _Waiting, error: Exception | None) -> None:
    if waiting.done.done():
        return
    if error is None:
        waiting.done.set_result(None)
    else:
        waiting.done.set_exception(error)
