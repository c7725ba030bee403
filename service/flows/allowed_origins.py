"""Origins of clients, for what names no client: a browser's preflight, a 401."""

import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress

from service.flows.flights import Flights
from service.oauth.redirect_uri import web_origins
from service.sql.clients import list_redirect_uris
from service.sql.connection import Connection, Database, DatabaseUnavailable

_FRESH_SECONDS = 5.0


class AllowedOrigins:
    """All origins that `read` tells of, read at most every 5 s, whatever strangers send."""

    def __init__(
        self, database: Database, read: Callable[[Connection], Awaitable[Iterable[str]]]
    ) -> None:
        self._database = database
        self._read_all = read
        self._origins: frozenset[str] = frozenset()
        self._read_at = float("-inf")
        self._flights: Flights[frozenset[str]] = Flights()

    async def has(self, origin: str) -> bool:
        """Whether some client is served from there, as PostgreSQL last said."""
        if time.monotonic() - self._read_at >= _FRESH_SECONDS:
            with suppress(DatabaseUnavailable):
                self._origins = await self._flights.share("all", self._read)
            self._read_at = time.monotonic()
        return origin in self._origins

    async def _read(self) -> frozenset[str]:
        async with self._database.connection() as connection:
            return frozenset(await self._read_all(connection))


async def list_app_origins(connection: Connection) -> frozenset[str]:
    """Where the clients' redirect URIs lead: what browser apps are served from (TOK-40)."""
    return web_origins(await list_redirect_uris(connection))
