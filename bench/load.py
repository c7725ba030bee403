"""A load of HTTP requests over kept connections, with as little cost of its own as possible."""

import asyncio
import base64
import time
from dataclasses import dataclass
from urllib.parse import urlencode

from bench.servers import PORT, Pod

_CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Load:
    """What a load saw: requests a second, and latencies in milliseconds."""

    rate: float
    p50: float
    p99: float


def request(pod: Pod, path: str, form: dict[str, str]) -> bytes:
    """A POST with client authentication, as bytes to be sent again and again."""
    body = urlencode(form)
    basic = base64.b64encode(f"{pod.client_id}:{pod.client_secret}".encode()).decode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost:{PORT}\r\nAuthorization: Basic {basic}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def run_load(message: bytes, count: int, *, expect: bytes = b"") -> Load:
    """Send the message `count` times over 8 connections; every answer must be 200."""
    return asyncio.run(_run(message, count, expect))


def send_one(message: bytes) -> bytes:
    """The body of one answer."""

    async def send() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
        try:
            return await _exchange(reader, writer, message)
        finally:
            writer.close()

    return asyncio.run(send())


async def _run(message: bytes, count: int, expect: bytes) -> Load:
    latencies: list[float] = []
    began = time.perf_counter()
    share = count // _CONNECTIONS
    await asyncio.gather(
        *(_connection(message, share, expect, latencies) for _ in range(_CONNECTIONS))
    )
    seconds = time.perf_counter() - began
    latencies.sort()
    return Load(
        len(latencies) / seconds,
        latencies[len(latencies) // 2] * 1000,
        latencies[len(latencies) * 99 // 100] * 1000,
    )


async def _connection(message: bytes, count: int, expect: bytes, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", PORT)
    for _ in range(count):
        began = time.perf_counter()
        body = await _exchange(reader, writer, message)
        latencies.append(time.perf_counter() - began)
        assert expect in body, body
    writer.close()


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: bytes
) -> bytes:
    writer.write(message)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return await reader.readexactly(length)
