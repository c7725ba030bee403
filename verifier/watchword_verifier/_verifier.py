"""The verifier, for services with an event loop."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from types import TracebackType
from typing import Self

from watchword_verifier._claims import Claims
from watchword_verifier._engine import Engine
from watchword_verifier._options import Options, Stale
from watchword_verifier._status import Status


@dataclass(kw_only=True, eq=False, repr=False)
class Verifier(Options):
    """Verifies access tokens of one issuer for one resource server.

    Use it as `async with Verifier(issuer=…, audience=…) as verifier`, once a process: entering
    starts what follows keys and revocations and waits until both are here, or `start_timeout`;
    after that it goes on trying. See Options for what it can be told.
    """

    _engine: Engine = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._engine = Engine(self)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def start(self) -> None:
        """Begin to follow keys and revocations; wait until both are here, or `start_timeout`.

        It is no failure when they are not: `ready` says so, `verify` raises Unavailable, and
        trying goes on.
        """
        await self._engine.start()

    async def close(self) -> None:
        """Stop following, and close every connection."""
        await self._engine.close()

    async def verify(
        self,
        token: str,
        *,
        scopes: Iterable[str] = (),
        stale: Stale | None = None,
        max_staleness: timedelta | None = None,
    ) -> Claims:
        """The claims of a good token that has every one of these scopes.

        Once keys and revocations are here this does no I/O, but for a token by an unknown key (one
        fetch of the keys, shared by all and limited in rate) and where stale revocations are to be
        made up for by introspection. `stale` and `max_staleness` replace the verifier's own for
        this call. Raises TokenError (the request is refused: 400, 401, 403) and Unavailable (503).
        """
        return await self._engine.verify(token, scopes, stale or self.stale, max_staleness)

    @property
    def ready(self) -> bool:
        """Whether keys and a first snapshot of the revocations are here: for a readiness probe."""
        return self._engine.is_ready

    @property
    def staleness(self) -> timedelta | None:
        """How old the news of revocations is; None before the first snapshot."""
        return self._engine.staleness

    @property
    def status(self) -> Status:
        """How this verifier does: for health checks and metrics."""
        return self._engine.status()
