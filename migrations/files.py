"""The release's migration files, and what a database's schema is to them. No asyncpg here."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, LiteralString, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PACKAGE = Path(__file__).parent
NO_TRANSACTION = "-- migrate: no-transaction"

_FILE = re.compile(r"(([0-9]{4})(?:_[a-z0-9]+)+)\.(expand|contract)\.sql")
_DIRECTIVE = re.compile(r"^\s*--\s*migrate\s*:", re.MULTILINE | re.IGNORECASE)
_OWN_TRANSACTION = re.compile(
    r"^\s*(begin|commit|rollback|start\s+transaction)(\s+(work|transaction))?\s*;",
    re.MULTILINE | re.IGNORECASE,
)
_CREATES_OR_DROPS = re.compile(r"\b(create|drop)\b", re.IGNORECASE)
_REPEATABLE = re.compile(r"\bif\s+(not\s+)?exists\b", re.IGNORECASE)


class MigrationError(Exception):
    """The schema can't be brought up to date. The message says why, and what to do next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file of the release; `name` is its stem with the number, as in `0004_drop_avatar`."""

    number: int
    name: str
    phase: Literal["expand", "contract"]
    sql: str
    checksum: str
    in_transaction: bool

    @property
    def file(self) -> str:
        return f"{self.name}.{self.phase}.sql"


def load(directory: Path = PACKAGE) -> list[Migration]:
    """Every migration of the folder in number order. Raises MigrationError naming a faulty file."""
    paths = sorted(directory.iterdir()) if directory.is_dir() else []
    known = [
        _read(path)
        for path in paths
        if path.is_file() and path.suffix != ".py" and not path.name.startswith(".")
    ]
    if not known:
        raise MigrationError(f"no migrations in {directory}: install this release again")
    for number, migration in enumerate(known, start=1):
        if migration.number != number:
            raise MigrationError(
                f"{migration.file}: the next number is {number:04d} (they are unique and without "
                "gaps): rename this file, or bring back the one that is gone"
            )
    return known


def latest(directory: Path = PACKAGE) -> int:
    """Give the highest number that this release knows."""
    return load(directory)[-1].number


def _read(path: Path) -> Migration:
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise MigrationError(
            f"{path.name}: not NNNN_what_it_does.expand.sql or .contract.sql: rename or remove it"
        )
    content = path.read_bytes()
    try:
        sql = content.decode()
    except UnicodeDecodeError:
        raise MigrationError(f"{path.name}: not UTF-8: save it as UTF-8") from None
    in_transaction = sql.partition("\n")[0].strip() != NO_TRANSACTION
    if fault := _fault(sql, in_transaction=in_transaction):
        raise MigrationError(f"{path.name}: {fault}")
    return Migration(
        number=int(match[2]),
        name=match[1],
        phase="expand" if match[3] == "expand" else "contract",
        sql=sql,
        checksum=hashlib.sha256(content).hexdigest(),
        in_transaction=in_transaction,
    )


def _fault(sql: str, *, in_transaction: bool) -> str | None:
    if len(_DIRECTIVE.findall(sql)) != (0 if in_transaction else 1):
        return f"the only directive is {NO_TRANSACTION!r}, on the first line: correct or remove it"
    if match := _OWN_TRANSACTION.search(sql):
        return f"take out {match[0].strip()!r}: the runner opens one transaction for the file"
    # A crash between the statement and its row in schema_migrations runs the statement again.
    if not in_transaction and _CREATES_OR_DROPS.search(sql) and not _REPEATABLE.search(sql):
        return "without a transaction it must be repeatable: write IF EXISTS or IF NOT EXISTS"
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A row of schema_migrations."""

    number: int
    phase: str
    checksum: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaState:
    """What stands between a database's schema and this release."""

    missing: tuple[str, ...]
    """Expand files not applied: the release waits for `watchword migrate`."""

    edited: tuple[str, ...]
    """Files that are not the ones applied under their numbers."""

    contracted_beyond: tuple[int, ...]
    """A newer release's contracts: what they took away, this release may still use."""

    @property
    def fits(self) -> bool:
        return not (self.missing or self.edited or self.contracted_beyond)


def judge(applied: Iterable[Applied], known: Sequence[Migration]) -> SchemaState:
    """Weigh a schema for this release: newer expands and own contracts not yet applied are fine."""
    rows = {row.number: row for row in applied}
    numbers = {migration.number for migration in known}
    return SchemaState(
        missing=tuple(m.file for m in known if m.phase == "expand" and m.number not in rows),
        edited=tuple(
            m.file
            for m in known
            if (row := rows.get(m.number)) and (row.phase, row.checksum) != (m.phase, m.checksum)
        ),
        contracted_beyond=tuple(
            number
            for number, row in sorted(rows.items())
            if row.phase == "contract" and number not in numbers
        ),
    )


class Reader(Protocol):
    """An asyncpg connection or pool, as far as reading schema_migrations needs it."""

    async def fetch(self, query: LiteralString, /, *args: Any) -> list[Any]: ...


async def read_applied(connection: Reader) -> list[Applied]:
    """Read what is applied: nothing where schema_migrations is absent or not ours to read yet."""
    (access,) = await connection.fetch(
        "SELECT has_table_privilege(to_regclass('schema_migrations'), 'SELECT') AS readable"
    )
    if not access["readable"]:
        return []
    rows = await connection.fetch("SELECT number, phase, checksum FROM schema_migrations")
    return [Applied(**row) for row in rows]
