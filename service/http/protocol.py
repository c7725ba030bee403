"""HTTP/1.1 on one connection: what a client may send, how much of it, and by when."""

import asyncio
import contextlib
import json
import logging
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_log = logging.getLogger(__name__)

_IDLE, _HEAD, _BODY = range(3)  # what the connection reads: nothing yet, a head, a body
_NEVER = float("inf")
_LINGER_SECONDS = 2  # a refused client gets this long to take the answer and to close
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)
_CHUNK_SIZE = b"0123456789abcdefABCDEF\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost: sizes in bytes, times in seconds, the rest are counts.

    The head is the request line and all headers. `head_seconds` runs from the connection or, on
    a kept one, from the first byte; `body_seconds` from the end of the head, or until an answer
    that fills the buffers is read. Over `connections` come 503s; over twice that, nothing.
    """

    target_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    pipelined: int = 64
    connections: int = 4096
    head_seconds: float = 10
    body_seconds: float = 20
    idle_seconds: float = 75


class _Refusal(Exception):
    def __init__(self, status: int, description: str, *, headers: str = "") -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.headers = headers

    def render(self) -> bytes:
        busy = self.status == HTTPStatus.SERVICE_UNAVAILABLE
        error = "temporarily_unavailable" if busy else "invalid_request"
        body = json.dumps({"error": error, "error_description": self.description})
        return STATUS_LINE[self.status] + (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\nconnection: close\r\n{self.headers}\r\n{body}"
        ).encode("ascii")


class Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits and deadlines, strict where the parser is lenient."""

    def __init__(self, config: uvicorn.Config, state: Any, app_state: Any, limits: Limits) -> None:
        super().__init__(config, state, app_state)
        self.limits = limits
        self.deadline = self.loop.time() + limits.head_seconds
        self.stage = _IDLE
        self.segment = self.head_seen = self.room = 0
        self.framing: dict[bytes, bytes] = {}
        self.chunked = self.in_chunk_size = False
        self.refusal: _Refusal | None = None
        self.refused = False
        self.running = self.cycle

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        if len(self.connections) > 2 * self.limits.connections:
            transport.abort()
        elif len(self.connections) > self.limits.connections:
            self._refuse(_Refusal(503, "too many connections", headers="retry-after: 1\r\n"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.running is not None:
            # Uvicorn tells the newest request only, which may still wait behind this one.
            self.running.disconnected = True
            self.running.message_event.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self.refusal is not None:
            return  # Unread bytes would reset the connection and destroy the answer.
        self.segment = len(data)
        try:
            if self.stage != _BODY:
                self.head_seen += len(data)
            if self.stage == _HEAD or self.chunked or b"transfer-encoding" in data.lower():
                self._feed_lines(data)
            else:
                self._feed(data)
        except _Refusal as refusal:
            self._refuse(refusal)
        except httptools.HttpParserError as error:
            cause = error.__context__  # what a callback raised
            malformed = _Refusal(400, "the request is not well-formed HTTP")
            self._refuse(cause if isinstance(cause, _Refusal) else malformed)
        else:
            if self.stage == _HEAD and self.head_seen > self.limits.head_bytes:
                self._refuse(_Refusal(431, "the request head is too large"))

    def _feed_lines(self, data: bytes) -> None:
        """Feed line by line, to look at chunk sizes first: the parser skips extensions."""
        for line in data.splitlines(keepends=True):
            # Stricter than RFC 9112 §7.1.1: what two parsers can read in two ways is refused.
            if self.in_chunk_size and line.strip(_CHUNK_SIZE):
                raise _Refusal(400, "a chunk size must be hexadecimal, without extensions")
            self._feed(line)

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self.parser.feed_data(data)
                break
            except httptools.HttpParserUpgrade as upgrade:
                data = self._without_upgrade() + data[upgrade.args[0] :]

    def _without_upgrade(self) -> bytes:
        """The head again, to be read as if Upgrade were not there, which RFC 9110 §7.8 allows.

        The parser takes the body of a request with Upgrade for the next request, and Java's
        HttpClient offers h2c with every request over plain http.
        """
        version = self.parser.get_http_version().encode()
        line = b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)
        kept = [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's own
        return b"\r\n".join([line, *kept, b"", b""])

    def on_message_begin(self) -> None:
        # Uvicorn reads on while requests wait; without an end they would fill the memory.
        if len(self.pipeline) >= self.limits.pipelined:
            raise _Refusal(400, "too many requests wait on this connection")
        super().on_message_begin()
        self.stage = _HEAD
        self.room = self.limits.headers
        self.framing = {}
        self.deadline = min(self.deadline, self.loop.time() + self.limits.head_seconds)

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.limits.target_bytes:
            raise _Refusal(414, "the request target is too long")

    def on_header(self, name: bytes, value: bytes) -> None:
        if len(self.headers) >= self.room:
            raise self._one_too_many()
        name = name.lower()
        if name in _FRAMING:
            if name in self.framing:
                raise _Refusal(400, f"the {name.decode()} header is repeated")
            self.framing[name] = value.strip(b" \t")
        self.headers.append((name, value))

    def _one_too_many(self) -> _Refusal:
        if self.stage == _BODY:  # The application has its headers already; these would join them.
            return _Refusal(400, "trailers are not accepted")
        return _Refusal(431, "the request has too many headers")

    def on_headers_complete(self) -> None:
        framing = self.framing
        self._check_version_and_host(self.parser.get_http_version(), framing.get(b"host"))
        if framing.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            raise _Refusal(400, "the only transfer encoding is chunked")
        if self.head_seen + self.segment > self.limits.head_bytes:
            self._check_head_bytes()
        if not self.url.startswith(b"/") or b"#" in self.url:
            self._check_target(framing.get(b"host"))
        if self.parser.should_upgrade():
            if self.parser.get_method() == b"CONNECT":
                raise _Refusal(405, "CONNECT is not served", headers="allow: GET, HEAD, POST\r\n")
            return  # The parser stops here; _feed goes on without the upgrade.
        self.expect_100_continue = framing.get(b"expect", b"").lower() == b"100-continue"
        super().on_headers_complete()
        if not self.pipeline:
            self.running = self.cycle
        self.stage = _BODY
        self.head_seen = self.room = 0
        self.chunked = self.in_chunk_size = b"transfer-encoding" in framing
        self.deadline = self.loop.time() + self.limits.body_seconds

    def _check_version_and_host(self, version: str, host: bytes | None) -> None:
        if version not in ("1.1", "1.0"):
            raise _Refusal(400, "the HTTP version must be 1.1 or 1.0")
        # RFC 9112 §6.1: chunks in HTTP/1.0 are faulty framing.
        if version == "1.0" and b"transfer-encoding" in self.framing:
            raise _Refusal(400, "HTTP/1.0 has no transfer encodings")
        # RFC 9112 §3.2: HTTP/1.1 without one valid Host is answered with 400.
        if not _HOST.fullmatch(host) if host is not None else version == "1.1":
            raise _Refusal(400, "the host header is missing or not valid")

    def _check_head_bytes(self) -> None:
        """Exact, unlike the count of received bytes, in which a body may be included."""
        size = sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size + len(self.url) + len(b" HTTP/1.1\r\n\r\n") > self.limits.head_bytes:
            raise _Refusal(431, "the request head is too large")

    def _check_target(self, host: bytes | None) -> None:
        method = self.parser.get_method()
        if method == b"CONNECT" or (method == b"OPTIONS" and self.url == b"*"):
            return
        absolute = _ABSOLUTE.fullmatch(self.url)
        # Stricter than RFC 9112 §3.2.2: an absolute target must name the host of the Host header.
        if absolute is None or b"#" in self.url or absolute[1].lower() != (host or b"").lower():
            raise _Refusal(400, "the request target must be a path, or a URL of the host header")
        self.url = absolute[2] if absolute[2].startswith(b"/") else b"/" + absolute[2]

    def on_chunk_header(self) -> None:
        self.in_chunk_size = False

    def on_chunk_complete(self) -> None:
        self.in_chunk_size = True

    def on_message_complete(self) -> None:
        if self.stage != _BODY:
            return  # an upgrade, about to be read again
        self.stage = _IDLE
        self.chunked = self.in_chunk_size = False
        answered = self.cycle.response_complete
        self.deadline = self.loop.time() + self.limits.idle_seconds if answered else _NEVER
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.deadline = self.loop.time() + self.limits.body_seconds
            return
        if self.pipeline:
            self.running, app = self.pipeline.pop()
            self._start_asgi_task(self.running, app)
        elif self.refusal is not None:
            self._answer(self.refusal)
        elif self.stage == _IDLE:
            stuck, limits = self.flow.write_paused, self.limits
            patience = limits.body_seconds if stuck else limits.idle_seconds
            self.deadline = self.loop.time() + patience
        self.flow.resume_reading()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stage == _IDLE:
            self.deadline = self.loop.time() + self.limits.body_seconds

    def expire(self, now: float) -> None:
        """The deadline has passed: refuse what is late, close what is idle, abort what is stuck."""
        busy = self.cycle is not None and not self.cycle.response_complete
        if self.refused or self.transport.is_closing() or self.flow.write_paused:
            self.transport.abort()
        elif self.refusal or self.flow.read_paused or (busy and self.stage == _IDLE):
            self.deadline = now + self.limits.body_seconds  # The client waits for us.
        elif self.stage == _IDLE and self.cycle is not None:
            self.deadline = now + _LINGER_SECONDS
            self.transport.close()
        else:
            self._refuse(_Refusal(408, "the request took too long to arrive"))

    def _refuse(self, refusal: _Refusal) -> None:
        """Answer with a refusal after the answers that are owed, and close."""
        _log.info("refused %d for %s: %s", refusal.status, self.client, refusal.description)
        self.refusal = refusal
        if self.stage != _BODY:
            if self.cycle is None or self.cycle.response_complete:
                self._answer(refusal)
        elif self.pipeline:
            self.pipeline.popleft()  # The broken request waits behind others and never starts.
        else:
            self.cycle.disconnected = True
            self.cycle.waiting_for_100_continue = False
            self.cycle.message_event.set()
            self._answer(None if self.cycle.response_started else refusal)

    def _answer(self, refusal: _Refusal | None) -> None:
        self.refused = True
        self.deadline = self.loop.time() + _LINGER_SECONDS
        if self.transport.is_closing():
            return
        self.flow.resume_reading()  # to see the client close
        if refusal is not None:
            self.transport.write(refusal.render())
        if refusal is not None and self.transport.can_write_eof():
            with contextlib.suppress(OSError):  # The client is gone.
                self.transport.write_eof()
        else:
            self.transport.close()

    def shutdown(self) -> None:
        (self.transport.close if self.refused else super().shutdown)()
