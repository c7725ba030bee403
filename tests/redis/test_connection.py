"""The bound on every wait for Redis, and the breaker; on a server that is killed and frozen."""

import time
from collections.abc import AsyncIterator, Iterator

import anyio
import pytest

from service.embedded.redis import EmbeddedRedis
from service.redis.connection import RedisConnection, RedisUnavailable, script

pytestmark = pytest.mark.anyio

SECONDS = 0.2


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(own_server: EmbeddedRedis) -> EmbeddedRedis:
    own_server.start()  # a test before may have killed it
    return own_server


@pytest.fixture
async def connection(server: EmbeddedRedis) -> AsyncIterator[RedisConnection]:
    opened = RedisConnection(server.url, seconds=SECONDS, pause=60)
    await opened.call(lambda r: r.set("a", "A"))
    await opened.call(lambda r: r.set("b", "B"))
    yield opened
    server.start()
    server.thaw()
    await opened.close()


async def test_a_call_answers(connection: RedisConnection) -> None:
    assert await connection.call(lambda r: r.get("a")) == "A"
    assert not connection.away


async def test_a_killed_server_is_away_at_once(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.kill()
    with pytest.raises(RedisUnavailable):
        await connection.call(lambda r: r.get("a"))
    assert connection.away


async def test_nobody_waits_longer_than_the_bound_for_a_frozen_server(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.freeze()
    began = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await connection.call(lambda r: r.get("a"))
    assert SECONDS <= time.monotonic() - began < SECONDS + 1


async def test_after_a_failure_nobody_asks_until_the_pause_is_over(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.freeze()
    with pytest.raises(RedisUnavailable):
        await connection.call(lambda r: r.get("a"))
    server.thaw()
    asked = []
    with pytest.raises(RedisUnavailable, match="a moment ago"):
        await connection.call(lambda r: asked.append(r) or r.get("a"))
    assert asked == []
    connection._closed_until = time.monotonic()
    assert await connection.call(lambda r: r.get("a")) == "A"
    assert not connection.away


async def test_an_answer_that_comes_too_late_is_nobody_elses(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.freeze()
    with pytest.raises(RedisUnavailable):
        await connection.call(lambda r: r.get("a"))
    server.thaw()
    connection._closed_until = 0
    answers = [await connection.call(lambda r: r.get("b")) for _ in range(5)]
    assert answers == ["B"] * 5


async def test_a_server_that_came_back_is_asked_again(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.kill()
    with pytest.raises(RedisUnavailable):
        await connection.call(lambda r: r.get("a"))
    server.start()
    connection._closed_until = 0
    assert await connection.call(lambda r: r.ping())


async def test_a_script_is_loaded_again_by_a_server_that_lost_it(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    add = script("return ARGV[1] + ARGV[2]")
    assert await connection.call(lambda r: add(r, [], [1, 2])) == 3
    await connection.call(lambda r: r.script_flush())
    assert await connection.call(lambda r: add(r, [], [3, 4])) == 7


async def test_a_blocking_command_has_its_own_time_on_top(connection: RedisConnection) -> None:
    began = time.monotonic()
    blocks = SECONDS * 2
    answer = await connection.call(
        lambda r: r.xread({"nothing": "0-0"}, block=int(blocks * 1000)), blocks=blocks
    )
    assert not answer
    assert time.monotonic() - began >= blocks


async def test_a_refusal_is_an_answer_and_opens_no_breaker(connection: RedisConnection) -> None:
    """A key of another type, by a writer's hand, must not keep everything else from Redis."""
    with pytest.raises(RedisUnavailable, match="refuses"):
        await connection.call(lambda r: r.lpush("a", "x"))
    assert await connection.call(lambda r: r.get("a")) == "A"
    assert not connection.away


async def test_what_is_no_text_goes_back_as_the_same_bytes(connection: RedisConnection) -> None:
    set_bytes = script("return redis.call('SET', 'raw', '\\255\\254x')")
    await connection.call(lambda r: set_bytes(r, [], []))
    text = await connection.call(lambda r: r.get("raw"))
    same = script("return redis.call('GET', 'raw') == ARGV[1] and 1 or 0")
    assert await connection.call(lambda r: same(r, [], [text])) == 1


async def test_many_callers_of_a_frozen_server_all_get_their_answer_in_time(
    connection: RedisConnection, server: EmbeddedRedis
) -> None:
    server.freeze()
    began = time.monotonic()
    failed = []

    async def ask() -> None:
        try:
            await connection.call(lambda r: r.get("a"))
        except RedisUnavailable:
            failed.append(time.monotonic() - began)

    async with anyio.create_task_group() as tasks:
        for _ in range(50):
            tasks.start_soon(ask)
    assert len(failed) == 50
    assert max(failed) < SECONDS + 1
