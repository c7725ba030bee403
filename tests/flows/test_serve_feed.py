"""Serving the feed: what a pod can vouch for at each moment, whatever it has read so far."""

import asyncio
from collections.abc import AsyncIterator
from typing import LiteralString

import asyncpg
import msgspec
import pytest

from service.flows import feed_pages
from service.flows.begin_life import begin_epoch
from service.flows.feed_pages import FeedPages
from service.flows.serve_feed import Ask, FeedAnswer, FeedServer
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.feed import Head
from service.sql.connection import DatabaseUnavailable
from service.sql.feed import lock_head
from service.sql.signing_keys import read_clock
from tests.conftest import MakeSettings
from tests.faults.parts import Parts, add_entries, open_parts

pytestmark = pytest.mark.anyio


@pytest.fixture
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as opened:
        await add_entries(opened, 5)
        await opened.keeper.tick()
        yield opened


@pytest.fixture
def server(parts: Parts) -> FeedServer:
    """Without anything in memory."""
    parts.keeper.news.tail._entries.clear()
    return FeedServer(parts.database, parts.keeper, max_followers=10)


async def ask(server: FeedServer, **members: object) -> FeedAnswer:
    async def never() -> None:
        await asyncio.Event().wait()

    members = {"wait": 0, **members}
    return await server.answer(Ask(**members), never)  # pyright: ignore[reportArgumentType]


def entries(answer: FeedAnswer) -> int:
    return len(msgspec.json.decode(answer.body)["entries"])


async def place(parts: Parts, behind: int) -> dict[str, object]:
    head = await parts.head()
    return {"epoch": head.epoch, "after": head.number - behind}


async def execute(parts: Parts, statement: LiteralString) -> None:
    async with parts.database.connection() as connection:
        await connection.execute(statement)


async def test_an_epoch_that_was_not_read_yet_is_not_served(
    parts: Parts, server: FeedServer
) -> None:
    """This pod publishes in it already, but knows neither its floor nor what killed the old one."""
    old = await place(parts, 2)
    async with parts.database.transaction() as connection:
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    await parts.keeper.publish()
    newest, news = parts.keeper.newest(), parts.keeper.news.count
    assert newest is not None
    assert newest.epoch > head.epoch
    answer = await ask(server, **old)
    assert entries(answer) == 2
    await parts.keeper.tick()
    assert parts.keeper.news.count > news  # those who wait in the old epoch are told
    assert entries(await ask(server, **old)) == newest.number


async def test_entries_that_are_gone_are_no_empty_page(parts: Parts, server: FeedServer) -> None:
    """Another pod left the epoch and purged it, or the database lost them: soon this pod knows."""
    await execute(parts, "DELETE FROM feed_entries")
    with pytest.raises(TemporarilyUnavailable):
        await ask(server, **await place(parts, 3))


async def test_a_page_with_a_hole_is_not_kept_by_caches(
    parts: Parts, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first entries fell below the floor between reading it and reading them."""
    monkeypatch.setattr(feed_pages, "PAGE_ENTRIES", 2)
    begin = await place(parts, 5)
    await execute(parts, "DELETE FROM feed_entries WHERE number = 1")
    answer = await ask(server, **begin)
    assert entries(answer) == 2
    assert not answer.immutable
    begin = await place(parts, 4)
    answer = await ask(server, **begin)
    assert entries(answer) == 2
    assert answer.immutable


async def test_a_busy_database_is_not_taken_for_one_that_is_away(
    parts: Parts, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise asyncpg.QueryCanceledError

    monkeypatch.setattr(feed_pages, "list_page", busy)
    with pytest.raises(DatabaseUnavailable):
        await ask(server, **await place(parts, 1))


async def test_pages_in_memory_are_bounded(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_pages, "PAGE_ENTRIES", 1)
    parts.keeper.news.tail._entries.clear()
    head = await parts.head()
    pages = FeedPages(parts.database, parts.keeper.news.tail)
    page = await pages.find(0, head)
    assert page is not None
    monkeypatch.setattr(feed_pages, "_KEPT_BYTES", 2 * page.size + 100)
    for after in range(head.number):
        await pages.find(after, head)
    assert len(pages._kept) == 2
    assert pages._bytes == sum(each.size for each in pages._kept.values())


async def test_a_last_page_grows_and_a_full_one_stays(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_pages, "PAGE_ENTRIES", 3)
    parts.keeper.news.tail._entries.clear()
    head = await parts.head()
    pages = FeedPages(parts.database, parts.keeper.news.tail)
    before = Head(head.epoch, 2, b"")
    first = await pages.find(0, before)
    assert first is not None
    assert (first.full, first.head.number) == (False, 2)
    full = await pages.find(0, head)
    assert full is not None
    assert (full.full, full.head.number) == (True, 3)
    monkeypatch.setattr(feed_pages, "list_page", None)
    assert await pages.find(0, Head(head.epoch, 99, b"")) is full
