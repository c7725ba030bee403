"""Uvicorn inside our own loop: the signals, the drain, and the sweep of deadlines."""

import asyncio
import contextlib
import logging
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import timedelta
from typing import Any, cast

import uvicorn
from prometheus_client import Gauge

from service.http.listening import BACKLOG, TlsFiles, tls_context
from service.http.protocol import Limits, Protocol

DEFAULT_LIMITS = Limits()
_SWEEP_SECONDS = 0.1
_START_SECONDS = 0.5
_QUIET_ROUNDS = 5  # of the sweep: nobody has asked for so long, so proxies have noticed
_LINGER_SECONDS = 3.0


class StartUpError(Exception):
    """The application's own start-up failed; what it logged says why."""


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
        self.hurried = False
        self.next_sweep: asyncio.TimerHandle | None = None

    async def run_here(self, sockets: list[socket.socket]) -> None:
        """Serve in the running loop; also when cancelled, requests in flight get their grace."""
        try:
            await self.serve(sockets)
        except BaseException as error:
            if self.started:
                await self.shutdown(sockets)
            else:
                self.lifespan.startup_failed = True  # else its cancellation is logged as a failure
            if not (isinstance(error, asyncio.CancelledError) and self.stopping):
                raise

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await self.lifespan.startup()
        if self.lifespan.should_exit:
            raise StartUpError("the application did not start; its log says why")
        self.servers = [
            await asyncio.get_running_loop().create_server(
                self._protocol, sock=each, backlog=BACKLOG, **self._tls
            )
            for each in sockets or ()
        ]
        self.started = True
        self._sweep()
        self.on_ready()

    @property
    def open_connections(self) -> int:
        """How many there are, refused ones that linger included."""
        return len(self.server_state.connections)

    def _protocol(self) -> Protocol:
        return Protocol(self.config, self.server_state, self.lifespan.state, self.limits)

    @property
    def _tls(self) -> dict[str, Any]:
        tls = self.config.ssl
        return {"ssl": tls, "ssl_handshake_timeout": self.limits.head_seconds if tls else None}

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        self.next_sweep = loop.call_later(_SWEEP_SECONDS, self._sweep)
        now = loop.time()
        for each in self._connections():
            if each.deadline <= now:
                each.expire(now)

    def _connections(self) -> tuple[Protocol, ...]:
        return tuple(cast("set[Protocol]", self.server_state.connections))

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
            self.hurried = True
            self._stop()
            return
        self.stopping = True
        if not self.started:
            # A start-up that is soon done is followed by a stop in good order.
            self._stop()
            asyncio.get_running_loop().call_later(_START_SECONDS, self._give_up, serving)
            return
        try:
            self.on_drain()
        finally:
            close = (b"connection", b"close")
            self.config.encoded_headers.append(close)  # on_tick copies it for each later answer
            self.server_state.default_headers.append(close)
            asyncio.get_running_loop().call_later(self.drain.total_seconds(), self._stop)

    def _give_up(self, serving: asyncio.Task[Any]) -> None:
        """Cancel a start-up that hangs."""
        if not self.lifespan.startup_event.is_set():
            self.lifespan.startup_failed = True  # else its cancellation is logged as a failure
            serving.cancel()

    def _stop(self) -> None:
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.started = False
        try:
            if self.stopping and self.drain:
                await self._refuse_new_connections(sockets or [])
            await super().shutdown(sockets)
        finally:
            if self.next_sweep is not None:
                self.next_sweep.cancel()
            for each in self._connections():
                each.transport.abort()

    async def _refuse_new_connections(self, sockets: list[socket.socket]) -> None:
        """Listen no more, and serve what still comes on open connections, until nothing does.

        A proxy that did not know of the stop learns of it by being refused, when it has sent
        nothing yet and may ask another pod. A kept connection that is closed in the moment in which
        it sends on it would cost that request.
        """
        loop = asyncio.get_running_loop()
        began, grace = loop.time(), cast("float", self.config.timeout_graceful_shutdown)
        waiting = [each for it in sockets for each in _accepted(it)]
        for server in self.servers:
            server.close()
        taken = [loop.create_task(self._take(each)) for each in waiting]
        await self._until_quiet(began + min(grace, _LINGER_SECONDS), taken)
        for each in taken:
            each.cancel()  # whose TLS handshake does not come
        rest = max(0, grace - (loop.time() - began))
        self.config.timeout_graceful_shutdown = rest  # pyright: ignore[reportAttributeAccessIssue]

    async def _take(self, connection: socket.socket) -> None:
        """Serve a connection that the kernel had made and nobody had taken yet."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, connection, **self._tls
            )

    async def _until_quiet(self, end: float, taken: Sequence[asyncio.Task[None]]) -> None:
        loop, answered, quiet = asyncio.get_running_loop(), -1, 0
        while not self.hurried and loop.time() < end:
            if not self.server_state.connections and all(each.done() for each in taken):
                return
            # Counted in rounds of the loop, not by the clock: a stall is not silence.
            quiet = quiet + 1 if answered == self.server_state.total_requests else 0
            answered = self.server_state.total_requests
            if quiet > _QUIET_ROUNDS:
                return
            await asyncio.sleep(_SWEEP_SECONDS)


def _accepted(listener: socket.socket) -> Iterator[socket.socket]:
    """Every connection of the backlog: what is left there when the socket closes is reset."""
    with contextlib.suppress(OSError):
        for _ in range(BACKLOG):  # and no more, however fast others come
            connection, _ = listener.accept()
            connection.setblocking(False)  # noqa: FBT003 (the standard library's)
            yield connection


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
    connections: Gauge | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT, or until cancelled; close the sockets on the way out.

    The first signal calls `on_drain` and goes on serving for `drain`, so that load balancers
    notice; then new connections are refused, and requests in flight and on connections that are
    still open get at most `grace`. A second signal skips the drain; a signal before `on_ready`
    and a cancellation have none. Raises StartUpError, and ListenError for a bad certificate.
    Signals are only taken in the main thread. `connections` shows how many are open.
    """
    try:
        config = _config(app, grace, tls_context(tls) if tls else None)
        server = _Server(config, limits, drain, on_ready, on_drain)
        if connections is not None:
            connections.set_function(lambda: server.open_connections)
        await server.run_here(list(sockets))
    finally:
        for each in sockets:
            each.close()


def _config(app: Any, grace: timedelta, context: ssl.SSLContext | None) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=Protocol,
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
