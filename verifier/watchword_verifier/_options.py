"""What a verifier is told; the same for the asynchronous one and its synchronous twin."""

import re
import ssl
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal, get_args

from watchword_verifier._fetch import check_issuer
from watchword_verifier._jwks import ALGORITHMS

Stale = Literal["reject", "accept", "introspect"]

_MAX_LEEWAY = timedelta(seconds=60)
_MIN_STALENESS = timedelta(seconds=5)
_NAME = re.compile(r"[A-Za-z0-9._:-]{1,128}")


@dataclass(kw_only=True, eq=False, repr=False)
class Options:
    """The options of a verifier. Raises ValueError for one that can't be.

    issuer
        The authorization server's URL, exactly as tokens name it (`iss`); https, or a loopback
        host in development.
    audience
        The name of this resource server, exactly as tokens name it (`aud`).
    revocations
        `redis://…` or `rediss://…`: follow the stream in Redis. None: the issuer's HTTP feed.
    redis_prefix
        The server's WATCHWORD_REDIS_PREFIX.
    reserve
        With Redis: ask the issuer over HTTP while Redis has nothing new to say.
    client
        Id and secret of a confidential client: for receipts, `stale="introspect"`, and a feed that
        is open to clients alone.
    name
        Under which receipts are reported, one for each process; by default the host's name and the
        process id.
    max_staleness
        How old the news of revocations may be, at least 5 s.
    stale
        What happens then: `reject` (RevocationsStale, 503), `accept`, or `introspect` (the issuer
        is asked about each token).
    max_database_staleness
        The same for the server's own reading of its database, while which is away nothing can be
        revoked. None: that is reported, and no reason to refuse.
    leeway
        By how much clocks may differ, at most 60 s.
    multiple_audiences
        Accept a token whose `aud` names others beside this resource server.
    algorithms
        Which signatures are accepted; the issuer's key set decides which key has which.
    cache_size
        How many verified tokens are remembered; 0: none.
    key_cache
        A file in which keys outlive this process, for a start while the issuer is away.
    tls
        For an issuer behind a certificate authority of your own.
    start_timeout
        How long starting waits for keys and the first snapshot, before it goes on without.
    """

    issuer: str
    audience: str
    revocations: str | None = None
    redis_prefix: str = "ww"
    reserve: bool = True
    client: tuple[str, str] | None = None
    name: str | None = None
    max_staleness: timedelta = timedelta(seconds=30)
    stale: Stale = "reject"
    max_database_staleness: timedelta | None = None
    leeway: timedelta = timedelta(seconds=30)
    multiple_audiences: bool = False
    algorithms: Collection[str] = ("RS256", "ES256")
    cache_size: int = 10_000
    key_cache: Path | None = None
    tls: ssl.SSLContext | None = None
    start_timeout: timedelta = timedelta(seconds=5)

    def __post_init__(self) -> None:
        check_issuer(self.issuer)
        for is_fit, demand in self._demands():
            if not is_fit:
                raise ValueError(demand)

    def _demands(self) -> Iterator[tuple[bool, str]]:
        yield bool(self.audience), "audience must be the name of this resource server"
        url = self.revocations
        yield (
            url is None or url.startswith(("redis://", "rediss://")),
            "revocations must begin with redis:// or rediss://, or be None",
        )
        choices = get_args(Stale)
        yield self.stale in choices, f"stale must be one of {', '.join(choices)}"
        yield (
            self.stale != "introspect" or self.client is not None,
            "stale='introspect' needs client=(id, secret)",
        )
        yield (
            timedelta(0) <= self.leeway <= _MAX_LEEWAY,
            "leeway must be between 0 and 60 seconds",
        )
        yield self.max_staleness >= _MIN_STALENESS, "max_staleness must be at least 5 seconds"
        yield (
            bool(self.algorithms) and set(self.algorithms) <= ALGORITHMS,
            f"algorithms must be of {', '.join(sorted(ALGORITHMS))}",
        )
        yield self.cache_size >= 0, "cache_size can't be negative"
        yield (
            self.name is None or _NAME.fullmatch(self.name) is not None,
            "name must be 1 to 128 of A-Z a-z 0-9 . _ : -",
        )
