"""Applies the release's migration files to a database, each once, beside any number of runners.

Forward only. An `.expand.sql` is applied at once, a `.contract.sql` when no older pod is alive.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import asyncpg

from migrations.connection import FAILURES, LOCK_TIMEOUT, become_only_runner, connected, words
from migrations.files import PACKAGE, MigrationError, judge, load, read_applied

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from migrations.files import Migration

LOCK_ATTEMPTS = 5
LOCK_PAUSE = 1.0
"""Seconds before the second attempt; twice that before the third, and so on."""

_CONCURRENTLY = re.compile(r"\bconcurrently\b", re.IGNORECASE)
_INDEX_MADE = re.compile(r"\bconcurrently\s+if\s+not\s+exists\s+\"?(\w+)", re.IGNORECASE)
_SCHEMA_MIGRATIONS = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        phase text NOT NULL CHECK (phase IN ('expand', 'contract')),
        checksum text NOT NULL,
        applied_at timestamptz NOT NULL
    )
"""
# Only what is lacking: every GRANT writes to the catalog, also one that changes nothing.
_GRANTS = """
    WITH relations AS (
        SELECT oid, relkind, format('%I.%I', $1::text, relname) AS name,
            relname = 'schema_migrations' AS is_ours
        FROM pg_class
        WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)
        AND relkind IN ('r', 'p', 'v', 'S') AND pg_has_role(relowner, 'USAGE')
    )
    SELECT format('GRANT USAGE ON SCHEMA %I TO %I', $1, $2::text) AS statement
    WHERE NOT has_schema_privilege($2, $1, 'USAGE')
    UNION ALL
    SELECT format('GRANT USAGE ON SEQUENCE %s TO %I', name, $2)
    FROM relations
    WHERE CASE WHEN relkind = 'S' THEN NOT has_sequence_privilege($2, oid, 'USAGE') END
    UNION ALL
    SELECT format('GRANT %s ON %s TO %I', privilege, name, $2)
    FROM relations, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS privilege
    WHERE relkind <> 'S' AND (privilege = 'SELECT' OR NOT is_ours)
    AND NOT has_table_privilege($2, oid, privilege)
    UNION ALL
    SELECT format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON %s FROM %I', name, $2)
    FROM relations
    WHERE is_ours AND has_table_privilege($2, oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run applied (a dry run: would apply), and a sentence on each contract that waits."""

    applied: tuple[str, ...]
    waiting: tuple[str, ...]


async def migrate(
    database_url: str,
    *,
    app_role: str | None = None,
    dry_run: bool = False,
    directory: Path = PACKAGE,
    report: Callable[[str], None],
) -> Outcome:
    """Bring the schema up to date.

    `database_url` is a direct connection of the role that owns the schema; `app_role`, where it is
    another one, is given what the service needs. A dry run writes nothing. Raises MigrationError.
    """
    known = load(directory)
    async with connected(database_url) as connection:
        run = await _begin(connection, app_role, report)
        if dry_run:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                return await run.through(known, run.waits_for, "would apply")
        await become_only_runner(connection, report)
        await connection.execute(_SCHEMA_MIGRATIONS)
        outcome = await run.through(known, run.apply, "applied")
        await run.grant()
        return outcome


async def _begin(
    connection: asyncpg.Connection[asyncpg.Record],
    app_role: str | None,
    report: Callable[[str], None],
) -> _Run:
    """Look where we are, before anything is written."""
    schema = await connection.fetchval("SELECT current_schema()")
    if schema is None:
        raise MigrationError("no schema of the search_path exists: create one or correct the path")
    if app_role == await connection.fetchval("SELECT current_user"):
        app_role = None
    if app_role is not None:
        if not await connection.fetchval(
            "SELECT to_regrole(quote_ident($1)) IS NOT NULL", app_role
        ):
            raise MigrationError(f"no role {app_role!r} to give the service's rights to: create it")
        # What may not be granted, PostgreSQL passes over with a mere warning.
        if not await connection.fetchval(
            "SELECT has_schema_privilege($1, current_schema(), 'USAGE')"
            " OR has_schema_privilege(current_schema(), 'USAGE WITH GRANT OPTION')",
            app_role,
        ):
            raise MigrationError(
                f"role {app_role!r} may not use schema {schema!r}, and it is not ours to grant: "
                "as the schema's owner, GRANT USAGE ON SCHEMA, then migrate again"
            )
    return _Run(connection=connection, schema=schema, app_role=app_role, report=report)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """One run on one connection."""

    connection: asyncpg.Connection[asyncpg.Record]
    schema: str
    app_role: str | None
    report: Callable[[str], None]

    async def through(
        self,
        known: Sequence[Migration],
        step: Callable[[Migration], Awaitable[str | None]],
        done: str,
    ) -> Outcome:
        """Take what is not applied through the step, which says what a file waits for.

        Behind a contract that waits, expands go on and contracts wait for it.
        """
        rows = await read_applied(self.connection)
        if edited := judge(rows, known).edited:
            raise MigrationError(
                f"{', '.join(edited)}: edited since it was applied: put back what was released, "
                "and write the change as the next expand file"
            )
        numbers = {row.number for row in rows}
        applied: list[str] = []
        waiting: dict[str, str] = {}
        for migration in known:
            if migration.number in numbers:
                continue
            if waiting and migration.phase == "contract":
                reason = f"waits for {next(iter(waiting))}"
            else:
                reason = await step(migration)
            if reason is None:
                applied.append(migration.name)
                self.report(f"{done} {migration.file}")
            else:
                waiting[migration.name] = f"{migration.name} {reason}"
                self.report(waiting[migration.name])
        if not applied and not waiting:
            self.report(f"nothing to apply: the schema is at {max(numbers):04d}")
        return Outcome(applied=tuple(applied), waiting=tuple(waiting.values()))

    async def waits_for(self, migration: Migration) -> str | None:
        """Say which living pods of older releases may still use what a contract takes away."""
        if migration.phase == "expand" or not await self._has_instances():
            return None
        pods = await self.connection.fetch(
            "SELECT name, release,"
            " greatest(0, extract(epoch FROM clock_timestamp() - last_seen_at))::int AS seconds"
            " FROM instances"
            " WHERE last_seen_at > clock_timestamp() - interval '60 seconds'"
            " AND schema_number < $1"
            " ORDER BY last_seen_at DESC, name",
            migration.number,
        )
        named = [
            f"pod {pod['name']} (release {pod['release']}), last seen {pod['seconds']} s ago"
            for pod in pods
        ]
        return f"waits for {'; '.join(named)}" if named else None

    async def _has_instances(self) -> bool:
        return await self.connection.fetchval("SELECT to_regclass('instances') IS NOT NULL")

    async def apply(self, migration: Migration) -> str | None:
        """Apply one file, or say what it waits for."""
        way = self._in_transaction if migration.in_transaction else self._alone
        for attempt in range(1, LOCK_ATTEMPTS + 1):
            try:
                await self.connection.execute("RESET ROLE; RESET ALL")  # what an earlier file set
                return await way(migration)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                self.report(
                    f"{migration.file}: a lock is not free (attempt {attempt} of {LOCK_ATTEMPTS})"
                )
            except FAILURES as error:
                line = _line(migration.sql, error)
                raise MigrationError(
                    f"{migration.file}{line}: {words(error)}: correct the cause and migrate again"
                ) from error
            if attempt < LOCK_ATTEMPTS:
                await asyncio.sleep(LOCK_PAUSE * attempt)
        raise MigrationError(
            f"{migration.file}: a lock was not free in {LOCK_ATTEMPTS} attempts of {LOCK_TIMEOUT}: "
            "end the long transactions that pg_stat_activity shows and migrate again"
        )

    async def _in_transaction(self, migration: Migration) -> str | None:
        async with self.connection.transaction(isolation="read_committed"):
            if migration.phase == "contract" and await self._has_instances():
                # A pod that starts meanwhile waits here to register, and then finds the contract.
                await self.connection.execute("LOCK TABLE instances IN SHARE MODE")
            reason = await self.waits_for(migration)
            if reason is None:
                await self._record(migration)
                await self.connection.execute(migration.sql)
                await self.grant()
            return reason

    async def _alone(self, migration: Migration) -> str | None:
        reason = await self.waits_for(migration)
        if reason is None:
            if _CONCURRENTLY.search(migration.sql):
                # It waits for older transactions, as long as they take, and blocks none.
                await self.connection.execute("SET lock_timeout = 0")
            await self._drop_invalid_index(migration)
            # Not execute(): so PostgreSQL itself refuses a second statement.
            await self.connection.fetch(migration.sql)
            async with self.connection.transaction():
                await self._record(migration)
                await self.grant()
        return reason

    async def _record(self, migration: Migration) -> None:
        await self.connection.execute(
            "INSERT INTO schema_migrations (number, name, phase, checksum, applied_at)"
            " VALUES ($1, $2, $3, $4, clock_timestamp())",
            migration.number,
            migration.name,
            migration.phase,
            migration.checksum,
        )

    async def _drop_invalid_index(self, migration: Migration) -> None:
        """Clear what an interrupted run left: IF NOT EXISTS would pass the broken index."""
        match = _INDEX_MADE.search(migration.sql)
        drop = match and await self.connection.fetchval(
            "SELECT format('DROP INDEX CONCURRENTLY %I.%I', $1::text, relname)"
            " FROM pg_index"
            " JOIN pg_class ON pg_class.oid = indexrelid"
            " WHERE relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = $1)"
            " AND NOT indisvalid AND lower(relname) = lower($2)",
            self.schema,
            match[1],
        )
        if drop:
            self.report(f"{migration.file}: an interrupted run left an invalid index: {drop}")
            await self.connection.execute(drop)

    async def grant(self) -> None:
        """Give the service's role what it needs and no more: with the file that makes it."""
        if self.app_role is not None:
            for row in await self.connection.fetch(_GRANTS, self.schema, self.app_role):
                await self.connection.execute(row["statement"])


def _line(sql: str, error: BaseException) -> str:
    position = getattr(error, "position", None)
    return f", line {sql.count(chr(10), 0, int(position) - 1) + 1}" if position else ""
