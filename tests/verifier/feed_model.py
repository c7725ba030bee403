"""A feed between an honest server and somebody who writes to Redis: what each does, and the truth.

Times are true seconds; the server's clock is right, the follower's wall clock is off by `ahead`.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from watchword_verifier._feed import Moment
from watchword_verifier._feed_claims import Faulty

from service.oauth.feed import Head, genesis, next_head
from tests.vectors import signed
from tests.verifier.parts import Parts

BEGAN = 1_727_000_000.0
LIFETIME = 720


@dataclass(slots=True)
class Published:
    """A fact, and when it was."""

    jti: str
    at: float

    @property
    def expires_at(self) -> int:
        return int(self.at) + LIFETIME

    @property
    def member(self) -> dict[str, Any]:
        return {"jti": self.jti, "exp": self.expires_at}


@dataclass(slots=True)
class Epoch:
    """One history of numbers: its entries from 1 on, and how many facts each has."""

    name: str
    entries: list[str] = field(default_factory=list)
    facts: list[list[Published]] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)

    def add(self, facts: list[Published]) -> None:
        self.heads = self.heads or [genesis(self.name)]
        jws = signed.entry(self.heads[-1], [fact.member for fact in facts])
        self.entries.append(jws)
        self.facts.append(facts)
        self.heads.append(next_head(self.heads[-1], jws))

    def floor(self, now: float) -> int:
        """The oldest number with a living fact; head + 1 if none has."""
        for number, facts in enumerate(self.facts, 1):
            if any(fact.expires_at > now for fact in facts):
                return number
        return len(self.entries) + 1


class Server:
    """Publishes facts and heartbeats; a new epoch signs every living fact again."""

    def __init__(self) -> None:
        self.epochs = [Epoch(_name(0))]
        self.facts: list[Published] = []
        self.heartbeats: list[tuple[str, float]] = []

    def revoke(self, count: int, now: float) -> None:
        facts = [Published(str(UUID(int=len(self.facts) + it + 1)), now) for it in range(count)]
        self.facts += facts
        self.epochs[-1].add(facts)

    def begin_epoch(self, now: float) -> None:
        living = [fact for fact in self.facts if fact.expires_at > now]
        self.epochs.append(Epoch(_name(len(self.epochs))))
        for at in range(0, len(living), 2):
            self.epochs[-1].add(living[at : at + 2])

    def beat(self, now: float) -> str:
        epoch = self.epochs[-1]
        head = epoch.heads[-1] if epoch.heads else genesis(epoch.name)
        time = int(now * 1000)
        jws = signed.heartbeat(head, floor=epoch.floor(now), time=time, killed=())
        self.heartbeats.append((jws, now))
        return jws


def _name(number: int) -> str:
    """UUIDv7s that rise."""
    return f"01920f3c-8a{number:02x}-7c3e-9d41-5b7f2e6a1c08"


class World:
    """The server, a follower, the true time, and by how much the follower may be deceived."""

    def __init__(self, ahead: float) -> None:
        self.passed = 0.0
        self.ahead = ahead
        self.server = Server()
        self.parts = Parts()
        self.parts.trust(signed.SECOND.public_jwk)
        self.first_delay = 0.0
        self._epoch = ""
        self._set_clocks()

    @property
    def now(self) -> float:
        return BEGAN + self.passed

    def wait(self, seconds: float) -> None:
        self.passed += seconds
        self._set_clocks()

    def _set_clocks(self) -> None:
        self.parts.times.wall = self.now + self.ahead
        self.parts.times.monotonic = 5_000 + self.passed

    def hear(self, jws: str, sent_at: float, *, trusted: bool = False) -> None:
        """Hand in a heartbeat that was made at `sent_at`."""
        feed, moment = self.parts.feed, Moment(5_000 + self.passed, self.now + self.ahead)
        try:
            is_new = feed.hear(jws, moment, trusted=trusted)
        except Faulty:
            is_new = False
        if is_new and (trusted or feed.epoch != self._epoch):
            # From here on it compares with this one: what it was late by stays unseen.
            self.first_delay = self.now - sent_at
        self._epoch = feed.epoch

    def take(self, epoch: str, page: list[str]) -> None:
        with suppress(Faulty):
            self.parts.feed.take(epoch, page)

    def deliver(self, *, trusted: bool) -> None:
        """All that the server has, in one go: as an honest Redis, or over TLS."""
        self.hear(self.server.beat(self.now), self.now, trusted=trusted)
        epoch = self.server.epochs[-1]
        self.take(epoch.name, epoch.entries[epoch.floor(self.now) - 1 :])

    @property
    def deception(self) -> float:
        """By how much its age may be smaller than the truth: what the contract forgives."""
        by_pace = max(self.first_delay, -self.ahead) + 0.0005 * self.passed
        by_wall = self.parts.leeway - self.ahead
        return max(0.0, min(by_pace, by_wall)) + 0.01
