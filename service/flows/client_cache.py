"""Clients as this pod knows them: from PostgreSQL, kept 5 s, and 10 minutes while it is away."""

import asyncio
import time
from dataclasses import dataclass

from service.oauth.client import Client
from service.oauth.revocation import CLIENT_CACHE_TTL
from service.sql.clients import find_client
from service.sql.connection import Database, DatabaseUnavailable

_FRESH_SECONDS = 5.0
_PATIENCE_SECONDS = 0.1
_MAX_CLIENTS = 10_000
_MAX_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class _Entry:
    client: Client | None
    at: float


class ClientCache:
    """Clients by id, fresh for 5 s.

    A client that does not exist is remembered like one that does, so that the time of an answer
    does not tell them apart; the two do not push each other out.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._clients: dict[str, _Entry] = {}
        self._unknown: dict[str, _Entry] = {}
        self._under_way: dict[str, asyncio.Task[Client | None]] = {}

    async def find(self, client_id: str) -> Client | None:
        """The client, or None. Raises DatabaseUnavailable if it was not seen in 10 minutes."""
        entry = self._clients.get(client_id) or self._unknown.get(client_id)
        age = time.monotonic() - entry.at if entry else float("inf")
        if entry and age < _FRESH_SECONDS:
            return entry.client
        usable = entry is not None and age < CLIENT_CACHE_TTL.total_seconds()
        try:
            # Where an older answer would do, nobody waits long for a server that does not answer.
            patience = _PATIENCE_SECONDS if usable else None
            return await asyncio.wait_for(asyncio.shield(self._read(client_id)), patience)
        except (DatabaseUnavailable, TimeoutError):
            if entry is None or not usable:
                raise
            return entry.client

    def drop(self, client_id: str) -> None:
        """Forget a client that was revoked or changed, and what is being read of it."""
        self._clients.pop(client_id, None)
        self._unknown.pop(client_id, None)
        self._under_way.pop(client_id, None)

    def _read(self, client_id: str) -> "asyncio.Task[Client | None]":
        """One reading of each client at a time, shared by all who wait for it."""
        task = self._under_way.get(client_id)
        if task is None:
            task = self._under_way[client_id] = asyncio.create_task(self._fetch(client_id))
            task.add_done_callback(lambda done: self._finish(client_id, done))
        return task

    async def _fetch(self, client_id: str) -> Client | None:
        began = time.monotonic()
        async with self._database.connection() as connection:
            client = await find_client(connection, client_id)
        if self._under_way.get(client_id) is not asyncio.current_task():
            return client  # dropped meanwhile: this may be the row from before the change
        self._clients.pop(client_id, None)
        self._unknown.pop(client_id, None)
        entries, limit = (self._clients, _MAX_CLIENTS) if client else (self._unknown, _MAX_UNKNOWN)
        while len(entries) >= limit:
            del entries[next(iter(entries))]
        entries[client_id] = _Entry(client, began)
        return client

    def _finish(self, client_id: str, task: "asyncio.Task[Client | None]") -> None:
        if self._under_way.get(client_id) is task:
            del self._under_way[client_id]
        if not task.cancelled():
            task.exception()  # every waiter may have gone by now
