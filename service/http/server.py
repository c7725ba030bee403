"""Uvicorn inside our own loop: listening, limits on what a client may send, TLS, and the drain."""

import asyncio
import contextlib
import errno
import functools
import ipaddress
import json
import logging
import re
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

_log = logging.getLogger(__name__)

_IDLE, _HEAD, _BODY = range(3)  # what the connection reads: nothing yet, a head, a body
_NEVER = float("inf")
_SWEEP_SECONDS = 0.1
_LINGER_SECONDS = 2  # a refused client gets this long to take the answer and to close
_BACKLOG = 2048
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding", b"expect"})
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]+)(:[0-9]*)?")
_ABSOLUTE = re.compile(rb"https?://([^/?#]+)(.*)", re.IGNORECASE)
_CHUNK_SIZE = b"0123456789abcdefABCDEF\r\n"


class ListenError(Exception):
    """An address or certificate that cannot be served; the text is one line for the operator."""


class StartUpError(Exception):
    """The application's own start-up failed; what it logged says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client may cost: sizes in bytes, times in seconds, the rest are counts.

    The head is the request line and all headers. `head_seconds` runs from the connection or, on
    a kept one, from the first byte; `body_seconds` from the end of the head, and is also how long
    a client may take to read an answer that fills the buffers. Over `connections`, newcomers get
    503; over twice that, nothing.
    """

    target_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    headers: int = 100
    pipelined: int = 64
    connections: int = 4096
    head_seconds: float = 10
    body_seconds: float = 20
    idle_seconds: float = 75


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the certificate with its chain, and its key without a passphrase."""

    certificate: Path
    private_key: Path


DEFAULT_LIMITS = Limits()


class _Refusal(Exception):
    def __init__(self, status: int, description: str, *, headers: str = "") -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.headers = headers

    def render(self) -> bytes:
        error = "temporarily_unavailable" if self.status == 503 else "invalid_request"  # noqa: PLR2004
        body = json.dumps({"error": error, "error_description": self.description})
        return STATUS_LINE[self.status] + (
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
            f"cache-control: no-store\r\nconnection: close\r\n{self.headers}\r\n{body}"
        ).encode("ascii")


class _Protocol(HttpToolsProtocol):
    """Uvicorn's protocol with limits and deadlines, strict where the parser is lenient."""

    def __init__(self, config: uvicorn.Config, state: Any, app_state: Any, limits: Limits) -> None:
        super().__init__(config, state, app_state)
        self.access_log = False
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
        if self.refused:
            self.transport.close()
        else:
            super().shutdown()


class _Server(uvicorn.Server):
    """Uvicorn's server with our sockets, our sweep of deadlines, and our way to stop."""

    def __init__(
        self,
        config: uvicorn.Config,
        limits: Limits,
        drain: timedelta,
        on_ready: Callable[[], None],
        on_drain: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self.limits = limits
        self.drain = drain
        self.on_ready = on_ready
        self.on_drain = on_drain
        self.stopping = False
        self.next_sweep: asyncio.TimerHandle | None = None

    async def run_here(self, sockets: list[socket.socket]) -> None:
        """Serve in the running loop; also when cancelled, requests in flight get their grace."""
        try:
            await self.serve(sockets)
        except BaseException as error:
            if self.started:
                await self.shutdown(sockets)
            if not (isinstance(error, asyncio.CancelledError) and self.stopping):
                raise

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise StartUpError("the application did not start; its log says why")
        protocol = functools.partial(
            _Protocol, self.config, self.server_state, self.lifespan.state, self.limits
        )
        tls = self.config.ssl
        patience = self.limits.head_seconds if tls else None
        self.servers = [
            await asyncio.get_running_loop().create_server(
                protocol, sock=each, ssl=tls, backlog=_BACKLOG, ssl_handshake_timeout=patience
            )
            for each in sockets or ()
        ]
        self.started = True
        self._sweep()
        self.on_ready()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.next_sweep = loop.call_later(_SWEEP_SECONDS, self._sweep)
        now = loop.time()
        for each in self._connections():
            if each.deadline <= now:
                each.expire(now)

    def _connections(self) -> tuple[_Protocol, ...]:
        return tuple(cast("set[_Protocol]", self.server_state.connections))

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take SIGTERM and SIGINT for ourselves; uvicorn would raise them again after the stop."""
        numbers: tuple[int, ...] = ()
        if threading.current_thread() is threading.main_thread():
            numbers = (signal.SIGTERM, signal.SIGINT)
        loop = asyncio.get_running_loop()
        serving = cast("asyncio.Task[Any]", asyncio.current_task())
        for number in numbers:
            loop.add_signal_handler(number, self._signalled, serving)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _signalled(self, serving: asyncio.Task[Any]) -> None:
        if self.stopping:
            self._stop()
            return
        self.stopping = True
        if not self.started:
            self.lifespan.startup_failed = True  # else its cancellation is logged as a failure
            serving.cancel()
            return
        try:
            self.on_drain()
        finally:
            close = (b"connection", b"close")
            self.config.encoded_headers.append(close)  # on_tick copies it for each later answer
            self.server_state.default_headers.append(close)
            asyncio.get_running_loop().call_later(self.drain.total_seconds(), self._stop)

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.started = False
        try:
            await super().shutdown(sockets)
        finally:
            if self.next_sweep is not None:
                self.next_sweep.cancel()
            for each in self._connections():
                each.transport.abort()


async def serve(  # noqa: PLR0913 - each is one decision of the command line
    app: Any,
    sockets: Sequence[socket.socket],
    *,
    limits: Limits = DEFAULT_LIMITS,
    drain: timedelta,
    grace: timedelta,
    tls: TlsFiles | None = None,
    on_ready: Callable[[], None] = lambda: None,
    on_drain: Callable[[], None],
) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled; close the sockets on the way out.

    The first signal calls `on_drain` and goes on serving for `drain`, so that load balancers
    notice; then requests in flight get at most `grace`. A second signal skips the drain; a
    signal before `on_ready` and a cancellation have none. Raises StartUpError, and ListenError
    for a bad certificate. Signals are only taken in the main thread.
    """
    try:
        config = _config(app, grace, _tls_context(tls) if tls else None)
        await _Server(config, limits, drain, on_ready, on_drain).run_here(list(sockets))
    finally:
        for each in sockets:
            each.close()


def _config(app: Any, grace: timedelta, context: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        interface="asgi3",
        lifespan="on",
        workers=1,
        log_config=None,
        access_log=False,
        log_level=logging.INFO,
        proxy_headers=False,
        server_header=False,
        ssl_context_factory=(lambda *_: context) if context else None,
        timeout_graceful_shutdown=grace.total_seconds(),  # pyright: ignore[reportArgumentType]
    )


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password of our own OpenSSL would ask for one on the terminal.
        context.load_cert_chain(files.certificate, files.private_key, password="")
    except OSError as error:
        reason = error.strerror or error
        names = f"{files.certificate} with the key {files.private_key}"
        raise ListenError(f"cannot serve TLS with the certificate {names}: {reason}") from error
    return context


def bind(addresses: Sequence[str], *, ipv6_optional: bool = False) -> list[socket.socket]:
    """Listen on addresses such as 0.0.0.0:8000 and [::1]:8000, or raise ListenError.

    Clients may connect from here on; they wait for `serve`. With `ipv6_optional`, ::1 is left
    out on a machine without IPv6.
    """
    sockets: list[socket.socket] = []
    try:
        for address in addresses:
            host, port = _parsed(address)
            try:
                sockets.append(_listening(host, port))
            except OSError as error:
                absent = error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
                if not (ipv6_optional and absent and host == ipaddress.IPv6Address("::1")):
                    raise ListenError(_complaint(error, host, port)) from error
    except ListenError:
        for each in sockets:
            each.close()
        raise
    return sockets


_Host = ipaddress.IPv4Address | ipaddress.IPv6Address


def _parsed(address: str) -> tuple[_Host, int]:
    match = re.fullmatch(r"(\[(?P<six>.+)\]|(?P<four>.+)):(?P<port>[0-9]{1,5})", address)
    try:
        if match and int(match["port"]) < 65536:  # noqa: PLR2004
            six = match["six"]
            host = ipaddress.IPv6Address(six) if six else ipaddress.IPv4Address(match["four"])
            return host, int(match["port"])
    except ipaddress.AddressValueError:
        pass
    example = "write it like 127.0.0.1:8000 or [::1]:8000 in WATCHWORD_LISTEN"
    raise ListenError(f"cannot listen on {address!r}: {example}")


def _listening(host: _Host, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if host.version == 6 else socket.AF_INET)  # noqa: PLR2004
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listener.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((str(host), port))
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _complaint(error: OSError, host: _Host, port: int) -> str:
    remedy = "choose another with WATCHWORD_LISTEN or --port"
    match error.errno:
        case errno.EADDRINUSE:
            return f"port {port} on {host} is taken by another process; {remedy}"
        case errno.EACCES:
            return f"port {port} on {host} is reserved for privileged processes; {remedy}"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine; choose another with WATCHWORD_LISTEN"
        case _:
            return f"cannot listen on port {port} of {host}: {error.strerror}"
