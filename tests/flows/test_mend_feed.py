"""Mending: whatever a writer to Redis does to the feed is undone from PostgreSQL, and counted."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from service.flows import beat_feed
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from service.oauth.feed import HEARTBEAT_TYP, heartbeat_claims
from tests.conftest import MakeSettings
from tests.faults.parts import (
    Parts,
    add_entries,
    beats_the_head,
    next_heartbeat,
    open_parts,
    subjects,
    tick_until,
)

pytestmark = pytest.mark.anyio

STRANGER = PrivateKey.generate()
Tamper = Callable[[Parts], Awaitable[None]]


@pytest.fixture(scope="module")
async def opened(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    """Parts whose heart beats faster, for many tests in a short time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(beat_feed, "_FRESH_MS", 100)
        async with open_parts(await make_settings()) as parts:
            yield parts


@pytest.fixture
async def parts(opened: Parts) -> Parts:
    """Parts with more entries than the newest that each tick looks at."""
    await add_entries(opened, 50)
    return opened


async def overwrite(parts: Parts, **members: object) -> None:
    """A heartbeat of another key's, with other claims than the true one."""
    heartbeat = await parts.heartbeat()
    assert heartbeat is not None
    claims = heartbeat_claims(parts.settings.issuer, replace(heartbeat, **members))  # pyright: ignore[reportArgumentType]
    await parts.redis.set(f"{parts.root}:heartbeat", sign(STRANGER, HEARTBEAT_TYP, claims))


async def delete_in_the_middle(parts: Parts) -> None:
    await parts.redis.xdel(await parts.stream(), f"{(await parts.head()).number - 2}-0")


async def delete_the_head(parts: Parts) -> None:
    await parts.redis.xdel(await parts.stream(), f"{(await parts.head()).number}-0")


async def delete_the_stream(parts: Parts) -> None:
    await parts.redis.delete(await parts.stream())


async def put_another_type_in_its_place(parts: Parts) -> None:
    await parts.redis.set(await parts.stream(), b"\xff")


async def add_beyond_the_head(parts: Parts) -> None:
    number = (await parts.head()).number + 7
    await parts.redis.xadd(await parts.stream(), {"jws": b"\xff"}, id=f"{number}-0")


async def take_the_next_number(parts: Parts) -> None:
    """The true entry of that number then finds its place taken."""
    number = (await parts.head()).number + 1
    await parts.redis.xadd(await parts.stream(), {"jws": "forged"}, id=f"{number}-0")
    await parts.revoke()
    await parts.keeper.publish()


async def forge_one_of_the_old(parts: Parts) -> None:
    """In a stream made anew, whose ids and length are right."""
    stream = await parts.stream()
    rows = await parts.redis.xrange(stream)
    await parts.redis.delete(stream)
    for id_, fields in rows:
        forged = id_ == rows[len(rows) // 3][0]
        await parts.redis.xadd(stream, {"jws": "forged"} if forged else fields, id=id_)


@pytest.mark.parametrize(
    ("tamper", "cause"),
    [
        (delete_in_the_middle, "tampered"),
        (delete_the_head, "tampered"),
        (delete_the_stream, "behind"),
        (put_another_type_in_its_place, "behind"),
        (add_beyond_the_head, "tampered"),
        (take_the_next_number, "tampered"),
        (forge_one_of_the_old, "tampered"),
    ],
)
async def test_a_stream_that_was_tampered_with_is_mended(
    parts: Parts, tamper: Tamper, cause: str
) -> None:
    before = parts.repairs(cause)
    await tamper(parts)
    with capture_logs() as logs:
        await tick_until(parts, lambda: is_mended(parts, cause, before))
    assert {"event": "feed_mended", "cause": cause} in [
        {name: line.get(name) for name in ("event", "cause")} for line in logs
    ]
    ids = await parts.revoke(2)
    await parts.keeper.publish()
    assert subjects(await parts.entries())[-2:] == ids


async def is_mended(parts: Parts, cause: str, before: float) -> bool:
    return parts.repairs(cause) > before and await beats_the_head(parts)


async def replace_by_garbage(parts: Parts) -> None:
    await parts.redis.set(f"{parts.root}:heartbeat", b"\xff\xfe")


async def replace_by_a_list(parts: Parts) -> None:
    await parts.redis.delete(f"{parts.root}:heartbeat")
    await parts.redis.lpush(f"{parts.root}:heartbeat", "x")


async def replace_by_an_old_one(parts: Parts) -> None:
    old = await parts.feed.heartbeat()
    await next_heartbeat(parts)
    await parts.redis.set(f"{parts.root}:heartbeat", old)


async def replace_by_a_strangers_of_a_far_epoch(parts: Parts) -> None:
    await overwrite(parts, epoch="ffffffff-ffff-7fff-bfff-ffffffffffff", head=2**53 - 1)


@pytest.mark.parametrize(
    "tamper",
    [
        replace_by_garbage,
        replace_by_a_list,
        replace_by_an_old_one,
        replace_by_a_strangers_of_a_far_epoch,
    ],
)
async def test_a_heartbeat_that_was_tampered_with_is_replaced(parts: Parts, tamper: Tamper) -> None:
    before = parts.repairs("heartbeat")
    await tamper(parts)
    with capture_logs() as logs:
        await tick_until(parts, lambda: is_mended(parts, "heartbeat", before))
    assert "feed_mended" in [line["event"] for line in logs]
