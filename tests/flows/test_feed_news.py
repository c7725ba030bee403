"""News for followers over HTTP: what is newest, what is kept of it, and who is told."""

import asyncio
from typing import Any

import pytest

from service.flows import feed_tail
from service.flows.feed_news import FeedNews
from service.flows.feed_tail import FeedTail
from service.oauth.feed import Head, genesis, next_head
from service.oauth.revocation import Fact
from service.redis.feed import SignedEntry

EPOCH = "01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08"
LATER = "01920f3c-8a01-7c3e-9d41-5b7f2e6a1c08"


def entry(number: int, *kids: str) -> SignedEntry:
    facts = tuple(Fact(kind="kid", subject=kid, version=0, expires_at=None) for kid in kids)
    return SignedEntry(number, f"jws-{number}", facts)


def never() -> "asyncio.Future[object]":
    return asyncio.get_running_loop().create_future()


async def test_the_newest_head_is_epoch_then_number_and_never_falls() -> None:
    news = FeedNews()
    steps = [(EPOCH, 2, 2), (EPOCH, 1, 2), (LATER, 1, 1), (EPOCH, 9, 1), (LATER, 2, 2)]
    for epoch, number, newest in steps:
        news.reach(Head(epoch, number, b""))
        assert news.head is not None
        assert news.head.number == newest
    assert news.count == 3


async def test_entries_bring_head_digest_and_killed_keys() -> None:
    news, expected = FeedNews(), genesis(EPOCH)
    for number in (1, 2):
        expected = next_head(expected, f"jws-{number}")
    news.take(EPOCH, [entry(1, "a"), entry(2, "b")])
    news.take(EPOCH, [entry(1, "a")])
    assert news.head == expected
    assert news.killed_kids == {"a", "b"}
    assert news.tail.find(EPOCH, 0, 2) == ["jws-1", "jws-2"]


async def test_who_waits_is_told_and_who_asks_late_does_not_wait() -> None:
    news = FeedNews()
    waiting = [asyncio.ensure_future(news.more(0, 60, never())) for _ in range(200)]
    await asyncio.sleep(0)
    assert news.followers == 200
    news.reach(genesis(EPOCH))
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
        await news.more(0, 60, never())
    assert news.followers == 0


async def test_news_while_many_still_wake_reaches_those_who_came_meanwhile() -> None:
    news = FeedNews()
    first = [asyncio.ensure_future(news.more(0, 60, never())) for _ in range(200)]
    await asyncio.sleep(0)
    news.tell()
    second = [asyncio.ensure_future(news.more(1, 60, never())) for _ in range(200)]
    await asyncio.sleep(0)
    news.tell()
    async with asyncio.timeout(5):
        await asyncio.gather(*first, *second)


async def test_nobody_waits_longer_than_asked_for_or_than_the_asker() -> None:
    news, gone = FeedNews(), never()
    async with asyncio.timeout(5):
        await news.more(0, 0.01, never())
        waiting = asyncio.ensure_future(news.more(0, 60, gone))
        await asyncio.sleep(0)
        gone.set_result(None)
        await waiting
        await news.more(0, 60, gone)
    assert news.followers == 0


async def test_a_cancelled_wait_leaves_nothing_behind() -> None:
    news, gone = FeedNews(), never()
    waiting = asyncio.ensure_future(news.more(0, 60, gone))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert news.followers == 0
    assert not gone._callbacks
    news.tell()
    gone.set_result(None)
    await asyncio.sleep(0)


def filled(*numbers: int) -> FeedTail:
    tail = FeedTail()
    for number in numbers:
        tail.add(EPOCH, number, f"jws-{number}")
    return tail


@pytest.mark.parametrize(
    ("after", "last", "found"),
    [
        (3, 6, ["jws-4", "jws-5", "jws-6"]),
        (4, 5, ["jws-5"]),
        (2, 6, None),
        (6, 6, None),
        (5, 7, None),
        (7, 6, None),
    ],
)
def test_the_tail_gives_all_that_was_asked_for_or_nothing(
    after: int, last: int, found: list[str] | None
) -> None:
    tail = filled(4, 5, 6, 5, 4)
    assert tail.find(EPOCH, after, last) == found
    assert tail.find(LATER, after, last) is None


def test_after_a_gap_or_in_a_new_epoch_the_tail_begins_anew() -> None:
    tail = filled(1, 2, 4)
    assert tail.find(EPOCH, 1, 4) is None
    assert tail.find(EPOCH, 3, 4) == ["jws-4"]
    tail.add(LATER, 1, "new")
    assert tail.find(EPOCH, 3, 4) is None
    assert tail.find(LATER, 0, 1) == ["new"]


def test_the_tail_never_has_more_than_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = filled(*range(1, 1000))
    assert tail.find(EPOCH, 999 - 128, 999) is not None
    assert tail.find(EPOCH, 999 - 129, 999) is None
    monkeypatch.setattr(feed_tail, "_MAX_BYTES", 20)
    tail.add(EPOCH, 1000, "jws-1000")
    assert tail.find(EPOCH, 998, 1000) == ["jws-999", "jws-1000"]
    assert tail.find(EPOCH, 997, 1000) is None
    long: Any = "x" * 21
    tail.add(EPOCH, 1001, long)
    assert tail.find(EPOCH, 1000, 1001) is None
