"""python -m bench many-sessions [MANY [ROTATIONS]]: a rotation among ten million sessions."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.rotations import WORKERS, Turn, embedded_postgres, fill, open_for_rotations, rotate
from bench.servers import family_seconds
from bench.table import print_row, progress

_FEW = 10_000
_ROUNDS = 9
# A server as one has it for so many; nothing but rotations is at work while they are measured.
_SETTINGS = {"shared_buffers": "2GB", "max_wal_size": "16GB", "checkpoint_timeout": "1d"}


@dataclass
class _Table:
    """A database with so many sessions; seconds and CPU per rotation, a number for each round."""

    url: str
    sessions: int
    generations: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def measure_many_sessions(many: int = 10_000_000, rotations: int = 40_000) -> None:
    """Rotations among many sessions and among few, in turn, in one PostgreSQL."""
    with embedded_postgres(**_SETTINGS, autovacuum="off") as postgres:
        tables: list[_Table] = []
        for sessions in (_FEW, many):
            name = f"sessions_{sessions}"
            postgres.create_database(name)
            tables.append(_Table(postgres.url(name), sessions))
        asyncio.run(_measure(tables, postgres.pid, rotations))
    few, most = tables
    print_row("what", "ms", f"x {_FEW}", "target", "note")
    for name, target, here, there in (
        ("rotation, time", "1.2", most.seconds, few.seconds),
        ("rotation, CPU of PostgreSQL", "", most.cpu, few.cpu),
    ):
        ratios = [one / other for one, other in zip(here, there, strict=True)]
        print_row(
            name,
            f"{statistics.median(here) * 1000:.3f}",
            f"{statistics.median(ratios):.2f}",
            target,
            f"{min(ratios):.2f} to {max(ratios):.2f}; {many} sessions, {WORKERS} connections",
        )


async def _measure(tables: list[_Table], postmaster: int, rotations: int) -> None:
    for table in tables:
        progress(f"making {table.sessions} sessions")
        await fill(table.url, table.sessions)
    for number in range(_ROUNDS + 1):  # the first fills the caches
        for table in tables:
            progress(f"{table.sessions} sessions: round {number} of {_ROUNDS}")
            await _rotate_some(table, postmaster, rotations)
    for table in tables:
        del table.seconds[0], table.cpu[0]
    progress("")


async def _rotate_some(table: _Table, postmaster: int, rotations: int) -> None:
    database, client = await open_for_rotations(table.url)
    before, began = family_seconds(postmaster), time.perf_counter()
    await rotate(database, client, [_turns(table, it, rotations) for it in range(WORKERS)])
    table.seconds.append((time.perf_counter() - began) / rotations)
    table.cpu.append((family_seconds(postmaster) - before) / rotations)
    await database.close()


def _turns(table: _Table, worker: int, rotations: int) -> Iterator[Turn]:
    """Any of the worker's sessions, again and again."""
    for _ in range(rotations // WORKERS):
        number = random.randrange(worker, table.sessions, WORKERS)
        yield number, table.generations[number]
        table.generations[number] += 1
