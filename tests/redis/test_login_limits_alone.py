"""RATE-4: a pod that Redis does not answer keeps the limits of logins by itself."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack

import pytest
from redis.asyncio.connection import AbstractConnection

from service.embedded.redis import EmbeddedRedis
from service.redis import rate_limits
from tests.redis.login_attempts import NOWHERE, attempt, maker, taken

pytestmark = pytest.mark.anyio


@pytest.fixture
async def closing() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(own_server: EmbeddedRedis) -> Iterator[EmbeddedRedis]:
    """A Redis whose plug may be pulled."""
    yield own_server
    own_server.start()
    own_server.thaw()


async def test_a_pod_counts_alone_while_redis_is_away(
    server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-4: and says so."""
    monkeypatch.setattr(rate_limits, "_SECONDS", 2.0)
    limit = maker(server.url, closing)(per_account_and_address=3)
    (place,) = await taken(limit, 1)
    assert not limit.away
    server.stop()  # and keeps what it was asked to count
    alone = await taken(limit, 30)
    assert len(alone) == 3
    assert limit.away
    await limit.succeed(place)
    assert len(await taken(limit, 30)) == 3
    server.start()
    limit._closed_until = time.monotonic()
    await taken(limit, 1)
    assert not limit.away
    for place in alone:  # taken here: Redis never counted them
        await limit.give_back(place)
    assert len(await taken(limit, 30)) == 1


async def test_one_guess_waits_for_a_frozen_redis_and_the_next_do_not(
    server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-4: but for those whose turn it was beside it."""
    limit = maker(server.url, closing)(per_account_and_address=3)
    add_shared, asked = limit._add_shared, []
    monkeypatch.setattr(limit, "_add_shared", lambda keys: asked.append(keys) or add_shared(keys))
    server.freeze()
    began = time.monotonic()
    places = await asyncio.gather(*(limit.take(attempt()) for _ in range(200)))
    assert 0.05 <= time.monotonic() - began < 2
    assert 1 <= len(asked) <= rate_limits._MAX_AT_ONCE
    assert sum(place.retry_after is None for place in places) == 3


async def test_a_wait_is_over_also_in_the_moment_in_which_a_command_was_sent(
    server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-4: there `asyncio.wait_for` loses a cancellation before Python 3.12."""
    limit = maker(server.url, closing)(per_account_and_address=3)
    send = AbstractConnection._send_packed_command

    async def send_late(connection: AbstractConnection, command: Iterable[bytes]) -> None:
        await send(connection, command)
        time.sleep(0.1)  # noqa: ASYNC251 (the loop is busy, and the 50 ms are over)
        await asyncio.sleep(0)  # and all is cancelled as this ends

    monkeypatch.setattr(AbstractConnection, "_send_packed_command", send_late)
    server.freeze()
    began = time.monotonic()
    await limit.take(attempt())
    assert time.monotonic() - began < 2


@pytest.mark.parametrize("answers", range(1, 5))
async def test_the_pods_own_count_decides_when_redis_fails_in_the_middle(
    redis_server: EmbeddedRedis,
    closing: AsyncExitStack,
    monkeypatch: pytest.MonkeyPatch,
    answers: int,
) -> None:
    """RATE-4."""
    limit = maker(redis_server.url, closing)(per_account_and_address=3)
    incr = limit._storage.incr
    calls = iter(range(1_000))

    async def fail_later(key: str, expiry: int, amount: int = 1) -> int:
        if next(calls) >= answers:
            raise ConnectionResetError
        return await incr(key, expiry, amount)

    monkeypatch.setattr(limit._storage, "incr", fail_later)
    assert len(await taken(limit, 30)) == 3
    assert limit.away


async def test_what_redis_refused_stays_refused(
    redis_server: EmbeddedRedis, closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RATE-4: it may go away before the refused attempt's place is given back."""
    limit = maker(redis_server.url, closing)(per_account_and_address=0)

    async def fail(keys: list[str]) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(limit, "_subtract_shared", fail)
    assert await taken(limit, 1) == []
    assert limit.away


async def test_a_flood_of_accounts_takes_bounded_memory(
    closing: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = maker(NOWHERE, closing)(per_address=1_000)
    monkeypatch.setattr(rate_limits, "_MAX_SUBJECTS", 100)
    for number in range(250):
        await limit.take(attempt(account=str(number)))
    assert len(limit._own._counts) <= 100
