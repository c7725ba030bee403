"""GET /revocations: the long poll, and that thousands of them cost one query. DIST-8."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import msgspec
import pytest

from service.app import App, open_app
from service.flows import feed_pages, feed_pulse
from service.flows.begin_life import begin_epoch
from service.settings import Settings
from service.sql.feed import lock_head
from service.sql.signing_keys import read_clock
from tests.conftest import MakeApp, MakeSettings, until
from tests.http.follower import Answer, Follower, publish, publish_elsewhere, write_facts
from tests.http.refusals import assert_refused


@pytest.fixture(scope="module")
async def site(make_settings: MakeSettings) -> Settings:
    return await make_settings()


@pytest.fixture(scope="module")
async def pod(site: Settings) -> AsyncIterator[App]:
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(open_app(site, "0.0.0-test"))
        await until(lambda: opened.services.readiness.ready)
        yield opened


@pytest.fixture
async def follower(pod: App) -> Follower:
    """One that has everything so far, and at least one entry."""
    await publish(pod)
    return await Follower(pod).catch_up()


async def test_what_this_pod_publishes_is_answered_at_once(pod: App, follower: Follower) -> None:
    """With a heartbeat that names it, though the pod has not read its database again."""
    before = follower.number
    waiting = await follower.waiting(follower.follow())
    ids = await write_facts(pod)
    began = time.monotonic()
    await pod.services.keeper.publish()
    answer = await waiting
    assert time.monotonic() - began < 0.5
    assert answer.subjects == ids
    assert answer.beat.head == before + 1
    assert answer.beat.time - 2000 < answer.beat.database_read_at <= answer.beat.time


async def test_what_another_pod_publishes_is_heard_through_redis(
    make_app: MakeApp, site: Settings, pod: App, follower: Follower
) -> None:
    other = await make_app(site)
    waiting = await follower.waiting(follower.follow())
    read, heard = pod.services.keeper._read_state, asyncio.Event()

    async def read_later() -> Any:
        await heard.wait()
        return await read()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pod.services.keeper, "_read_state", read_later)
        ids = await publish(other)
        try:
            async with asyncio.timeout(5):
                assert (await waiting).subjects == ids
        finally:
            heard.set()


async def test_what_nobody_told_is_found_by_reading_the_database(
    pod: App, follower: Follower
) -> None:
    waiting = await follower.waiting(follower.follow())
    ids = await publish_elsewhere(pod)
    began = time.monotonic()
    answer = await waiting
    assert time.monotonic() - began < 3
    assert answer.subjects == ids


async def test_without_news_the_heartbeat_comes_when_the_wait_is_over(follower: Follower) -> None:
    for wait in (0, 1):
        began = time.monotonic()
        answer = await follower.follow(wait=wait)
        assert wait <= time.monotonic() - began < wait + 0.5
        assert (answer.entries, answer.beat.head) == ([], follower.number)
        assert answer.cache == "no-store"


async def test_heartbeats_rise_and_are_signed_once_a_second(
    follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    times, until_then = [], time.monotonic() + 2.5
    while time.monotonic() < until_then:
        times.append((await follower.follow(wait=0)).beat.time)
        await asyncio.sleep(0.01)
    assert times == sorted(times)
    assert 2 <= len(set(times)) <= 4
    assert counts["sign"] <= 3
    assert len(times) > 20


async def test_who_is_ahead_of_this_pod_waits_until_it_has_more(
    pod: App, follower: Follower
) -> None:
    """Another pod answered last time, and this one has not heard of it yet."""
    ahead = follower.ask(epoch=follower.epoch, after=follower.number + 1)
    waiting = await follower.waiting(ahead)
    await publish(pod)
    await asyncio.sleep(0.05)
    assert not waiting.done()
    ids = await publish(pod)
    assert (await waiting).subjects == ids


async def test_a_new_epoch_is_answered_from_its_floor(make_app: MakeApp, site: Settings) -> None:
    pod = await make_app(site)
    ids = await publish(pod)
    follower = await Follower(pod).catch_up()
    waiting = await follower.waiting(follower.follow())
    async with pod.services.database.transaction() as connection:
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    answer = await waiting
    assert answer.beat.epoch > head.epoch
    while ids[0] not in answer.subjects:  # every fact that still matters is published anew
        answer = await follower.follow()
    assert follower.epoch > head.epoch


async def test_a_thousand_followers_cost_no_query_and_one_encoding(
    pod: App, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    waiting = await many_waiting(follower, 1000)
    assert gauge(pod) == 1000
    await publish(pod)
    answers = await asyncio.gather(*waiting)
    assert {answer.beat.head for answer in answers} == {follower.number + 1}
    assert gauge(pod) == 0
    assert (counts["list_page"], counts["Page"]) == (0, 1)
    assert counts["sign"] <= 2


async def test_a_thousand_followers_cost_one_query_where_another_pod_published(
    pod: App, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = count_work(monkeypatch)
    waiting = await many_waiting(follower, 1000)
    await publish_elsewhere(pod)
    answers = await asyncio.gather(*waiting)
    assert {answer.beat.head for answer in answers} == {follower.number + 1}
    assert counts["list_page"] <= 1
    assert counts["Page"] == 1
    assert counts["sign"] <= 2


def count_work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How often a page is read or made and a heartbeat is signed from here on."""
    counts: dict[str, int] = {}

    def count(module: Any, name: str) -> None:
        original, counts[name] = getattr(module, name), 0

        def counted(*args: Any, **kwargs: Any) -> Any:
            counts[name] += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(module, name, counted)

    count(feed_pages, "list_page")
    count(feed_pages, "Page")
    count(feed_pulse, "sign")
    return counts


async def many_waiting(follower: Follower, count: int) -> list["asyncio.Task[Answer]"]:
    news = follower.app.services.keeper.news
    place = {"epoch": follower.epoch, "after": follower.number}
    waiting = [asyncio.ensure_future(follower.ask(**place)) for _ in range(count)]
    await until(lambda: news.followers == count)
    return waiting


def gauge(pod: App) -> float | None:
    return pod.services.metrics.registry.get_sample_value("watchword_feed_followers")


async def test_other_requests_come_between_while_a_thousand_followers_wake(
    pod: App, follower: Follower
) -> None:
    waiting = await many_waiting(follower, 1000)
    publishing = asyncio.ensure_future(publish(pod))
    done: list[int] = []
    while not all(task.done() for task in waiting):
        done.append(sum(task.done() for task in waiting))
        await asyncio.sleep(0)
    await publishing
    assert len({count for count in done if 0 < count < 1000}) > 10


async def test_who_leaves_leaves_nothing_behind(pod: App, follower: Follower) -> None:
    before = asyncio.all_tasks()
    left = asyncio.Event()
    calls = [asyncio.ensure_future(call(pod, follower, left)) for _ in range(20)]
    await until(lambda: pod.services.keeper.news.followers == 20)
    left.set()
    began = time.monotonic()
    await asyncio.gather(*calls)
    assert time.monotonic() - began < 5
    assert pod.services.keeper.news.followers == 0
    await until(lambda: {task for task in asyncio.all_tasks() - before if is_ours(task)} == set())


def is_ours(task: "asyncio.Task[Any]") -> bool:
    """Not one of the pod's own loops, which come and go."""
    return "revocation_feed" in repr(task)


async def call(pod: App, follower: Follower, left: asyncio.Event) -> None:
    """A long poll by a client that goes away once `left` is set."""
    first = True

    async def receive() -> dict[str, Any]:
        nonlocal first
        if first:
            first = False
            return {"type": "http.request", "body": b"", "more_body": False}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(_: Any) -> None:
        return

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "https",
        "path": "/revocations",
        "query_string": f"epoch={follower.epoch}&after={follower.number}".encode(),
        "headers": [(b"host", b"localhost:8000")],
        "client": ("127.0.0.1", 1),
    }
    await pod.asgi(scope, receive, send)  # pyright: ignore[reportArgumentType]


async def test_a_drain_releases_those_who_wait(make_app: MakeApp, site: Settings) -> None:
    """And who comes later waits a second at most: it would ask again and again."""
    pod = await make_app(site)
    await publish(pod)
    follower = await Follower(pod).catch_up()
    waiting = await follower.waiting(follower.follow())
    await asyncio.sleep(1)
    pod.services.drain()
    began = time.monotonic()
    answer = await waiting
    assert (answer.entries, answer.beat.head) == ([], follower.number)
    assert time.monotonic() - began < 0.5
    await follower.follow()
    assert 1 <= time.monotonic() - began < 2
    assert (await follower.http.get("/readyz")).status_code == 503


async def test_followers_leave_connections_to_others(make_app: MakeApp, site: Settings) -> None:
    pod = await make_app(msgspec.structs.replace(site, max_connections=8))
    await publish(pod)
    follower = await Follower(pod).catch_up()
    waiting = await many_waiting(follower, 6)
    refused = await follower.get(epoch=follower.epoch, after=follower.number)
    assert_refused(refused, "temporarily_unavailable", 503)
    assert refused.headers["retry-after"] == "1"
    assert (await follower.follow(wait=0)).entries == []
    ids = await publish(pod)
    assert [(await task).subjects for task in waiting] == [ids] * 6
