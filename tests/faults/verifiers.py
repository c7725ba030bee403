"""Verifiers beside real deployments, a way that can be cut, and what somebody makes of a Redis."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from redis import Redis
from watchword_verifier import SyncVerifier, VerifierError

from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, free_port
from tests.faults.processes import Client, Deployment

STALENESS = timedelta(seconds=5)
# A pod's reading of its database may be a second old, and the test looks now and then.
SLACK = 1.5


def make_verifier(site: Deployment, **options: Any) -> SyncVerifier:
    """A verifier of the site's Redis that refuses after 5 s."""
    chosen: dict[str, Any] = {
        "issuer": site.issuer,
        "audience": AUDIENCE,
        "revocations": site.redis_server.url,
        "max_staleness": STALENESS,
        **options,
    }
    return SyncVerifier(**chosen)


def verdict(verifier: SyncVerifier, token: str) -> str:
    """`good`, or the name of the error."""
    try:
        verifier.verify(token)
    except VerifierError as error:
        return type(error).__name__
    return "good"


@dataclass(slots=True)
class Watching:
    """Asks verifiers about two tokens again and again: one that stays good, one to be revoked."""

    verifiers: dict[str, SyncVerifier]
    good: str
    revoked: str
    seen: list[tuple[str, float, str, str]] = field(default_factory=list)

    def look(self) -> None:
        """One look at each verifier."""
        for name, verifier in self.verifiers.items():
            row = (name, time.monotonic(), verdict(verifier, self.good))
            self.seen.append((*row, verdict(verifier, self.revoked)))

    def watch(self, seconds: float) -> None:
        """Look for so long."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.look()
            time.sleep(0.02)

    def last_accepted(self, name: str, since: float) -> float:
        """How many seconds after a moment the revoked token was last accepted; 0: never."""
        moments = [at for who, at, _, revoked in self.seen if who == name and revoked == "good"]
        return max([0.0, *(at - since for at in moments)])

    def judged(self, name: str, since: float = 0.0) -> set[str]:
        """What became of the good token since a moment."""
        return {good for who, at, good, _ in self.seen if who == name and at >= since}


@contextmanager
def watching(verifiers: dict[str, SyncVerifier], pod: Pod, client: Client) -> Iterator[Watching]:
    """Two tokens of a client, and verifiers that are ready and accept both."""
    with ExitStack() as stack:
        for verifier in verifiers.values():
            stack.enter_context(verifier)
        watch = Watching(verifiers, pod.token(client), pod.token(client))
        watch.look()
        assert {row[2:] for row in watch.seen} == {("good", "good")}
        yield watch


class Proxy:
    """A way to a server on loopback that can be cut and mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.mend()

    def mend(self) -> None:
        """Let connections through."""
        if self._server is None:
            self._server = self._run(asyncio.start_server(self._serve, "127.0.0.1", self.port))

    def cut(self) -> None:
        """Close every connection, and take no new one."""
        if self._server is not None:
            self._run(self._close())
            self._server = None

    def close(self) -> None:
        self.cut()
        self._run(asyncio.sleep(0.05))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(10)

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        async with asyncio.timeout(10):
            while self._writers:  # one that was let in just now comes after the others
                for writer in self._writers:
                    writer.transport.abort()
                await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        ends = {writer}
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
            ends.add(back)
            self._writers |= ends
            await asyncio.gather(_pump(reader, back), _pump(there, writer))
        except OSError:
            pass  # nobody is there: the client is told by the end of its connection
        finally:
            for each in ends:
                each.transport.abort()
            self._writers -= ends


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@dataclass(slots=True)
class Tampered:
    """A copy of the feed under a prefix of its own, in the hands of who writes to Redis."""

    source: Redis
    target: Redis
    prefix: str
    recorded: list[str] = field(default_factory=list)

    @property
    def heartbeat_key(self) -> str:
        return f"{{{self.prefix}}}:feed:heartbeat"

    @property
    def stream_key(self) -> str:
        (name,) = self.source.keys("{ww}:feed:*:entries") or [""]
        return name.replace("{ww}", f"{{{self.prefix}}}", 1)

    def rows(self) -> list[tuple[str, dict[str, str]]]:
        """The honest stream."""
        names = self.source.keys("{ww}:feed:*:entries")
        return self.source.xrange(names[0]) if names else []

    def beat(self) -> None:
        """Copy the heartbeat, and keep it."""
        heartbeat = self.source.get("{ww}:feed:heartbeat")
        if heartbeat:
            self.target.set(self.heartbeat_key, heartbeat)
            if heartbeat not in self.recorded:
                self.recorded.append(heartbeat)

    def write(self, rows: list[tuple[str, dict[str, str]]]) -> None:
        """Put a stream there."""
        with self.target.pipeline() as pipe:
            pipe.delete(self.stream_key)
            for number, members in rows:
                pipe.xadd(self.stream_key, members, id=number)
            pipe.execute()

    def copy(self) -> None:
        """All as it is."""
        self.write(self.rows())
        self.beat()


@contextmanager
def repeating(run: Callable[[], object], seconds: float = 0.1) -> Iterator[None]:
    """Do something again and again beside the block; a fault of it fails the test."""
    stop, faults = threading.Event(), list[BaseException]()

    def work() -> None:
        try:
            while not stop.wait(seconds):
                run()
        except BaseException as error:  # noqa: BLE001 (raised below)
            faults.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert faults == []
