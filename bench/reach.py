"""python -m bench reach: from a revocation's request to every one of a hundred verifiers."""

import asyncio
import base64
import http.client
import math
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

import asyncpg
import jwt
from redis import Redis as BlockingRedis
from redis.asyncio import Redis
from watchword_verifier import Verifier

from bench.load import read_member, request, send_one
from bench.servers import AUDIENCE, PORT, Pod
from bench.table import print_row, progress

_PROCESSES, _EACH = 4, 25
_TIMES = 200
_PAUSE_SECONDS = 0.03
_CHANNEL = "bench"


def measure_reach(pod: Pod, times: int = _TIMES) -> None:
    """p50, p99 and slowest, by Redis and over HTTP, beside a bare message to as many."""
    print_row("what", "ms p50", "ms p99", "target", "note")
    for name, target, revocations in (
        ("revoked at all of 100, by Redis", "p99 25", pod.redis_url),
        ("revoked at all of 100, over HTTP", "", "-"),
    ):
        with _children("verifiers", pod.issuer, revocations) as children:
            revocations_made = _revoke(pod, times, name)
            seen = _collect(children)
        numbers = asyncio.run(_numbers_of(pod, [it.jti for it in revocations_made]))
        after: list[int] = []
        since_answer: list[int] = []
        for it in revocations_made:
            moments = seen[numbers[it.jti]]
            assert len(moments) == _PROCESSES, "a verifier has not seen it"
            after.append(max(moments) - it.sent)
            since_answer.append(max(moments) - it.answered)
        _print(name, target, after, f"{_at(since_answer, 0.5):.1f} after the answer")
    with _children("subscribers", pod.redis_url, "") as children:
        began = _publish(pod, times)
        seen = _collect(children)
    last = [max(seen[number]) for number in sorted(seen)]
    _print("a bare message to 100, by Redis", "", [b - a for a, b in zip(began, last, strict=True)])


def _print(name: str, target: str, nanoseconds: Sequence[int], note: str = "") -> None:
    slowest = f"slowest {max(nanoseconds) / 1e6:.1f}, least {min(nanoseconds) / 1e6:.1f}"
    note = f"{slowest}; {note}" if note else slowest
    print_row(name, f"{_at(nanoseconds, 0.5):.1f}", f"{_at(nanoseconds, 0.99):.1f}", target, note)


def _at(nanoseconds: Sequence[int], share: float) -> float:
    """The milliseconds that so many did not exceed."""
    ordered = sorted(nanoseconds)
    return ordered[min(len(ordered) - 1, math.ceil(len(ordered) * share) - 1)] / 1e6


@contextmanager
def _children(*arguments: str) -> Iterator[list["subprocess.Popen[str]"]]:
    """Processes that listen, each with its share of the hundred; ready."""
    command = [sys.executable, "-m", "bench.reach", *arguments]
    children = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(_PROCESSES)
    ]
    try:
        for child in children:
            assert child.stdout
            assert child.stdout.readline() == "ready\n"
        time.sleep(1)
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def _collect(children: list["subprocess.Popen[str]"]) -> dict[int, list[int]]:
    """When each process had the last of its listeners served, by the number of the message."""
    time.sleep(1)
    seen: dict[int, list[int]] = {}
    for child in children:
        output, _ = child.communicate("\n", timeout=30)
        for line in output.splitlines():
            number, at = map(int, line.split())
            seen.setdefault(number, []).append(at)
    return seen


@dataclass(frozen=True, slots=True)
class _Revocation:
    """A token's id, and when its revocation was sent and answered: the machine's nanoseconds."""

    jti: str
    sent: int
    answered: int


async def _numbers_of(pod: Pod, jtis: Sequence[str]) -> dict[str, int]:
    """In which entry each fact stands; two that came close together may share one."""
    connection = await asyncpg.connect(pod.database_url)
    try:
        query = "SELECT subject, number FROM revocations WHERE subject = ANY($1::text[])"
        return {row["subject"]: row["number"] for row in await connection.fetch(query, jtis)}
    finally:
        await connection.close()


def _revoke(pod: Pod, times: int, name: str) -> list[_Revocation]:
    message = request(pod, "/token", {"grant_type": "client_credentials"})
    tokens = [read_member(send_one(message), "access_token") for _ in range(times)]
    basic = base64.b64encode(f"{pod.client_id}:{pod.client_secret}".encode()).decode()
    headers = {
        "Authorization": f"Basic {basic}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    connection = http.client.HTTPConnection("127.0.0.1", PORT)
    made: list[_Revocation] = []
    for number, token in enumerate(tokens):
        if number % 20 == 0:
            progress(f"{name}: {number} of {times}")
        body = urlencode({"token": token})
        sent = time.monotonic_ns()
        connection.request("POST", "/revoke", body, {**headers, "Host": f"localhost:{PORT}"})
        response = connection.getresponse()
        response.read()
        assert response.status == http.client.OK
        jti = jwt.decode(token, options={"verify_signature": False})["jti"]
        made.append(_Revocation(jti, sent, time.monotonic_ns()))
        time.sleep(_PAUSE_SECONDS)
    progress("")
    return made


def _publish(pod: Pod, times: int) -> list[int]:
    began: list[int] = []
    with BlockingRedis.from_url(pod.redis_url) as redis:
        for number in range(times):
            began.append(time.monotonic_ns())
            redis.publish(_CHANNEL, str(number))
            time.sleep(_PAUSE_SECONDS)
    return began


async def _verifiers(issuer: str, revocations: str) -> None:
    """Verifiers of one process; prints when the last of them had each entry."""
    seen: dict[int, list[int]] = {}
    url = None if revocations == "-" else revocations
    verifiers = [Verifier(issuer=issuer, audience=AUDIENCE, revocations=url) for _ in range(_EACH)]
    await asyncio.gather(*(verifier.start() for verifier in verifiers))
    for verifier in verifiers:
        _note(verifier, seen)
    await _until_told(seen)
    await asyncio.gather(*(verifier.close() for verifier in verifiers))


def _note(verifier: Verifier, seen: dict[int, list[int]]) -> None:
    """Note when an entry is in memory: from there on `verify` refuses its tokens."""
    engine = verifier._engine  # noqa: SLF001
    follower = engine._follower  # noqa: SLF001
    assert follower is not None
    known = engine._feed.number  # noqa: SLF001

    def note() -> None:
        nonlocal known
        for number in range(known + 1, engine._feed.number + 1):  # noqa: SLF001
            seen.setdefault(number, []).append(time.monotonic_ns())
        known = engine._feed.number  # noqa: SLF001

    follower.on_progress = note


async def _subscribers(url: str) -> None:
    seen: dict[int, list[int]] = {}

    async def listen(ready: asyncio.Event) -> None:
        async with Redis.from_url(url, decode_responses=True) as redis, redis.pubsub() as pubsub:
            await pubsub.subscribe(_CHANNEL)
            async for message in pubsub.listen():
                if message["type"] == "message":
                    seen.setdefault(int(message["data"]), []).append(time.monotonic_ns())
                else:
                    ready.set()

    events = [asyncio.Event() for _ in range(_EACH)]
    tasks = [asyncio.create_task(listen(event)) for event in events]
    await asyncio.gather(*(event.wait() for event in events))
    await _until_told(seen)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _until_told(seen: dict[int, list[int]]) -> None:
    """Say that all are ready; once told, print when the last one had each message."""
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    for number, moments in sorted(seen.items()):
        if len(moments) == _EACH:
            print(number, max(moments))
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "verifiers":
        asyncio.run(_verifiers(sys.argv[2], sys.argv[3]))
    else:
        asyncio.run(_subscribers(sys.argv[2]))
