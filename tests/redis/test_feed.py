"""The feed in Redis, key by key, as docs/reference/revocation-feed.md promises it."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from service.embedded.redis import EmbeddedRedis
from service.keys.jwk import Verifier
from service.oauth.feed import (
    ENTRY_TYP,
    HEARTBEAT_TYP,
    entry_claims,
    genesis,
    heartbeat_claims,
    next_head,
    read_entry,
    read_heartbeat,
)
from service.oauth.jws import encode_base64url, parse_compact, parse_payload
from service.oauth.revocation import Fact
from service.redis.connection import RedisConnection
from service.redis.feed import Beat, RedisFeed, SignedEntry

pytestmark = pytest.mark.anyio

PAGE = Path(__file__).parents[2] / "docs/reference/revocation-feed.md"
SOON = datetime.now(UTC) + timedelta(hours=1)
GARBAGE = b"\xff\xfe\x00 not UTF-8"


class Copy:
    """A feed under a prefix of its own, one epoch of it, and a tamperer's connection."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self.prefix, self.epoch = f"t{uuid4().hex[:12]}", str(uuid4())
        self.root = f"{{{self.prefix}}}:feed"
        self.stream, self.heartbeat = f"{self.root}:{self.epoch}:entries", f"{self.root}:heartbeat"
        self.connection = RedisConnection(server.url, seconds=2, pause=0)
        self.feed = RedisFeed(self.connection, self.prefix)
        self.redis = Redis.from_url(server.url)

    async def append(self, *numbers: int, floor: int = 1, facts: tuple[Fact, ...] = ()) -> int:
        entries = [SignedEntry(number, f"jws-{number}", facts) for number in numbers]
        return await self.feed.append(self.epoch, floor, entries)

    async def beat(self, head: int, floor: int = 1, *, old: str = "", new: str = "new") -> Beat:
        return await self.feed.beat(self.epoch, head=head, floor=floor, old=old, new=new)

    async def ids(self) -> list[str]:
        return [id_.decode() for id_, _ in await self.redis.xrange(self.stream)]


@pytest.fixture
async def copy(redis_server: EmbeddedRedis) -> AsyncIterator[Copy]:
    copy = Copy(redis_server)
    yield copy
    await copy.connection.close()
    await copy.redis.aclose()


async def test_entries_are_added_in_order_under_their_numbers(copy: Copy) -> None:
    assert await copy.append(1, 2) == 2
    assert await copy.append(3) == 3
    assert await copy.redis.xrange(copy.stream) == [
        (f"{n}-0".encode(), {b"jws": f"jws-{n}".encode()}) for n in (1, 2, 3)
    ]


async def test_an_entry_that_is_there_is_not_added_again(copy: Copy) -> None:
    await copy.append(1, 2)
    assert await copy.append(1, 2, 3) == 3
    assert await copy.ids() == ["1-0", "2-0", "3-0"]


async def test_an_entry_after_a_gap_is_not_added_and_the_answer_says_what_is_missing(
    copy: Copy,
) -> None:
    await copy.append(1)
    assert await copy.append(3, 4) == 1
    assert await copy.ids() == ["1-0"]


async def test_an_empty_stream_begins_at_the_floor(copy: Copy) -> None:
    assert await copy.append(6, floor=7) == 6
    assert await copy.append(7, floor=7) == 7
    assert await copy.ids() == ["7-0"]


async def test_the_last_number_can_be_asked_for_without_an_entry(copy: Copy) -> None:
    assert await copy.append(floor=5) == 4
    await copy.append(5, 6, floor=5)
    assert await copy.append(floor=5) == 6


async def test_more_entries_than_one_call_takes_are_added_in_order(copy: Copy) -> None:
    assert await copy.append(*range(1, 41)) == 40
    assert await copy.ids() == [f"{n}-0" for n in range(1, 41)]


async def test_look_up_keys_come_with_their_entry_and_go_with_their_fact(copy: Copy) -> None:
    facts = (
        Fact("jti", "token", 0, SOON),
        Fact("sid", "session", 0, SOON),
        Fact("client", "orders", 7, SOON),
        Fact("stale", "session", 3, SOON),
        Fact("kid", "key", 0, None),
    )
    await copy.append(1, facts=facts)
    keys = [f"{copy.root}:{fact.kind}:{fact.subject}" for fact in facts]
    assert await copy.redis.mget(keys) == [b"1", b"1", b"7", b"3", b"1"]
    lefts = [await copy.redis.pttl(key) for key in keys]
    expected = (SOON - datetime.now(UTC)).total_seconds() * 1000
    assert all(abs(left - expected) < 2000 for left in lefts[:4])
    assert lefts[4] == -1


async def test_look_up_values_only_rise(copy: Copy) -> None:
    key = f"{copy.root}:client:orders"
    await copy.append(1, facts=(Fact("client", "orders", 7, SOON),))
    await copy.append(2, facts=(Fact("client", "orders", 6, SOON),))
    assert await copy.redis.get(key) == b"7"
    await copy.append(3, facts=(Fact("client", "orders", 8, SOON),))
    assert await copy.redis.get(key) == b"8"


async def test_a_fact_that_expired_leaves_no_look_up_key(copy: Copy) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await copy.append(1, facts=(Fact("jti", "token", 0, past),))
    assert await copy.redis.exists(f"{copy.root}:jti:token") == 0


async def test_a_heartbeat_is_written_over_a_whole_stream_alone(copy: Copy) -> None:
    await copy.append(1, 2, 3)
    assert await copy.beat(3) == Beat("beaten", 3, 3)
    assert await copy.feed.heartbeat() == "new"
    assert await copy.beat(4, old="new") == Beat("incomplete", 3, 3)
    await copy.redis.xdel(copy.stream, "2-0")
    assert await copy.beat(3, old="new") == Beat("incomplete", 3, 2)
    await copy.redis.delete(copy.stream)
    assert await copy.beat(3, old="new") == Beat("incomplete", 0, 0)


async def test_entries_newer_than_the_head_that_was_read_do_not_stop_the_heartbeat(
    copy: Copy,
) -> None:
    """Under a load of revocations there is always one between the reading and the beat."""
    await copy.append(1, 2, 3, 4)
    assert await copy.beat(3) == Beat("beaten", 4, 4)
    await copy.redis.xdel(copy.stream, "3-0")
    assert await copy.beat(3, old="new") == Beat("incomplete", 4, 3)


async def test_a_heartbeat_that_another_pod_replaced_is_left_alone(copy: Copy) -> None:
    await copy.append(1)
    await copy.beat(1, new="theirs")
    assert (await copy.beat(1, old="older", new="ours")).outcome == "overtaken"
    assert await copy.feed.heartbeat() == "theirs"


async def test_a_heartbeat_trims_what_is_below_the_floor(copy: Copy) -> None:
    await copy.append(1, 2, 3)
    assert await copy.beat(3, floor=3) == Beat("beaten", 3, 1)
    assert await copy.ids() == ["3-0"]
    assert await copy.beat(3, floor=4, old="new") == Beat("beaten", 3, 0)
    assert await copy.append(4, floor=4) == 4


async def test_with_nothing_from_floor_to_head_an_absent_stream_is_whole(copy: Copy) -> None:
    assert (await copy.beat(0)).outcome == "beaten"
    assert (await copy.beat(9, floor=10, old="new", new="newer")).outcome == "beaten"


async def test_reading_waits_for_the_next_entry(copy: Copy) -> None:
    await copy.append(1)
    assert await copy.feed.read(copy.epoch, 0, 10) == ["jws-1"]
    assert await copy.feed.read(copy.epoch, 1, 10) == []
    reading = asyncio.create_task(copy.feed.read(copy.epoch, 1, 10, block=10))
    await asyncio.sleep(0.05)
    await copy.append(2)
    assert await asyncio.wait_for(reading, 5) == ["jws-2"]


async def test_all_keys_share_one_hash_tag(copy: Copy) -> None:
    await copy.append(1, facts=(Fact("jti", "token", 0, SOON), Fact("kid", "key", 0, None)))
    await copy.beat(1)
    keys = [key.decode() async for key in copy.redis.scan_iter(f"*{copy.prefix}*", count=1000)]
    assert len(keys) == 4
    assert {re.match(r"\{(.+?)\}", key)[1] for key in keys} == {copy.prefix}


async def test_what_is_no_text_or_of_another_type_stops_nobody(copy: Copy) -> None:
    """A writer to Redis must not be able to end the feed by one key."""
    await copy.redis.lpush(f"{copy.root}:jti:token", "x")
    await copy.redis.set(f"{copy.root}:client:orders", GARBAGE)
    await copy.redis.set(f"{copy.root}:stale:session", "nan")
    await copy.redis.set(copy.stream, GARBAGE)
    facts = (
        Fact("jti", "token", 0, SOON),
        Fact("client", "orders", 7, SOON),
        Fact("stale", "session", 3, SOON),
    )
    assert await copy.append(1, 2, facts=facts) == 2
    keys = [f"{copy.root}:{fact.kind}:{fact.subject}" for fact in facts]
    assert await copy.redis.mget(keys) == [b"1", b"7", b"3"]
    await copy.redis.lpush(copy.heartbeat, "x")
    assert (await copy.beat(2, old=await copy.feed.heartbeat())).outcome == "beaten"
    await copy.redis.set(copy.heartbeat, GARBAGE)
    assert (await copy.beat(2, old=await copy.feed.heartbeat(), new="mended")).outcome == "beaten"
    assert await copy.feed.heartbeat() == "mended"


async def test_an_entry_that_is_no_text_can_be_read(copy: Copy) -> None:
    await copy.redis.xadd(copy.stream, {b"jws": GARBAGE}, id="1-0")
    await copy.redis.xadd(copy.stream, {GARBAGE: b""}, id="2-0")
    garbage, nothing = await copy.feed.read(copy.epoch, 0, 10)
    assert parse_compact(garbage) is None
    assert nothing == ""


async def test_the_stream_of_an_epoch_that_was_left_goes_by_itself(copy: Copy) -> None:
    await copy.append(1)
    await copy.feed.expire(copy.epoch, 60)
    assert 0 < await copy.redis.ttl(copy.stream) <= 60


def test_the_documented_vectors_are_what_this_server_writes() -> None:
    _, vectors = PAGE.read_text().split("## Test vectors")
    blocks = [line.strip() for line in vectors.splitlines() if line.startswith("    ")]
    genesis_digest, jwk, first, first_digest, second, second_digest, beat = blocks
    epoch = re.search(r"`([0-9a-f-]{36})`", vectors)[1]
    verifier, issuer, head = Verifier(json.loads(jwk)), "https://auth.example", genesis(epoch)
    assert encode_base64url(head.digest) == genesis_digest
    for jws, digest in ((first, first_digest), (second, second_digest)):
        claims = proven(jws, verifier, ENTRY_TYP)
        entry = read_entry(claims, issuer)
        assert claims == entry_claims(issuer, head, entry.facts)
        head = next_head(head, jws)
        assert encode_base64url(head.digest) == encode_base64url(sha256(jws.encode()).digest())
        assert encode_base64url(head.digest) == digest
    claims = proven(beat, verifier, HEARTBEAT_TYP)
    heartbeat = read_heartbeat(claims, issuer)
    assert claims == heartbeat_claims(issuer, heartbeat)
    assert (heartbeat.head, heartbeat.digest, heartbeat.floor) == (2, second_digest, 1)


def proven(jws: str, verifier: Verifier, typ: str) -> dict[str, object]:
    parsed = parse_compact(jws)
    assert verifier.verify(parsed.signing_input, parsed.signature)
    assert parsed.header["typ"] == typ
    return parse_payload(parsed.payload)


def at(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
