"""A pytest plugin for the suite of an older release: its databases get this tree's expands too.

Loaded there by `-p new_schema`; WATCHWORD_NEW_MIGRATIONS is this tree's folder of migrations.
"""

import functools
import os
from pathlib import Path
from typing import Any

import asyncpg

from migrations import runner  # the older release's
from migrations.files import latest, load

_whole = runner.migrate
_applied: list[str] = []


@functools.wraps(_whole)
async def migrate(database_url: str, **options: Any) -> runner.Outcome:
    """Its own migrations, then what `watchword migrate` of this tree does while its pods live."""
    outcome = await _whole(database_url, **options)
    connection = await asyncpg.connect(database_url)
    try:
        for each in load(Path(os.environ["WATCHWORD_NEW_MIGRATIONS"])):
            if each.number > latest() and each.phase == "expand":
                await connection.execute(each.sql)
                await connection.execute(
                    "INSERT INTO schema_migrations (number, name, phase, checksum, applied_at)"
                    " VALUES ($1, $2, $3, $4, clock_timestamp())",
                    each.number,
                    each.name,
                    each.phase,
                    each.checksum,
                )
                _applied.append(each.name)
    finally:
        await connection.close()
    return outcome


runner.migrate = migrate


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say what was added, lest the suite pass on its own schema."""
    terminalreporter.write_line(f"added {' '.join(sorted(set(_applied))) or 'nothing'}")
