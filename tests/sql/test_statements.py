"""Every statement of service/sql is literal, and PostgreSQL can prepare it as migrated."""

import ast
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from service.settings import Settings

ROOM = Path(__file__).parents[2] / "service/sql"
VERB = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH|LOCK)\b")


def statements() -> Iterator[tuple[str, str]]:
    """Each literal that begins with an SQL verb, and where it stands."""
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            text = node.value if isinstance(node, ast.Constant) else None
            if isinstance(text, str) and VERB.match(text):
                yield f"{path.name}:{node.lineno}", text


def built_up() -> Iterator[str]:
    """Where a text with an SQL verb is put together rather than written."""
    for path in sorted(ROOM.glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr | ast.BinOp) and any(
                isinstance(part, ast.Constant)
                and isinstance(part.value, str)
                and VERB.match(part.value)
                for part in ast.walk(node)
            ):
                yield f"{path.name}:{node.lineno}"


@pytest.fixture(scope="module")
async def connection(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    connection = await asyncpg.connect(settings.database_url.reveal())
    yield connection
    await connection.close()


@pytest.mark.parametrize(
    "statement", [pytest.param(text, id=place) for place, text in statements()]
)
async def test_postgresql_prepares_the_statement(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str
) -> None:
    await connection.prepare(statement)


def test_no_statement_is_built_up() -> None:
    assert list(built_up()) == []


def test_the_walk_finds_the_statements() -> None:
    """The other tests say nothing if it finds none."""
    assert len(list(statements())) > 40
