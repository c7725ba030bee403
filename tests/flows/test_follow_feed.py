"""Following: what is revoked on one pod is dropped from the caches of all at once."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from service.flows import follow_feed as follow
from service.flows.begin_life import begin_epoch
from service.flows.follow_feed import follow_feed
from service.flows.manage_clients import revoke_client
from service.sql.feed import lock_head
from service.sql.signing_keys import read_clock
from tests.conftest import MakeApp, MakeSettings, http_to, register, until
from tests.faults.parts import Parts, add_entries, open_parts, tick_until

pytestmark = pytest.mark.anyio

GRANT = {"grant_type": "client_credentials"}


class Caches:
    """Takes the place of the client cache; remembers what it was told to drop."""

    def __init__(self) -> None:
        self.dropped: list[str] = []

    def drop(self, client_id: str) -> None:
        self.dropped.append(client_id)


@pytest.fixture
async def parts(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as opened:
        await add_entries(opened, 2)
        yield opened


@pytest.fixture
async def caches(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Caches]:
    """What a follower drops, which pauses for a shorter time than in service."""
    monkeypatch.setattr(follow, "_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(follow, "_BLOCK_SECONDS", 0.1)
    told = Caches()
    follower = follow_feed(parts.feed, parts.keeper, told, parts.keyring, parts.settings.issuer)
    task = asyncio.create_task(follower)
    yield told
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def revoke(parts: Parts) -> str:
    """Publish a fact about a new client; its id."""
    (client_id,) = await parts.revoke(kind="client")
    await parts.keeper.publish()
    return client_id


async def test_a_disabled_client_is_refused_by_another_pod_at_once(
    make_settings: MakeSettings, make_app: MakeApp
) -> None:
    """Though that pod's cache would hold it for 5 seconds."""
    settings = await make_settings()
    one, other = await make_app(settings), await make_app(settings)
    client = await register(one)
    async with http_to(other) as http:
        assert (await http.post("/token", data=GRANT, auth=client.auth)).status_code == 200
        await revoke_client(one.services.database, client.id, enabled=False)
        one.services.keeper.nudge()
        began = time.monotonic()
        while (await http.post("/token", data=GRANT, auth=client.auth)).status_code == 200:
            assert time.monotonic() - began < 1
            await asyncio.sleep(0.001)


async def test_client_facts_are_followed_and_others_are_not(parts: Parts, caches: Caches) -> None:
    await parts.revoke()
    client_ids = [await revoke(parts) for _ in range(3)]
    await until(lambda: caches.dropped == client_ids)


async def test_a_forged_entry_is_waited_out_and_what_takes_its_place_followed(
    parts: Parts, caches: Caches
) -> None:
    before = [await revoke(parts)]
    await until(lambda: caches.dropped == before)
    number = (await parts.head()).number + 1
    await parts.redis.xadd(await parts.stream(), {"jws": b"\xff\xfe"}, id=f"{number}-0")
    await asyncio.sleep(0)
    after = await revoke(parts)
    await tick_until(parts, lambda: is_in(after, caches.dropped))


async def is_in(subject: str, dropped: list[str]) -> bool:
    return subject in dropped


async def test_what_came_while_redis_was_flushed_is_followed(parts: Parts, caches: Caches) -> None:
    for key in await parts.redis.keys(f"{parts.root}:*"):
        await parts.redis.delete(key)
    (client_id,) = await parts.revoke(kind="client")
    await tick_until(parts, lambda: is_in(client_id, caches.dropped))


async def test_a_new_epoch_is_followed_from_its_beginning(parts: Parts, caches: Caches) -> None:
    """It may have entries before this pod hears of it."""
    async with parts.database.transaction() as connection:
        head = await lock_head(connection)
        await begin_epoch(connection, head.epoch, await read_clock(connection))
    (client_id,) = await parts.revoke(kind="client")
    await parts.keeper.publish()
    await tick_until(parts, lambda: is_in(client_id, caches.dropped))


async def test_a_defect_does_not_end_the_pod(
    parts: Parts, caches: Caches, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(client_id: str) -> None:
        raise RuntimeError(client_id)

    with monkeypatch.context() as defect:
        defect.setattr(caches, "drop", fail)
        await revoke(parts)
        await asyncio.sleep(0.1)
    client_id = await revoke(parts)
    await until(lambda: client_id in caches.dropped)
