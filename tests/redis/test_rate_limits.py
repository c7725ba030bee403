"""Failures are counted for all pods in Redis, and by each pod alone while Redis is away."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from service.embedded.redis import EmbeddedRedis
from service.redis import rate_limits
from service.redis.rate_limits import FailureLimit, RateLimit

pytestmark = pytest.mark.anyio

SUBJECT = "192.0.2.7"


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(own_server: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    yield own_server
    own_server.start()
    own_server.thaw()


@pytest.fixture
async def limits(server: EmbeddedRedis) -> AsyncIterator[tuple[FailureLimit, FailureLimit]]:
    """Two pods' limits of 3 a minute, under one prefix."""
    prefix = f"t{uuid4().hex[:12]}"
    pair = tuple(FailureLimit(server.url, prefix, per_minute=3) for _ in range(2))
    yield pair
    server.start()
    for limit in pair:
        await limit.close()


async def count(limit: FailureLimit, times: int, subject: str = SUBJECT) -> list[bool]:
    """Whether each of several failures is beyond the limit."""
    return [await limit.count_failure("address", subject) is not None for _ in range(times)]


async def test_failures_beyond_the_limit_are_told_when_to_come_back(
    limits: tuple[FailureLimit, FailureLimit],
) -> None:
    limit, _ = limits
    assert await count(limit, 3) == [False] * 3
    wait = await limit.count_failure("address", SUBJECT)
    assert wait is not None
    assert timedelta(0) < wait <= timedelta(seconds=60)


async def test_pods_count_together(limits: tuple[FailureLimit, FailureLimit]) -> None:
    one, other = limits
    assert await count(one, 2) == [False, False]
    assert await count(other, 2) == [False, True]


async def test_each_kind_and_subject_is_counted_alone(
    limits: tuple[FailureLimit, FailureLimit],
) -> None:
    limit, _ = limits
    assert await count(limit, 4) == [False, False, False, True]
    assert await count(limit, 1, "192.0.2.8") == [False]
    assert await limit.count_failure("client", SUBJECT) is None


async def test_what_a_stranger_sends_is_no_part_of_a_key(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    limit, _ = limits
    await count(limit, 1, "} evil:*\r\n")
    async with Redis.from_url(server.url, decode_responses=True) as redis:
        keys = [key async for key in redis.scan_iter("*")]
    assert keys
    assert not [key for key in keys if "evil" in key]


async def test_a_pod_counts_alone_while_redis_is_dead(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    one, other = limits
    await count(one, 2)
    server.kill()
    assert await count(one, 4) == [False, False, False, True]
    assert await count(other, 4) == [False, False, False, True]


async def test_the_first_of_a_subject_may_pass_unasked(server: EmbeddedRedis) -> None:
    """By each pod's own count; Redis hears of none of them."""
    limit = RateLimit(server.url, "unasked", amount=3, window=timedelta(hours=9), unasked=2)
    seen = [await limit.hit("code", SUBJECT) for _ in range(6)]
    assert [it is not None for it in seen] == [False] * 5 + [True]
    server.kill()
    assert await limit.hit("code", "another") is None
    seen = [await limit.hit("code", "another") for _ in range(3)]
    assert [it is not None for it in seen] == [False, False, True]
    await limit.close()


async def test_one_failure_waits_for_a_frozen_redis_and_the_next_do_not(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    limit, _ = limits
    await count(limit, 1)
    server.freeze()
    began = time.monotonic()
    await count(limit, 1)
    assert 0.05 <= time.monotonic() - began < 1
    began = time.monotonic()
    await count(limit, 200)
    assert time.monotonic() - began < 1


async def test_pods_count_together_again_when_redis_is_back(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    one, other = limits
    server.kill()
    await count(one, 1)
    await count(other, 1)
    server.start()
    assert await count(one, 1, "another") == [False]
    for limit in limits:
        limit._closed_until = time.monotonic()
    assert await count(one, 2, "shared") == [False, False]
    assert await count(other, 2, "shared") == [False, True]


async def test_a_pods_own_count_begins_anew_with_each_minute(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    limit, _ = limits
    server.kill()
    assert await count(limit, 4) == [False, False, False, True]
    limit._own._ends_at = time.monotonic()
    assert await count(limit, 4) == [False, False, False, True]


async def test_a_flood_of_subjects_costs_the_last_as_little_as_the_first(
    limits: tuple[FailureLimit, FailureLimit], server: EmbeddedRedis
) -> None:
    limit, _ = limits
    server.kill()
    began = time.process_time()
    for number in range(20_000):
        await limit.count_failure("client", str(number))
        await asyncio.sleep(0)
    assert time.process_time() - began < 5


async def test_a_flood_of_subjects_takes_bounded_memory(
    limits: tuple[FailureLimit, FailureLimit],
    server: EmbeddedRedis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limit, _ = limits
    server.kill()
    monkeypatch.setattr(rate_limits, "_MAX_SUBJECTS", 100)
    for number in range(250):
        await limit.count_failure("client", str(number))
    assert len(limit._own._counts) <= 100
