"""Parts of a verifier without its background: a test decides what comes, and when."""

import json
from dataclasses import dataclass, field
from typing import Any

from watchword_verifier._clock import Clock
from watchword_verifier._facts import Facts
from watchword_verifier._feed import Feed, KilledFeedKey, Moment
from watchword_verifier._fetch import Fetcher
from watchword_verifier._keys import Keys

ISSUER = "https://auth.example"


@dataclass(slots=True)
class Times:
    """Both clocks, which stand still until a test moves them."""

    wall: float = 1_727_000_301.3
    monotonic: float = 5_000.0

    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic)

    def now(self) -> Moment:
        return Moment(self.monotonic, self.wall)

    def pass_by(self, seconds: float) -> None:
        self.wall += seconds
        self.monotonic += seconds


@dataclass(slots=True)
class Parts:
    """A feed with what it fills."""

    leeway: float = 30.0
    max_staleness: float = 30.0
    issuer: str = ISSUER
    times: Times = field(default_factory=Times)
    facts: Facts = field(default_factory=Facts)
    keys: Keys = field(init=False)
    feed: Feed = field(init=False)

    def __post_init__(self) -> None:
        fetcher = Fetcher(self.issuer, None, None)
        self.keys = Keys(fetcher, ("RS256",), self.times.clock(), None)
        self.feed = Feed(
            self.issuer,
            self.keys,
            self.facts,
            max_staleness=self.max_staleness,
            leeway=self.leeway,
        )

    def trust(self, *jwks: dict[str, Any]) -> None:
        """The feed's key set, as if it had just been fetched."""
        self.keys.feed.load(json.dumps({"keys": jwks}).encode(), age=0)

    def hear(self, jws: str, *, trusted: bool = False) -> bool:
        """Take a heartbeat in, as the follower does: the key set decides about the feed's keys."""
        try:
            return self.feed.hear(jws, self.times.now(), trusted=trusted)
        except KilledFeedKey as error:
            self.feed.trust_feed_keys(error)
            return self.feed.hear(jws, self.times.now(), trusted=trusted)

    @property
    def age(self) -> float:
        return self.feed.age(self.times.monotonic)
