"""Guesses are counted before they are judged: for all pods in Redis, by each alone without it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from types import SimpleNamespace
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from service.embedded.redis import EmbeddedRedis
from service.redis import login_limits, rate_limits
from service.redis.rate_limits import RateLimit
from tests.redis.login_attempts import NOWHERE, Make, attempt, maker, taken

pytestmark = pytest.mark.anyio


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(params=["shared", "own"])
def url(
    request: pytest.FixtureRequest, redis_server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> str:
    """Redis, and none: RATE-4 wants the same limits of both."""
    if request.param == "own":
        return NOWHERE
    monkeypatch.setattr(rate_limits, "_SECONDS", 60.0)  # a busy machine is no outage
    return redis_server.url


@pytest.fixture
def make(url: str, closing: AsyncExitStack) -> Make:
    """A pod's limit, under a prefix of the test's own."""
    return maker(url, closing)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock that windows go by, standing still."""
    clock = SimpleNamespace(now=1_000_000_000.0)
    monkeypatch.setattr(login_limits, "time", SimpleNamespace(time=lambda: clock.now))
    return clock


async def test_no_number_of_parallel_guesses_exceeds_the_limit(make: Make) -> None:
    """RATE-3, RATE-4: 200 at once, a limit of 5."""
    limit = make(per_account_and_address=5)
    places = await asyncio.gather(*(limit.take(attempt()) for _ in range(200)))
    assert sum(place.retry_after is None for place in places) == 5


async def test_no_number_of_pods_exceeds_the_limit(
    redis_server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-3."""
    monkeypatch.setattr(rate_limits, "_SECONDS", 60.0)
    make = maker(redis_server.url, closing)
    pods = [make(per_account_and_address=5) for _ in range(4)]
    places = await asyncio.gather(*(pod.take(attempt()) for pod in pods for _ in range(50)))
    assert sum(place.retry_after is None for place in places) == 5
    assert not any(pod.away for pod in pods)


async def test_a_guess_too_many_is_told_when_to_come_back(make: Make) -> None:
    """RATE-1, RATE-4: 10 in 15 minutes, unless told otherwise."""
    limit = make(window=timedelta(days=365))
    assert len(await taken(limit, 10)) == 10
    place = await limit.take(attempt())
    assert place.retry_after is not None
    assert timedelta(0) < place.retry_after <= timedelta(days=365)


async def test_other_addresses_and_accounts_are_not_locked(make: Make) -> None:
    """RATE-1: an account's own guesses refuse nothing elsewhere."""
    limit = make(per_account_and_address=2)
    assert len(await taken(limit, 3)) == 2
    assert await taken(limit, 1, attempt(address="192.0.2.8"))
    assert await taken(limit, 1, attempt(account="bob"))


async def test_an_address_has_its_own_limit_whatever_the_accounts(make: Make) -> None:
    """RATE-1: and what was refused before counts nothing towards it."""
    limit = make(per_account_and_address=2, per_address=4)
    assert len(await taken(limit, 30)) == 2
    assert len(await taken(limit, 30, attempt(account="bob"))) == 2
    assert await taken(limit, 1, attempt(account="carol")) == []
    assert await taken(limit, 1, attempt(account="carol", address="192.0.2.8"))


async def test_a_success_resets_only_the_counter_of_account_and_address(make: Make) -> None:
    """RATE-3."""
    limit = make(per_account_and_address=3, per_address=5)
    await taken(limit, 2)
    await limit.succeed(await limit.take(attempt()))
    assert len(await taken(limit, 30)) == 3
    assert await taken(limit, 1, attempt(account="bob")) == []


async def test_those_who_know_their_password_are_never_refused(make: Make) -> None:
    """RATE-3: a success takes no place of the address."""
    limit = make(per_account_and_address=2, per_address=4)
    for _ in range(20):
        (place,) = await taken(limit, 1)
        await limit.succeed(place)
    assert len(await taken(limit, 30)) == 2
    assert len(await taken(limit, 30, attempt(account="bob"))) == 2


async def test_an_attempt_that_was_not_judged_counts_nothing(make: Make) -> None:
    limit = make(per_account_and_address=2)
    for _ in range(20):
        (place,) = await taken(limit, 1)
        await limit.give_back(place)
    assert len(await taken(limit, 30)) == 2


async def test_a_place_given_back_after_a_reset_is_none_too_many(make: Make) -> None:
    """RATE-3: no counter goes below nothing."""
    limit = make(per_account_and_address=3)
    one, *others = await taken(limit, 3)
    await limit.succeed(one)
    for other in others:
        await limit.give_back(other)
    assert len(await taken(limit, 30)) == 3


async def test_who_was_refused_has_nothing_to_give_back(make: Make) -> None:
    limit = make(per_account_and_address=2)
    await taken(limit, 2)
    refused = await limit.take(attempt())
    await limit.give_back(refused)
    await limit.succeed(refused)
    assert await taken(limit, 1) == []


async def test_the_windows_end_frees(make: Make, clock: SimpleNamespace) -> None:
    limit = make(per_account_and_address=2, window=timedelta(seconds=100))
    assert len(await taken(limit, 3)) == 2
    clock.now += 99
    place = await limit.take(attempt())
    assert place.retry_after == timedelta(seconds=1)
    clock.now += 1
    assert len(await taken(limit, 3)) == 2


async def test_the_clock_brings_the_windows_end(make: Make) -> None:
    limit = make(per_account_and_address=1, window=timedelta(seconds=1))
    await taken(limit, 1)
    deadline = time.monotonic() + 20
    while not await taken(limit, 1):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def test_a_place_of_the_last_window_is_none_of_this_one(
    make: Make, clock: SimpleNamespace
) -> None:
    """RATE-3: neither a place given back nor a success at the window's edge."""
    limit = make(per_account_and_address=2, window=timedelta(seconds=100))
    late, later = await taken(limit, 2)
    clock.now += 100
    assert len(await taken(limit, 1)) == 1
    await limit.give_back(late)
    await limit.succeed(later)
    assert len(await taken(limit, 30)) == 1


async def test_each_line_is_reported_once_and_refuses_nobody(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-1: by the attempt that crosses it."""
    monkeypatch.setattr(login_limits, "_ALARM_LINES", {"account": 3, "client": 5, "all": 7})
    limit = make()
    places = [await limit.take(attempt(address=f"192.0.2.{n}")) for n in range(12)]
    alarms = {n: place.alarms for n, place in enumerate(places, start=1) if place.alarms}
    assert alarms == {4: ("account",), 6: ("client",), 8: ("all",)}
    assert all(place.retry_after is None for place in places)


async def test_a_line_crossed_again_and_by_many_is_reported_once(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login_limits, "_ALARM_LINES", {"account": 3, "client": 5, "all": 500})
    limit = make(per_account_and_address=100)
    places = await asyncio.gather(*(limit.take(attempt()) for _ in range(50)))
    assert sorted(alarm for place in places for alarm in place.alarms) == ["account", "client"]
    for place in places:
        await limit.give_back(place)
    assert [place.alarms for place in await taken(limit, 10) if place.alarms] == []


async def test_a_name_has_one_counter_however_it_is_spelt(make: Make) -> None:
    limit = make(per_account_and_address=2)
    for name in ("Alice@Example.com", "ＡＬＩＣＥ@example.COM"):  # noqa: RUF001 (full-width)
        assert await taken(limit, 1, attempt(account=name))
    assert await taken(limit, 1, attempt(account="alice@example.com")) == []


async def test_nothing_of_a_stranger_stands_in_redis_nor_stays(
    redis_server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limits, "_SECONDS", 60.0)
    limit = maker(redis_server.url, closing)(per_account_and_address=1)
    for account in ("mallory", "} evil:*\r\n\0", "\ud800"):
        stranger = attempt(account=account, address="198.51.100.99", client="evil-app")
        await taken(limit, 3, stranger)
        await limit.give_back(await limit.take(stranger))
    async with Redis.from_url(redis_server.url) as redis:
        keys = [key async for key in redis.scan_iter("*")]
        ours = [key for key in keys if b":limit:" in key]
        assert ours
        assert -1 not in [await redis.ttl(key) for key in ours]
    for text in (b"mallory", b"evil", b"198.51"):
        assert [key for key in keys if text in key.lower()] == []


async def test_anything_may_happen_so_often_in_a_window(url: str, closing: AsyncExitStack) -> None:
    limit = RateLimit(url, f"t{uuid4().hex[:12]}", amount=2, window=timedelta(hours=1))
    closing.push_async_callback(limit.close)
    for _ in range(2):
        assert await limit.hit("registration-address", "192.0.2.7") is None
    wait = await limit.hit("registration-address", "192.0.2.7")
    assert wait is not None
    assert timedelta(0) < wait <= timedelta(hours=1)
    assert await limit.hit("registration-address", "192.0.2.8") is None
    assert await limit.hit("another", "192.0.2.7") is None
