"""python -m bench storage [ROTATIONS [SESSIONS]]: what a million rotations leave behind."""

import asyncio
import random
import time
from collections.abc import Iterator

import asyncpg

from bench.rotations import WORKERS, Turn, embedded_postgres, fill, open_for_rotations, rotate
from bench.table import print_row, progress

_SIZES = """
    SELECT pg_relation_size('sessions'), pg_indexes_size('sessions'), n_tup_upd, n_tup_hot_upd
    FROM pg_stat_user_tables WHERE relname = 'sessions'
"""
_WARM = 10


def measure_storage(rotations: int = 1_000_000, sessions: int = 1_000) -> None:
    """Sizes of table and indexes before and after, and how many updates were HOT."""
    with embedded_postgres() as postgres:
        asyncio.run(_compare(postgres.url(), rotations, sessions))


async def _compare(url: str, rotations: int, sessions: int) -> None:
    await fill(url, sessions)
    # The first rotations find their room on the page; all that follow must find the same.
    await _rotate_all(url, sessions, 0, _WARM)
    connection = await asyncpg.connect(url)
    before = await _sizes(connection)
    began = time.perf_counter()
    await _rotate_all(url, sessions, _WARM, rotations // sessions)
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
        f"{hot} HOT; {sessions} sessions, {updates / seconds:.0f}/s over {WORKERS} connections",
    )


async def _rotate_all(url: str, sessions: int, first: int, count: int) -> None:
    """Rotate each session so many times from a generation on."""
    database, client = await open_for_rotations(url)
    shares = [range(worker, sessions, WORKERS) for worker in range(WORKERS)]
    await rotate(database, client, [_turns(share, first, count) for share in shares])
    await database.close()  # which is when its backends report what they did


def _turns(share: range, first: int, count: int) -> Iterator[Turn]:
    for generation in range(first, first + count):
        progress(f"generation {generation} of {first + count}")
        for number in random.sample(share, len(share)):  # as people come, not as rows lie
            yield number, generation


async def _sizes(connection: asyncpg.Connection) -> tuple[int, int, int, int]:
    await connection.execute("SELECT pg_stat_clear_snapshot()")
    row = await connection.fetchrow(_SIZES)
    assert row is not None
    return tuple(row)
