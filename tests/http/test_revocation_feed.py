"""GET /revocations: which page answers which question, and how long it may be kept. DIST-8."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any
from uuid import uuid4

import pytest

from service.app import App, open_app
from service.flows import feed_pages
from service.flows.feed_pages import PAGE_BYTES, PAGE_ENTRIES
from tests.conftest import MakeSettings, until
from tests.http.follower import IMMUTABLE, Follower, publish
from tests.http.refusals import assert_refused

SOME_EPOCH = "01a1fd5f-f3f3-76b0-88d2-920cb42b79e3"


@pytest.fixture(scope="module")
async def pod(make_settings: MakeSettings) -> AsyncIterator[App]:
    """A pod whose feed has nothing but what tests of this module put there."""
    settings = await make_settings()
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_app(settings, "0.0.0-test"))
        await until(lambda: opened.services.readiness.ready)
        yield opened


@pytest.fixture
async def follower(pod: App) -> Follower:
    """One that has everything so far, which is at least three entries."""
    for _ in range(3):
        await publish(pod)
    return await Follower(pod).catch_up()


async def test_who_asks_for_nothing_gets_the_feed_from_its_floor(pod: App) -> None:
    ids = [*await publish(pod), *await publish(pod)]
    follower = Follower(pod)
    answer = await follower.follow()
    while answer.heartbeat is None:
        answer = await follower.follow()
    assert answer.subjects[-2:] == ids
    assert answer.cache == "no-store"
    head = pod.services.keeper.newest()
    assert head is not None
    assert (answer.beat.epoch, answer.beat.head) == (head.epoch, head.number)
    assert answer.beat.floor == 1


async def test_a_page_begins_after_the_number_asked_for(follower: Follower) -> None:
    for behind in (1, 2, 3):
        answer = await follower.ask(epoch=follower.epoch, after=follower.number - behind)
        assert len(answer.numbers) == behind
        assert answer.numbers[-1] == follower.number


async def test_every_entry_has_the_bytes_that_it_has_in_redis(pod: App, follower: Follower) -> None:
    """One signature each: whoever changes from one source to the other keeps the chain."""
    async with pod.services.database.connection() as connection:
        rows = await connection.fetch("SELECT jws FROM feed_entries ORDER BY number DESC LIMIT 3")
    answer = await follower.ask(epoch=follower.epoch, after=follower.number - 3)
    assert answer.entries == [row["jws"] for row in reversed(rows)]


async def test_who_is_not_in_the_epoch_begins_at_the_floor_and_never_waits(
    follower: Follower,
) -> None:
    places: list[dict[str, object]] = [
        {},
        {"after": follower.number},
        {"epoch": uuid4(), "after": follower.number},
        {"epoch": follower.epoch},
    ]
    async with asyncio.timeout(5):
        for place in places:
            answer = await follower.ask(**place, wait=10)
            assert answer.numbers[0] == 1
            assert answer.cache == "no-store"


async def test_who_is_below_the_floor_begins_at_it(make_settings: MakeSettings) -> None:
    async with open_app(await make_settings(), "0.0.0-test") as pod:
        await until(lambda: pod.services.readiness.ready)
        for _ in range(5):
            await publish(pod)
        async with pod.services.database.connection() as connection:
            await connection.execute(
                "UPDATE feed_entries SET expires_at = clock_timestamp() WHERE number <= 2"
            )
        follower = await Follower(pod).catch_up()
        await follower.ask_until(lambda answer: answer.beat.floor == 3)
        for query in ({}, {"epoch": follower.epoch, "after": 0}):
            answer = await follower.ask(**query)
            assert answer.numbers == [3, 4, 5]
        for after in (1, 2):  # the floor's neighbours are still in one piece
            answer = await follower.ask(epoch=follower.epoch, after=after)
            assert answer.numbers == [3, 4, 5]
        async with pod.services.database.connection() as connection:
            await connection.execute("UPDATE feed_entries SET expires_at = clock_timestamp()")
        empty = await follower.ask_until(lambda answer: answer.beat.floor == 6)
        assert (empty.entries, empty.beat.head) == ([], 5)
        async with asyncio.timeout(5):
            for query in ({}, {"after": 5}, {"epoch": uuid4(), "after": 5}):
                assert (await follower.ask(**query, wait=10)).entries == []


async def test_a_full_page_has_128_entries_and_never_changes(pod: App) -> None:
    follower = await Follower(pod).catch_up()
    begin = follower.number
    for _ in range(PAGE_ENTRIES + 2):
        await publish(pod)
    place: dict[str, Any] = {"epoch": follower.epoch, "after": begin}
    full = await follower.ask(**place)
    assert len(full.entries) == PAGE_ENTRIES
    assert full.heartbeat is None
    assert full.cache == IMMUTABLE
    last = await follower.ask(epoch=follower.epoch, after=full.numbers[-1])
    assert len(last.entries) == 2
    assert last.cache == "no-store"
    await publish(pod)
    assert (await follower.ask(**place)).response.content == full.response.content
    # Where it begins depends on when it was asked for.
    for elsewhere in ({}, {"epoch": uuid4(), "after": begin}, {"epoch": follower.epoch}):
        moving = await follower.ask(**elsewhere)
        assert moving.heartbeat is None
        assert moving.cache == "no-store"


async def test_a_page_ends_once_it_has_a_megabyte(pod: App) -> None:
    follower = await Follower(pod).catch_up()
    begin = {"epoch": follower.epoch, "after": follower.number}
    ids = await publish(pod, 16_000)
    full = await follower.ask(**begin)
    size = sum(len(jws) for jws in full.entries)
    assert PAGE_BYTES <= size < PAGE_BYTES + 64 * 1024
    assert len(full.entries) < PAGE_ENTRIES
    assert (full.heartbeat, full.cache) == (None, IMMUTABLE)
    last = await follower.ask(epoch=follower.epoch, after=full.numbers[-1])
    assert full.subjects + last.subjects == ids
    assert last.beat.head == last.numbers[-1]


async def test_a_killed_key_is_in_the_heartbeat_of_its_entry(pod: App) -> None:
    """DIST-6: before the pod has read its own database again."""
    follower = await Follower(pod).catch_up()
    (kid,) = await publish(pod, kind="kid")
    answer = await follower.follow()
    assert answer.subjects == [kid]
    assert kid in answer.beat.killed_kids


MALFORMED = [
    "epoch=abc",
    f"epoch={SOME_EPOCH.upper()}",
    f"epoch={SOME_EPOCH.replace('-', '')}",
    f"epoch={{{SOME_EPOCH}}}",
    f"epoch=%20{SOME_EPOCH}",
    "after=-1",
    "after=%2B1",
    "after=01",
    "after=1.0",
    "after=1e3",
    "after=x",
    "after=1%20",
    "after=%D9%A1",
    f"after={10**18}",
    "wait=11",
    "wait=-1",
    "wait=0.5",
    "wait=010",
    "wait=99999999999999999999",
    "wait=%",
    "wait=%FF",
    "wait=%00",
    "after=1&after=1",
    "wait=1&wait=2",
    "epoch=&epoch=",
]


@pytest.mark.parametrize("query", MALFORMED)
async def test_a_malformed_or_repeated_parameter_is_refused(pod: App, query: str) -> None:
    answer = await Follower(pod).http.get(f"/revocations?{query}")
    assert_refused(answer, "invalid_request")


@pytest.mark.parametrize("query", ["colour=red&colour=blue", "client_id=a&client_id=b", "", "&&"])
async def test_unknown_parameters_are_ignored(follower: Follower, query: str) -> None:
    answer = follower.prove(await follower.http.get(f"/revocations?wait=0&{query}"))
    assert answer.numbers[0] == 1


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "DELETE", "OPTIONS"])
async def test_any_other_method_is_refused(pod: App, method: str) -> None:
    answer = await Follower(pod).http.request(method, "/revocations")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
    if method != "HEAD":
        assert_refused(answer, "method_not_allowed", 405)


async def test_strangers_can_have_no_more_than_a_few_pages_read_at_once(
    pod: App, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who is at the end of the feed does not wait behind them: it is in memory."""
    read, under_way, most, go_on = feed_pages.list_page, 0, 0, asyncio.Event()

    async def held(*args: Any) -> list[tuple[int, str]]:
        nonlocal under_way, most
        under_way, most = under_way + 1, max(most, under_way + 1)
        await go_on.wait()
        under_way -= 1
        return await read(*args)

    monkeypatch.setattr(feed_pages, "list_page", held)
    monkeypatch.setattr(feed_pages, "_WAITING", 5)
    for _ in range(PAGE_ENTRIES + 10):  # what is older is no longer in memory
        await publish(pod)
    head = follower.number + PAGE_ENTRIES + 10
    asked = [
        asyncio.ensure_future(follower.get(epoch=follower.epoch, after=follower.number - 3 + each))
        for each in range(10)
    ]
    await until(lambda: sum(task.done() for task in asked) == 3)
    last = await follower.ask(epoch=follower.epoch, after=head - 1)
    assert last.numbers == [head]
    go_on.set()
    answers = await asyncio.gather(*asked)
    assert most == 2
    assert [answer.status_code for answer in answers] == [200] * 7 + [503] * 3
    for answer in answers[:7]:
        assert follower.prove(answer).cache == IMMUTABLE
    for answer in answers[7:]:
        assert_refused(answer, "temporarily_unavailable", 503)
        assert answer.headers["retry-after"] == "1"
