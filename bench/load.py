"""A load of HTTP requests over kept connections, with as little cost of its own as possible."""

import asyncio
import base64
import ipaddress
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.servers import APP, PASSWORD, PORT, USERNAMES, Pod

CONNECTIONS = 8

# What to send next on a connection, from the body of its last answer (empty at first).
Next = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Load:
    """What a load saw: requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float
    slowest: float


def request(pod: Pod, path: str, form: dict[str, str]) -> bytes:
    """A POST with client authentication, as bytes to be sent again and again."""
    basic = base64.b64encode(f"{pod.client_id}:{pod.client_secret}".encode()).decode()
    return _post(path, urlencode(form), f"Authorization: Basic {basic}\r\n", _FORM)


def refresh(token: str) -> bytes:
    """A refresh by the public client."""
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": APP}
    return _post("/token", urlencode(form), "", _FORM)


def login(number: int = 0, password: str = PASSWORD) -> bytes:
    """A login of one of the users at the first-party client."""
    body = {"client_id": APP, "username": USERNAMES[number], "password": password}
    return _post("/api/login", json.dumps(body), _from_somewhere(), _JSON)


def guess() -> bytes:
    """A wrong password of nobody, as a proxy forwards it from somewhere."""
    body = {"client_id": APP, "username": f"nobody-{random.getrandbits(64)}", "password": "x" * 20}
    return _post("/api/login", json.dumps(body), _from_somewhere(), _JSON)


def _from_somewhere() -> str:
    """Headers of a login, forwarded from an address of its own, which no limit knows yet."""
    address = ipaddress.IPv4Address(random.getrandbits(32))
    return f"X-Requested-With: bench\r\nX-Forwarded-For: {address}\r\n"


_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"


def _post(path: str, body: str, headers: str, media_type: str) -> bytes:
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{PORT}\r\n{headers}"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def always(message: bytes) -> Next:
    """The same message again and again."""
    return lambda _: message


def chain(token: str) -> Next:
    """Refreshes of one session, each with the token that the last one gave."""
    current = token

    def send(body: bytes) -> bytes:
        nonlocal current
        if body:
            current = read_member(body, "refresh_token")
        return refresh(current)

    return send


def read_member(body: bytes, name: str) -> str:
    """A member of a JSON answer."""
    return json.loads(body)[name]


def run_load(messages: Sequence[Next], count: int, *, expect: bytes = b"") -> Load:
    """Send `count` messages, one connection for each source; every answer must be 200."""
    return asyncio.run(_run(messages, count, expect))


def send_one(message: bytes) -> bytes:
    """The body of one answer."""

    async def send() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        try:
            return (await exchange(reader, writer, message))[1]
        finally:
            writer.close()

    return asyncio.run(send())


async def _run(messages: Sequence[Next], count: int, expect: bytes) -> Load:
    latencies: list[float] = []
    began = time.perf_counter()
    share = count // len(messages)
    await asyncio.gather(*(_connection(it, share, expect, latencies) for it in messages))
    return summarize(latencies, time.perf_counter() - began)


def summarize(latencies: list[float], seconds: float) -> Load:
    """The figures of a load that took so long."""
    latencies.sort()
    return Load(
        rate=len(latencies) / seconds,
        p50=latencies[len(latencies) // 2] * 1000,
        p99=latencies[len(latencies) * 99 // 100] * 1000,
        slowest=latencies[-1] * 1000,
    )


async def _connection(source: Next, count: int, expect: bytes, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    body = b""
    for _ in range(count):
        message = source(body)
        began = time.perf_counter()
        status, body = await exchange(reader, writer, message)
        latencies.append(time.perf_counter() - began)
        assert status == b"200", (status, body)
        assert expect in body, body
    source(body)
    writer.close()


async def exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes
) -> tuple[bytes, bytes]:
    """Status and body of an answer."""
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return head[9:12], await reader.readexactly(length)
