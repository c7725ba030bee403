"""GET /revocations while Redis, PostgreSQL, a key or the certainty of what was lost is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from service.app import App, open_app
from service.environment import Secret
from service.oauth.signing_key import FEED
from service.settings import Settings
from tests.conftest import MakeApp, MakeSettings, until
from tests.http.follower import Answer, Follower, publish, publish_elsewhere, write_facts
from tests.http.refusals import assert_refused

NOWHERE = Secret("redis://127.0.0.1:1/0")


@pytest.fixture
async def settings(make_settings: MakeSettings) -> Settings:
    return await make_settings()


async def test_a_flush_of_redis_is_nothing_to_a_follower(
    make_app: MakeApp, settings: Settings
) -> None:
    pod = await make_app(settings)
    ids = [*await publish(pod), *await publish(pod)]
    follower = await Follower(pod).catch_up()
    before = (await follower.ask()).entries
    async with Redis.from_url(settings.redis_url.reveal()) as redis:
        for key in await redis.keys(f"{{{settings.redis_prefix}}}:*"):
            await redis.delete(key)
    again = await follower.ask()
    assert (again.entries, again.subjects) == (before, ids)
    assert again.beat.head == 2
    waiting = await follower.waiting(follower.follow())
    more = await publish(pod)
    assert (await waiting).subjects == more


async def test_without_redis_pods_hear_of_each_other_through_the_database(
    make_app: MakeApp, settings: Settings
) -> None:
    """Revocations reach verifiers within seconds, heartbeats go on, and both numbers rise."""
    alone = msgspec.structs.replace(settings, redis_url=NOWHERE)
    one, other = await make_app(alone), await make_app(alone)
    await publish(one)
    follower = await Follower(one).catch_up()
    own = await follower.waiting(follower.follow())
    ids, began = await publish(one), time.monotonic()
    assert (await own).subjects == ids
    assert time.monotonic() - began < 3
    waiting = await follower.waiting(follower.follow())
    ids, began = await publish(other), time.monotonic()
    answer = await waiting
    assert answer.subjects == ids
    assert time.monotonic() - began < 3
    assert one.services.keeper.redis_away
    await follower.ask_until(lambda it: it.beat.time >= answer.beat.time + 1000)
    await follower.ask_until(lambda it: it.beat.database_read_at > answer.beat.database_read_at)


@asynccontextmanager
async def without_database(settings: Settings) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """PostgreSQL is away for the pods of these settings, until the given function is called."""
    address, name = settings.database_url.reveal().rsplit("/", 1)
    admin = await asyncpg.connect(f"{address}/postgres")
    away = True

    async def bring_back() -> None:
        nonlocal away
        if away:
            await admin.execute(f'ALTER DATABASE "{name}-away" RENAME TO "{name}"')
            away = False

    try:
        async with asyncio.timeout(20):
            while True:
                await admin.execute(
                    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                    " WHERE datname = $1",
                    name,
                )
                try:
                    await admin.execute(f'ALTER DATABASE "{name}" RENAME TO "{name}-away"')
                    break
                except asyncpg.ObjectInUseError:
                    await asyncio.sleep(0.01)
        yield bring_back
    finally:
        await bring_back()
        await admin.close()


@pytest.mark.slow
async def test_without_postgresql_heartbeats_go_on_and_say_since_when(
    make_app: MakeApp, settings: Settings
) -> None:
    """Also without Redis: nothing can be revoked meanwhile, so nothing is missed."""
    pod = await make_app(msgspec.structs.replace(settings, redis_url=NOWHERE))
    await publish(pod)
    follower = await Follower(pod).catch_up()
    async with without_database(settings) as bring_back:
        await until(lambda: pod.services.database.away)
        beats = [(await follower.follow(wait=1)).beat for _ in range(3)]
        assert {beat.head for beat in beats} == {follower.number}
        assert [beat.time for beat in beats] == sorted({beat.time for beat in beats})
        assert len({beat.database_read_at for beat in beats}) == 1
        assert beats[-1].time - beats[-1].database_read_at >= 2000
        waiting = await follower.waiting(follower.follow())
        await bring_back()
        ids = await when_back(pod)
        assert (await waiting).subjects == ids
    beat = (await follower.ask_until(is_fresh)).beat
    assert beat.database_read_at > beats[-1].database_read_at


async def when_back(pod: App) -> list[str]:
    await until(lambda: not pod.services.database.away)
    return await publish(pod)


def is_fresh(answer: Answer) -> bool:
    return answer.beat.time - answer.beat.database_read_at < 1500


@pytest.mark.slow
async def test_who_lacks_entries_waits_for_postgresql_and_gets_them_when_it_is_back(
    make_app: MakeApp, settings: Settings
) -> None:
    pod = await make_app(settings)
    follower = Follower(pod)
    for _ in range(3):
        await publish(pod)
    await follower.catch_up()
    pages = pod.services.feed_server._pages
    async with without_database(settings) as bring_back:
        await until(lambda: pod.services.database.away)
        # What is in memory is still given.
        held = await follower.ask(epoch=follower.epoch, after=2)
        assert held.numbers == [3]
        pages._kept.clear()
        pages._tail._entries.clear()
        alone = await follower.ask(wait=10)
        assert (alone.entries, alone.beat.head) == ([], 3)
        began = time.monotonic()
        alone = await follower.ask(epoch=follower.epoch, after=1, wait=1)
        assert (alone.entries, alone.beat.head) == ([], 3)
        assert time.monotonic() - began >= 1
        waiting = await follower.waiting(follower.ask(epoch=follower.epoch, after=1, wait=10))
        await bring_back()
        async with asyncio.timeout(6):
            assert (await waiting).numbers == [2, 3]


async def test_a_pod_that_lost_postgresql_does_not_hide_what_others_published(
    make_app: MakeApp, settings: Settings
) -> None:
    """Its heartbeat names the others' head, though it can't give the entry: stale, not fresh."""
    one, other = await make_app(settings), await make_app(settings)
    await publish(one)
    follower = await Follower(one).catch_up()
    database = one.services.database
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "_acquire_one", cut_off)
        await until(lambda: database.away)
        # And what it hears of entries goes astray.
        patch.setattr(one.services.keeper.news, "take", lambda *_: None)
        await publish(other)
        async with asyncio.timeout(20):
            while (answer := await follower.follow(wait=2)).beat.head == 1:
                pass
        assert answer.entries == []
        assert answer.beat.head == 2


async def cut_off() -> None:
    raise OSError("cut off")


async def test_before_the_first_reading_nothing_is_said(
    make_settings: MakeSettings, settings: Settings
) -> None:
    nowhere = msgspec.structs.replace(settings, database_url=Secret("postgresql://127.0.0.1:1/x"))
    async with open_app(nowhere, "0.0.0-test") as pod:
        answer = await Follower(pod).get(wait=0)
        assert_refused(answer, "temporarily_unavailable", 503)
        assert answer.headers["retry-after"] == "1"


async def test_while_it_is_unknown_what_was_lost_nothing_is_said(
    make_app: MakeApp, settings: Settings
) -> None:
    """A restored backup, and the feed can't say what it lacks."""
    pod = await make_app(settings)
    await publish(pod)
    follower = await Follower(pod).catch_up()
    waiting = asyncio.ensure_future(follower.get(epoch=follower.epoch, after=1, wait=2))
    async with Redis.from_url(settings.redis_url.reveal()) as redis, asyncio.timeout(20):
        # Again and again: a tick may be under way, which knows nothing of it.
        while not pod.services.keeper.loss_unknown:
            for key in await redis.keys(f"{{{settings.redis_prefix}}}:*"):
                await redis.delete(key)
            async with pod.services.database.connection() as connection:
                await connection.execute("DELETE FROM database_life")
                await connection.execute("UPDATE database_history SET timeline = '00000000'")
            await asyncio.sleep(0.01)
    for answer in (await follower.get(wait=0), await waiting):
        assert_refused(answer, "temporarily_unavailable", 503)
        assert answer.headers["retry-after"] == "1"


async def test_without_a_key_of_the_feed_nothing_is_signed(
    make_app: MakeApp, settings: Settings
) -> None:
    pod = await make_app(settings)
    await publish(pod)
    follower = await Follower(pod).catch_up()
    keyring = pod.services.keyring
    killed = replace(keyring.key_set(FEED), turns={})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(keyring._sets, FEED, killed)
        answer = await follower.get(epoch=follower.epoch, after=follower.number, wait=0)
        assert_refused(answer, "temporarily_unavailable", 503)


async def test_an_entry_that_redis_alone_has_heard_of_is_read_from_memory(
    make_app: MakeApp, settings: Settings
) -> None:
    """What was published when PostgreSQL died a moment later reaches who follows over HTTP."""
    one, other = await make_app(settings), await make_app(settings)
    await publish(one)
    follower = await Follower(one).catch_up()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one.services.database, "_acquire_one", cut_off)
        await until(lambda: one.services.database.away)
        ids = await publish(other)
        answer = await follower.follow()
        assert answer.subjects == ids


async def test_what_died_between_commit_and_copy_is_given_all_the_same(
    make_app: MakeApp, settings: Settings
) -> None:
    pod = await make_app(settings)
    await publish(pod)
    follower = await Follower(pod).catch_up()
    ids = [*await publish_elsewhere(pod), *await write_facts(pod)]
    seen: list[str] = []
    async with asyncio.timeout(20):
        while seen != ids:
            seen += (await follower.follow()).subjects
