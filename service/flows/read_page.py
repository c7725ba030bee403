"""A page of a list for /admin."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from service.sql.connection import Connection, Database
from service.sql.pages import plan_anew

_F = TypeVar("_F")
_P = TypeVar("_P")
_T = TypeVar("_T")

# Reads so many at most of what the filter wants, from a place on.
Listing = Callable[[Connection, _F, _P | None, int], Awaitable[list[_T]]]


@dataclass(frozen=True, slots=True)
class Page(Generic[_T]):
    """What stands on the page, and whether something comes after it."""

    items: list[_T]
    is_last: bool


async def read_page(
    database: Database, listing: Listing[_F, _P, _T], wanted: _F, after: _P | None, limit: int
) -> Page[_T]:
    """Up to `limit` of what is wanted after that place. Raises DatabaseUnavailable."""
    async with database.transaction() as connection:
        await plan_anew(connection)
        found = await listing(connection, wanted, after, limit + 1)
    return Page(found[:limit], is_last=len(found) <= limit)
