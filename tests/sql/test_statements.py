"""Every statement of service/sql: a literal, and one that PostgreSQL accepts on our schema."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest

from service.settings import Settings

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "service/sql").glob("*.py"))
VERB = re.compile(
    r"\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|VALUES|WITH|LOCK|TRUNCATE)\b", re.IGNORECASE
)
RUNS = {"execute", "executemany", "fetch", "fetchrow", "fetchval", "prepare", "cursor"}


class Statement(NamedTuple):
    """A statement's text, and where it stands."""

    place: str
    text: str


def statements(path: Path) -> list[Statement]:
    """The literals of a file that begin with a verb of SQL, but for docstrings."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [
        Statement(f"{path.relative_to(ROOT)}:{node.lineno}", node.value)
        for node in nodes
        if id(node) not in docstrings
        and isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and VERB.match(node.value)
    ]


def built_up(source: str) -> Iterator[int]:
    """The lines on which something else than a literal is run, or a statement is put together."""
    tree = ast.parse(source)
    constants = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(attr=name), args=[statement, *_]) if name in RUNS:
                literal = isinstance(statement, ast.Constant)
                if not literal and not (
                    isinstance(statement, ast.Name) and statement.id in constants
                ):
                    yield node.lineno
            case (
                ast.JoinedStr() | ast.BinOp() | ast.Call(func=ast.Attribute(attr="format" | "join"))
            ):
                pieces = (each.value for each in ast.walk(node) if isinstance(each, ast.Constant))
                if any(isinstance(piece, str) and VERB.match(piece) for piece in pieces):
                    yield node.lineno


async def refusals(connection: asyncpg.Connection, found: list[Statement]) -> list[str]:
    """What PostgreSQL says to each statement that it can't prepare, with its place."""
    refused: list[str] = []
    for place, text in found:
        try:
            await connection.prepare(text)
        except asyncpg.PostgresError as error:
            before = text[: int(error.position or 1) - 1]
            file, line = place.split(":")
            hint = f" ({error.hint})" if error.hint else ""
            refused.append(f"{file}:{int(line) + before.count(chr(10))}: {error.message}{hint}")
    return refused


async def test_postgresql_accepts_every_statement(settings: Settings) -> None:
    found = [statement for path in FILES for statement in statements(path)]
    assert len(found) > 40
    connection = await asyncpg.connect(settings.database_url.reveal())
    try:
        assert await refusals(connection, found) == []
        wrong = Statement("service/sql/x.py:7", "SELECT id,\n       naem\nFROM clients")
        (said,) = await refusals(connection, [wrong])
    finally:
        await connection.close()
    assert said.startswith('service/sql/x.py:8: column "naem" does not exist')
    assert "name" in said  # PostgreSQL's own hint


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_statement_is_built_up(path: Path) -> None:
    lines = list(built_up(path.read_text()))
    assert [f"{path.relative_to(ROOT)}:{line}" for line in lines] == []


@pytest.mark.parametrize(
    "statement",
    [
        'f"SELECT id FROM {table}"',
        '"SELECT id FROM clients WHERE name = " + name',
        '"SELECT id FROM %s" % table',
        '"SELECT id FROM {}".format(table)',
        '" ".join(["SELECT id", "FROM clients"])',
        "statement",
        'find(f"{verb} id FROM clients")',
    ],
)
def test_this_would_be_noticed(statement: str) -> None:
    source = f"async def find(connection):\n    return await connection.fetch({statement})\n"
    assert 2 in built_up(source)
