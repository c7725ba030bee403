"""The one connection that holds the runners' lock and applies the files: lost, it ends both."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import asyncpg

from migrations.files import MigrationError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

LOCK_TIMEOUT = "2s"
POLL = 0.25
"""Seconds between two looks at the runners' lock."""
FAILURES = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)
"""What a statement or the network can raise here."""

_UNREADABLE = (
    "the database URL can't be read: write postgresql://user:password@host:5432/name, "
    "with special characters in the password percent-encoded"
)
_RUNNERS_LOCK = 0x57415443_48574F52  # one per database, whatever the release


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Open the connection. Raises MigrationError, also for what goes wrong on it unexplained."""
    connection = await _connect(url)
    try:
        yield connection
    except FAILURES as error:
        raise MigrationError(
            f"PostgreSQL: {words(error)}: correct the cause and migrate again"
        ) from error
    finally:
        with suppress(*FAILURES):
            await connection.close(timeout=5)


async def _connect(url: str) -> asyncpg.Connection[asyncpg.Record]:
    # Start-up parameters, not SETs: RESET ALL returns to them, and a pooler refuses them. In
    # transaction mode it would give the runners' lock to one server connection and keep it there.
    settings = {
        "application_name": f"watchword migrate on {socket.gethostname()}",
        "lock_timeout": LOCK_TIMEOUT,
        "statement_timeout": "0",
        "idle_in_transaction_session_timeout": "0",
        # Without these a node that vanished would keep the runners' lock for two hours.
        "tcp_keepalives_idle": "15",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
    }
    role_in(url)
    try:
        return await asyncpg.connect(
            url, timeout=10, statement_cache_size=0, server_settings=settings
        )
    except ValueError:
        raise MigrationError(_UNREADABLE) from None
    except asyncpg.ProtocolViolationError as error:
        raise MigrationError(
            f"PostgreSQL: {words(error)}: migrations need PostgreSQL itself, not a pooler: "
            "set WATCHWORD_MIGRATE_DATABASE_URL to its address"
        ) from error
    except FAILURES as error:
        raise MigrationError(
            f"no connection to PostgreSQL: {words(error)}: correct the database URL, or migrate "
            "again when PostgreSQL is there"
        ) from error


def role_in(url: str) -> str | None:
    """Name the role that a database URL connects as, where it says so. Raises MigrationError."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MigrationError(_UNREADABLE) from None
    # An unescaped '/' makes a piece of the password the port, which errors would print.
    if "@" in parts.path + parts.query + parts.fragment:
        raise MigrationError(_UNREADABLE)
    return unquote(parts.username) if parts.username else None


async def become_only_runner(
    connection: asyncpg.Connection[asyncpg.Record], report: Callable[[str], None]
) -> None:
    """Take the runners' lock, waiting as long as another holds it; it ends with the connection."""
    said = False
    # Polled: a blocked pg_advisory_lock() holds a snapshot, and the other runner's
    # CREATE INDEX CONCURRENTLY waits for every snapshot to end: a deadlock.
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _RUNNERS_LOCK):
        if not said:
            report(f"waiting for another runner on this database: {await _holder(connection)}")
            said = True
        await asyncio.sleep(POLL)


async def _holder(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    holder = await connection.fetchrow(
        "SELECT pid, application_name"
        " FROM pg_locks"
        " JOIN pg_stat_activity USING (pid)"
        " WHERE locktype = 'advisory' AND granted AND objsubid = 1"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND classid::bigint << 32 | objid::bigint = $1",
        _RUNNERS_LOCK,
    )
    return f"{holder['application_name']} (process {holder['pid']})" if holder else "just done"


def words(error: BaseException) -> str:
    """Say what PostgreSQL or the network said, in a line; no DETAIL, which quotes rows."""
    said = getattr(error, "message", None) or str(error) or type(error).__name__
    hint = getattr(error, "hint", None)
    return " ".join(f"{said} ({hint})".split() if hint else said.split())
