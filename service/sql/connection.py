"""Connections to PostgreSQL: the pool, its breaker, and the one meaning of 'it is away'."""

from __future__ import annotations

import asyncio
import json
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

import asyncpg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from asyncpg.pool import PoolConnectionProxy

_CONNECT_SECONDS = 1.0
_ACQUIRE_SECONDS = 2.0
STATEMENT_SECONDS = 2.0

# Everything but rotations commits so that no fail-over to a synchronous standby forgets it.
_SESSION = """
    SET default_transaction_isolation = 'read committed';
    SET synchronous_commit = 'on';
    SET lock_timeout = '200ms';
    SET statement_timeout = '1500ms';
    SET idle_in_transaction_session_timeout = '10s'
"""

# What says that the server is away, or no longer the primary; the connection is of no more use.
_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.FeatureNotSupportedError,  # a standby that was not promoted has no unlogged tables
    # Of several servers none is the primary; or the connection was cut between two statements.
    asyncpg.InternalClientError,
)
# What says that it is there but can't do this one thing at present.
_BUSY = (
    asyncpg.QueryCanceledError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TooManyConnectionsError,
)


class DatabaseUnavailable(Exception):
    """PostgreSQL can't answer at present; nothing was committed that the caller knows of."""


class DatabaseBusy(DatabaseUnavailable):
    """A row stayed locked for too long; trying once more may do."""


class Connection(Protocol):
    """What `service.sql` needs of a connection. LiteralString: no statement is ever built up."""

    async def execute(self, query: LiteralString, *args: Any) -> str: ...
    async def fetch(self, query: LiteralString, *args: Any) -> list[asyncpg.Record]: ...
    async def fetchrow(self, query: LiteralString, *args: Any) -> asyncpg.Record | None: ...
    async def fetchval(self, query: LiteralString, *args: Any) -> Any: ...
    def transaction(self) -> AbstractAsyncContextManager[Any]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Open connections, in use and idle, and how many pieces of work wait for one."""

    in_use: int
    idle: int
    waiting: int


class Database:
    """A pool of connections that does not let requests wait for a server that does not answer.

    Once PostgreSQL is away, requests are told so at once; only `probe` asks it again.
    """

    def __init__(self, url: str, *, connections: int, statement_cache: int) -> None:
        self._pool = asyncpg.create_pool(
            url,
            min_size=0,
            max_size=connections,
            statement_cache_size=statement_cache,
            timeout=_CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            init=_prepare_connection,
            # A released connection has no state to clear, and clearing would cost a round trip.
            reset=_keep_connection,
        )
        self._acquire_seconds = _ACQUIRE_SECONDS
        self._opened = False
        self._closing = False
        self._spare: list[PoolConnectionProxy[Any]] = []
        self._left: set[asyncio.Future[None]] = set()
        self._waiting = 0
        self.away = False

    async def close(self) -> None:
        """Close the pool; connections that do not end in time are cut."""
        if not self._opened:
            return
        self._closing = True
        while self._spare:
            await self._pool.release(self._spare.pop())
        if self._left:
            await asyncio.wait(self._left, timeout=STATEMENT_SECONDS)
        try:
            await asyncio.wait_for(self._pool.close(), STATEMENT_SECONDS)
        except TimeoutError:
            self._pool.terminate()

    @property
    def connections(self) -> Connections:
        """What is open at present, and who waits."""
        size = self._pool.get_size()
        idle = self._pool.get_idle_size() + len(self._spare)
        return Connections(in_use=max(0, size - idle), idle=idle, waiting=self._waiting)

    def connection(self) -> AbstractAsyncContextManager[Connection]:
        """A connection for single statements. Raises DatabaseUnavailable."""
        if self.away:
            raise DatabaseUnavailable("PostgreSQL is away")
        return self._acquire()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection in a transaction. Raises DatabaseUnavailable, also when COMMIT fails."""
        async with self.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def probe(self) -> AsyncIterator[Connection]:
        """Like `connection`, but asks PostgreSQL even while it is away; its answer ends that."""
        async with self._acquire() as connection:
            yield connection
        self.away = False

    @asynccontextmanager
    async def _acquire(self) -> AsyncIterator[Connection]:
        connection: PoolConnectionProxy[Any] | None = None
        failed = True
        try:
            connection = await self._acquire_one()
            yield connection  # pyright: ignore[reportReturnType] (a proxy has its methods)
            failed = False
        except asyncpg.LockNotAvailableError as error:
            raise DatabaseBusy("a row in PostgreSQL is locked") from error
        except _BUSY as error:
            raise DatabaseUnavailable(f"PostgreSQL is busy: {type(error).__name__}") from error
        except _AWAY as error:
            self.away = True
            if connection is not None:
                with suppress(asyncpg.InterfaceError):  # the pool let go of it when it was cut
                    connection.terminate()
            raise DatabaseUnavailable(f"PostgreSQL is away: {type(error).__name__}") from error
        finally:
            if connection is not None:
                await self._give_back(connection, failed=failed)

    async def _acquire_one(self) -> PoolConnectionProxy[Any]:
        """A connection; that all are in use does not mean that PostgreSQL is away."""
        while self._spare:
            connection = self._spare.pop()
            if _is_open(connection):
                return connection
            await self._pool.release(connection)
        if not self._opened:
            await self._pool
            self._opened = True
        self._waiting += 1
        try:
            return await self._acquire_whole()
        except TimeoutError as error:
            if self._pool.get_size() == self._pool.get_max_size():
                raise DatabaseUnavailable("every connection is in use") from error
            raise
        finally:
            self._waiting -= 1

    async def _acquire_whole(self) -> PoolConnectionProxy[Any]:
        """One from the pool; who is cancelled meanwhile leaves the opening of it to its end.

        Cut in the middle of a handshake, a connection leaves an error behind that nobody takes.
        """
        opening = asyncio.ensure_future(self._pool.acquire(timeout=self._acquire_seconds))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            left = asyncio.ensure_future(self._release_when_open(opening))
            self._left.add(left)
            left.add_done_callback(self._left.discard)
            raise

    async def _release_when_open(self, opening: asyncio.Future[PoolConnectionProxy[Any]]) -> None:
        with suppress(*_AWAY, *_BUSY):
            await self._pool.release(await opening)

    async def _give_back(self, connection: PoolConnectionProxy[Any], *, failed: bool) -> None:
        """Keep the connection at hand for the next statement, unless somebody waits for it.

        Through the pool, each statement would cost half as much again.
        """
        if failed or self._waiting or self._closing or connection.is_closed():
            await self._pool.release(connection)
        else:
            self._spare.append(connection)


def _is_open(connection: PoolConnectionProxy[Any]) -> bool:
    """Whether it can be used; one that was cut, and the pool let go of, answers no question."""
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:
        return False


async def _prepare_connection(connection: asyncpg.Connection[Any]) -> None:
    await connection.execute(_SESSION)
    await connection.set_type_codec(
        "jsonb", encoder=json.dumps, decoder=json.loads, schema="pg_catalog"
    )


async def _keep_connection(_: asyncpg.Connection[Any]) -> None:
    return
