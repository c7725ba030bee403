"""The synchronous twin: a thread of its own follows keys and revocations."""

import asyncio
import os
import threading
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from watchword_verifier._claims import Claims
from watchword_verifier._engine import Engine
from watchword_verifier._errors import RevocationsStale, UnknownKey, VerifierError
from watchword_verifier._options import Options, Stale
from watchword_verifier._status import Status

_T = TypeVar("_T")

_GOODBYE_SECONDS = 0.01


@dataclass(kw_only=True, eq=False, repr=False)
class SyncVerifier(Options):
    """Verifies access tokens where there is no event loop: Flask, Django, scripts.

    Use it as `with SyncVerifier(issuer=…, audience=…) as verifier`, or make one at import and call
    `verify`: it starts by itself at first use, in each process anew, so a server may fork after
    importing it. May be used from any thread.
    """

    _locks: dict[int, threading.Lock] = field(init=False, default_factory=dict)
    _running: "_Running | None" = field(init=False, default=None)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Start the thread; wait until keys and revocations are here, or `start_timeout`."""
        self._started()

    def close(self) -> None:
        """Stop the thread, and close every connection."""
        with self._lock():
            running, self._running = self._running, None
        if running is not None and running.pid == os.getpid():
            running.close()

    def verify(
        self,
        token: str,
        *,
        scopes: Iterable[str] = (),
        stale: Stale | None = None,
        max_staleness: timedelta | None = None,
    ) -> Claims:
        """As `Verifier.verify`: in this thread, but for what needs to ask the issuer."""
        running, scopes, policy = self._started(), tuple(scopes), stale or self.stale
        engine = running.engine
        try:
            claims = engine.verify_here(token, policy, max_staleness)
            claims.require_scope(*scopes)
        except VerifierError as error:
            if isinstance(error, UnknownKey) or (
                isinstance(error, RevocationsStale) and policy == "introspect"
            ):
                return running.finish(engine.verify(token, scopes, policy, max_staleness))
            engine.count(type(error).__name__)
            raise
        engine.count("verified")
        return claims

    @property
    def ready(self) -> bool:
        """Whether keys and a first snapshot of the revocations are here."""
        return self._started().engine.is_ready

    @property
    def staleness(self) -> timedelta | None:
        """How old the news of revocations is; None before the first snapshot."""
        return self._started().engine.staleness

    @property
    def status(self) -> Status:
        """How this verifier does."""
        return self._started().engine.status()

    def _started(self) -> "_Running":
        running = self._running
        if running is not None and running.pid == os.getpid():
            return running
        with self._lock():
            running = self._running
            if running is None or running.pid != os.getpid():
                running = self._running = _Running(self)
            return running

    def _lock(self) -> threading.Lock:
        """This process' own: one that another thread held at a fork stays held in the child."""
        return self._locks.setdefault(os.getpid(), threading.Lock())


class _Running:
    """An event loop in a thread of this process, and the engine that lives in it."""

    def __init__(self, options: Options) -> None:
        self.pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="watchword-verifier", daemon=True
        )
        self._thread.start()
        self.engine = self.finish(_make(options))
        try:
            self.finish(self.engine.start())
        except BaseException:
            self.close()
            raise

    def finish(self, call: Coroutine[Any, Any, _T]) -> _T:
        """The coroutine's result, from the loop's own thread."""
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()

    def close(self) -> None:
        """Close the engine, then the loop."""
        with suppress(RuntimeError):
            self.finish(self.engine.close())
            self.finish(asyncio.sleep(_GOODBYE_SECONDS))  # until the loop has let go of its sockets
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _make(options: Options) -> Engine:
    return Engine(options)
