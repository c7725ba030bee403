"""Where the feed is read: whatever stands there is text, or a fault, or nobody answers."""

import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from watchword_verifier import _sources
from watchword_verifier._feed_claims import Faulty
from watchword_verifier._fetch import Fetcher
from watchword_verifier._sources import Away, HttpSource, Page, RedisSource

from service.embedded.redis import EmbeddedRedis
from tests.verifier.issuer import Answer, Issuer, serving

EPOCH = "01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08"


@pytest.fixture
async def redis(redis_server: EmbeddedRedis) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_server.url) as opened:
        yield opened


@pytest.fixture
def prefix() -> str:
    return f"t{uuid4().hex}"


@pytest.fixture
async def source(redis_server: EmbeddedRedis, prefix: str) -> AsyncIterator[RedisSource]:
    source = RedisSource(redis_server.url, prefix)
    yield source
    await source.close()


async def test_entries_follow_a_number_in_their_order(
    redis: Redis, source: RedisSource, prefix: str
) -> None:
    for number in range(1, 301):
        await redis.xadd(f"{{{prefix}}}:feed:{EPOCH}:entries", {"jws": number}, f"{number}-0")
    assert await source.entries(EPOCH, 0, wait=0) == [str(it) for it in range(1, 257)]
    assert await source.entries(EPOCH, 298, wait=0) == ["299", "300"]
    await redis.set(f"{{{prefix}}}:feed:heartbeat", "a.b.c")
    assert await source.heartbeat() == "a.b.c"


async def test_where_nothing_stands_nothing_is_read(source: RedisSource) -> None:
    assert await source.heartbeat() == ""
    began = time.monotonic()
    assert await source.entries(EPOCH, 0, wait=0.2) == []
    assert 0.1 < time.monotonic() - began < 1


async def test_what_is_no_feed_is_a_fault_or_no_token(
    redis: Redis, source: RedisSource, prefix: str
) -> None:
    """ATK-107: of another type, without its field, no text at all."""
    stream, heartbeat = f"{{{prefix}}}:feed:{EPOCH}:entries", f"{{{prefix}}}:feed:heartbeat"
    await redis.rpush(heartbeat, "a")
    await redis.rpush(stream, "a")
    for reading in (source.heartbeat(), source.entries(EPOCH, 0, wait=0)):
        with pytest.raises(Faulty, match="Redis refuses"):
            await reading
    await redis.delete(stream, heartbeat)
    await redis.set(heartbeat, b"\xff\xfe")
    await redis.xadd(stream, {"other": "a"}, "1-0")
    await redis.xadd(stream, {"jws": b"\xff"}, "2-0")
    assert not (await source.heartbeat()).isascii()
    first, second = await source.entries(EPOCH, 0, wait=0)
    assert first == ""
    assert not second.isascii()


async def test_redis_that_is_not_there_is_away() -> None:
    source = RedisSource("redis://127.0.0.1:9/0", "ww")
    for reading in (source.heartbeat(), source.entries(EPOCH, 0, wait=0)):
        with pytest.raises(Away):
            await reading
    await source.close()


async def test_a_broken_off_reading_does_not_answer_the_next_one(
    tmp_path: Path, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that comes too late belongs to nobody."""
    monkeypatch.setattr(_sources, "_REDIS_SECONDS", 0.2)
    with EmbeddedRedis(tmp_path) as server:  # one of its own, since it stands still
        source = RedisSource(server.url, prefix)
        async with Redis.from_url(server.url) as redis:
            await redis.set(f"{{{prefix}}}:feed:heartbeat", "a.b.c")
            await redis.xadd(f"{{{prefix}}}:feed:{EPOCH}:entries", {"jws": "d.e.f"}, "1-0")
            await redis.client_pause(500)
            with pytest.raises(Away):
                await source.entries(EPOCH, 0, wait=0)
            heard = ""
            while not heard:
                with suppress(Away):
                    heard = await source.heartbeat()
            assert heard == "a.b.c"
            assert await source.entries(EPOCH, 0, wait=0) == ["d.e.f"]
        await source.close()


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with serving() as issuer:
        yield issuer


@pytest.fixture
async def http(issuer: Issuer) -> AsyncIterator[HttpSource]:
    async with Fetcher(issuer.url, None, None) as fetcher:
        yield HttpSource(fetcher)


@pytest.mark.parametrize(
    ("members", "page"),
    [
        ({"entries": ["a"], "heartbeat": "b"}, Page(["a"], "b")),
        ({"entries": [], "heartbeat": "b", "more": 1}, Page([], "b")),
        ({"entries": ["a", "c"]}, Page(["a", "c"], None)),
    ],
)
async def test_a_page_is_read(
    issuer: Issuer, http: HttpSource, members: dict[str, object], page: Page
) -> None:
    issuer.answers["/revocations"] = Answer(json.dumps(members).encode())
    assert await http.page(EPOCH, 0, wait=0) == page


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"[]", b"null", b"<html>", b"\xff", b"{}", b'{"heartbeat":"a"}'),
        *(b'{"entries":{}}', b'{"entries":"a"}', b'{"entries":[1],"heartbeat":"a"}'),
        *(b'{"entries":[]}', b'{"entries":[["a"]],"heartbeat":"a"}'),
        *(b'{"entries":[],"heartbeat":1}', b'{"entries":[],"heartbeat":["a"]}'),
        *(b'{"entries":[],"heartbeat":"a","heartbeat":"b"}', b'{"entries":' + b"[" * 100_000),
    ],
    ids=lambda body: f"{body[:40]!r}",
)
async def test_a_page_that_is_none_is_a_fault(
    issuer: Issuer, http: HttpSource, body: bytes
) -> None:
    issuer.answers["/revocations"] = Answer(body)
    with pytest.raises(Faulty):
        await http.page(EPOCH, 0, wait=0)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"", 503),
        Answer(b"", 302, {"location": "https://evil.example"}),
        Answer(b" " * 5**10),
    ],
    ids=["unavailable", "redirect", "too long"],
)
async def test_an_answer_that_is_no_page_means_away(
    issuer: Issuer, http: HttpSource, answer: Answer
) -> None:
    issuer.answers["/revocations"] = answer
    with pytest.raises(Away):
        await http.page("", 0, wait=0)
