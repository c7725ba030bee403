"""Origins of first-party clients, for what names no client: a browser's preflight, a 401."""

import time
from contextlib import suppress

from service.flows.flights import Flights
from service.sql.clients import list_allowed_origins
from service.sql.connection import Database, DatabaseUnavailable

_FRESH_SECONDS = 5.0


class AllowedOrigins:
    """The origins of all first-party clients, read at most every 5 s, whatever strangers send."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._origins: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._flights: Flights[frozenset[str]] = Flights()

    async def has(self, origin: str) -> bool:
        """Whether some first-party client is served from there, as PostgreSQL last said."""
        if time.monotonic() - self._read_at >= _FRESH_SECONDS:
            with suppress(DatabaseUnavailable):
                self._origins = await self._flights.share("all", self._read)
            self._read_at = time.monotonic()
        return origin in self._origins

    async def _read(self) -> frozenset[str]:
        async with self._database.connection() as connection:
            return frozenset(await list_allowed_origins(connection))
