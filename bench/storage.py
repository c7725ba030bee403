"""python -m bench storage [ROTATIONS [SESSIONS]]: what a million rotations leave behind."""

import asyncio
import random
import secrets
import time
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import asyncpg

from bench.table import print_row, progress
from migrations.runner import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.oauth.client import Client
from service.oauth.refresh_token import RefreshToken
from service.oauth.rotation import Presented
from service.sql.clients import find_client
from service.sql.connection import Database
from service.sql.sessions import rotate_session

_PREPARE = """
    INSERT INTO clients (id, name, type, token_endpoint_auth_method, grant_types, audiences, scopes)
    VALUES ('app', 'App', 'public', 'none', '{refresh_token}', '{https://orders.example}', '{a}');
    INSERT INTO users (id) VALUES ('00000000-0000-7000-8000-000000000000');
    INSERT INTO database_life (id, system_identifier)
    SELECT gen_random_uuid(), system_identifier FROM pg_control_system();
"""
_SESSIONS = """
    INSERT INTO sessions (id, user_id, client_id, client_epoch, secret_digest, incarnation, scopes,
                          audiences, auth_time, idle_expires_at, expires_at)
    SELECT new, '00000000-0000-7000-8000-000000000000', 'app', 0, $2, life.id, '{a}',
           '{https://orders.example}', now(), now() + interval '7 days', now() + interval '30 days'
    FROM unnest($1::uuid[]) AS new, database_life AS life
"""
_SIZES = """
    SELECT pg_relation_size('sessions'), pg_indexes_size('sessions'), n_tup_upd, n_tup_hot_upd
    FROM pg_stat_user_tables WHERE relname = 'sessions'
"""
_WORKERS = 4
_WARM = 10
_SECRET = b"s" * 32


def measure_storage(rotations: int = 1_000_000, sessions: int = 1_000) -> None:
    """Sizes of table and indexes before and after, and how many updates were HOT."""
    asyncio.run(_measure(rotations, sessions))


async def _measure(rotations: int, sessions: int) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="watchword-bench-")))
        postgres = stack.enter_context(EmbeddedPostgres(folder / "postgres"))
        await _compare(postgres.url(), rotations, sessions)


async def _compare(url: str, rotations: int, sessions: int) -> None:
    await migrate(url, report=lambda _: None)
    connection = await asyncpg.connect(url)
    await connection.execute(_PREPARE)
    ids = [UUID(bytes=secrets.token_bytes(16)) for _ in range(sessions)]
    await connection.execute(_SESSIONS, ids, sha256(_SECRET).digest())
    # The first rotations find their room on the page; all that follow must find the same.
    await _rotate_all(url, ids, 0, _WARM)
    before = await _sizes(connection)
    began = time.perf_counter()
    await _rotate_all(url, ids, _WARM, rotations // sessions)
    seconds = time.perf_counter() - began
    after = await _sizes(connection)
    await connection.close()
    progress("")
    updates, hot = after[2] - before[2], after[3] - before[3]
    print_row("what", "before", "after", "", "note")
    print_row("table, KiB", f"{before[0] / 1024:.0f}", f"{after[0] / 1024:.0f}", "", "")
    print_row("indexes, KiB", f"{before[1] / 1024:.0f}", f"{after[1] / 1024:.0f}", "", "")
    print_row(
        "rotations",
        "",
        f"{updates}",
        "",
        f"{hot} HOT; {sessions} sessions, {updates / seconds:.0f}/s over {_WORKERS} connections",
    )


async def _rotate_all(url: str, ids: list[UUID], first: int, count: int) -> None:
    """Rotate each session so many times from a generation on, by the service's own statement."""
    database = Database(url, connections=_WORKERS, statement_cache=100)
    async with database.connection() as connection:
        client = await find_client(connection, "app")
    assert client is not None
    shares = [ids[worker::_WORKERS] for worker in range(_WORKERS)]
    await asyncio.gather(*(_rotate(database, client, it, first, count) for it in shares))
    await database.close()  # which is when its backends report what they did


async def _rotate(
    database: Database, client: Client, ids: list[UUID], first: int, count: int
) -> None:
    async with database.connection() as connection:
        for generation in range(first, first + count):
            progress(f"generation {generation} of {first + count}")
            for session_id in random.sample(ids, len(ids)):  # as people come, not as rows lie
                token = RefreshToken(
                    key_id=1, session_id=session_id, generation=generation, secret=_SECRET
                )
                presented = Presented(token=token, client=client)
                assert await rotate_session(connection, presented, "off", None) is not None


async def _sizes(connection: asyncpg.Connection) -> tuple[int, int, int, int]:
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    row = await connection.fetchrow(_SIZES)
    assert row is not None
    return tuple(row)
