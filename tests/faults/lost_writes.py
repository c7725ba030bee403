"""A database that loses its last writes, as a fail-over or a restored backup does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from uuid import UUID, uuid4

from service.flows.begin_life import begin_epoch
from service.flows.keep_feed import FeedKeeper
from service.flows.load_keys import renew_keys
from service.oauth.feed import Head
from service.sql.feed import lock_head
from service.sql.signing_keys import read_clock
from tests.faults.parts import Parts

_TABLES = (
    "clients",
    "client_secrets",
    "users",
    "sessions",
    "signing_keys",
    "revocations",
    "feed",
    "feed_entries",
)


async def remember(parts: Parts) -> Head:
    """Keep what stands in the database, for `lose` to come back to; its head."""
    async with parts.database.transaction() as connection:
        await connection.execute("DROP SCHEMA IF EXISTS memory CASCADE; CREATE SCHEMA memory")
        for table in _TABLES:
            await connection.execute(f"CREATE TABLE memory.{table} AS TABLE {table}")
    return await parts.head()


async def lose(parts: Parts, *, promoted: bool = True) -> None:
    """Lose all that was written since `remember`, with the life that wrote it.

    `promoted` False leaves the timeline as it was, as a crash does, or a restored snapshot.
    """
    await lose_alive(parts)
    await die(parts, promoted=promoted)


async def lose_alive(parts: Parts) -> None:
    """Lose all that was written since `remember`, and keep the life."""
    async with parts.database.transaction() as connection:
        await connection.execute("SET LOCAL session_replication_role = 'replica'")
        for table in _TABLES:
            await connection.execute(f"DELETE FROM {table}")  # noqa: S608 (ours)
            await connection.execute(
                f"INSERT INTO {table} OVERRIDING SYSTEM VALUE TABLE memory.{table}"
            )


async def die(parts: Parts, *, promoted: bool) -> None:
    """End the database's life without losing a write; `promoted`: on a new timeline."""
    async with parts.database.transaction() as connection:
        await connection.execute("DELETE FROM database_life")
        if promoted:
            await connection.execute("UPDATE database_history SET timeline = '00000000'")


async def begin_anew(opened: Parts) -> Parts:
    """Parts of a pod that was just started, over a whole feed of a few entries in a new epoch."""
    async with opened.database.transaction() as connection:
        await connection.execute("DELETE FROM database_life; DELETE FROM database_history")
        await connection.execute("DELETE FROM revocations")
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    await renew_keys(opened.database, opened.keyring)
    await wipe_redis(opened)
    parts = replace(opened, keeper=new_keeper(opened))
    for _ in range(3):
        await parts.revoke()
        await parts.keeper.tick()
    await tick_until_beaten(parts)
    return parts


async def wipe_redis(parts: Parts) -> None:
    """Lose all that Redis has of these parts."""
    if keys := await parts.redis.keys(f"{{{parts.settings.redis_prefix}}}:*"):
        await parts.redis.delete(*keys)


def new_keeper(parts: Parts) -> FeedKeeper:
    """A keeper that remembers nothing."""
    return FeedKeeper(
        parts.database, parts.feed, parts.keyring, parts.settings.issuer, parts.metrics
    )


async def tick_until_beaten(parts: Parts) -> None:
    """Tick until the heartbeat names the database's head."""

    async def beaten() -> bool:
        heartbeat, head = await parts.heartbeat(), await parts.head()
        return heartbeat is not None and heartbeat.order[:2] == (head.epoch, head.number)

    await tick_until(parts, beaten)


async def tick_until(
    parts: Parts, statement: Callable[[], Awaitable[bool]], seconds: float = 10
) -> None:
    """Tick until a statement comes true, once at least."""
    async with asyncio.timeout(seconds):
        await parts.keeper.tick()
        while not await statement():
            await asyncio.sleep(0.02)
            await parts.keeper.tick()


async def fetch(parts: Parts, query: str, *args: object) -> object:
    """One value from the database."""
    async with parts.database.probe() as connection:
        return await connection.fetchval(query, *args)


async def execute(parts: Parts, query: str, *args: object) -> None:
    """A statement against the database."""
    async with parts.database.probe() as connection:
        await connection.execute(query, *args)


async def make_session(parts: Parts, client_id: str) -> UUID:
    """A living session of a new user."""
    session_id, user_id = uuid4(), uuid4()
    await execute(parts, "INSERT INTO users (id) VALUES ($1)", user_id)
    await execute(
        parts,
        """
        INSERT INTO sessions (id, user_id, client_id, client_epoch, secret_digest, incarnation,
                              scopes, audiences, auth_time, idle_expires_at, expires_at)
        SELECT $1, $2, $3, 0, sha256('x'), id, '{}', '{}', clock_timestamp(),
               clock_timestamp() + '1 day'::interval, clock_timestamp() + '2 days'::interval
        FROM database_life
        """,
        session_id,
        user_id,
        client_id,
    )
    return session_id


async def write_fact(parts: Parts, kind: str, subject: str, version: int = 0) -> None:
    """Commit a fact, without a number."""
    await execute(
        parts,
        """
        INSERT INTO revocations (kind, subject, version, expires_at, reason, actor)
        VALUES ($1, $2, $3,
                CASE WHEN $1 <> 'kid' THEN clock_timestamp() + '12 minutes'::interval END,
                'test', 'test')
        """,
        kind,
        subject,
        version,
    )
