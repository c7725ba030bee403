"""The revocation feed: entries and heartbeats are proven here, and nothing counts before.

Pure but for the facts and keys that it fills: whoever reads Redis or asks over HTTP hands in what
came, and says when. docs/reference/revocation-feed.md is the contract.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from watchword_verifier._errors import Malformed
from watchword_verifier._facts import Facts
from watchword_verifier._feed_claims import (
    MAX_LENGTH,
    Entry,
    Faulty,
    Heartbeat,
    parse_unproven,
    read_entry,
    read_heartbeat,
)
from watchword_verifier._jws import digest, parse_compact, parse_payload
from watchword_verifier._keys import Keys
from watchword_verifier._pulse import Pulse

_ENTRY, _HEARTBEAT = "revocation-feed+jwt", "revocation-heartbeat+jwt"


class UnknownFeedKey(Faulty):
    """Signed by a key that the feed's key set does not list: it may have to be fetched again."""


class KilledFeedKey(Faulty):
    """The feed says that keys of its own were killed: its key set has to be fetched before more."""

    def __init__(self, epoch: str, kids: set[str]) -> None:
        super().__init__("keys of the feed were killed")
        self.epoch = epoch
        self.kids = kids


@dataclass(frozen=True, slots=True)
class Moment:
    """When something came: by the monotonic clock, and by the wall's, both in seconds."""

    monotonic: float
    wall: float


class Feed:
    """One follower's place in the feed.

    `number` is the last entry processed of `epoch`, the epoch of the newest accepted heartbeat.
    The follower has kept up with a heartbeat once it processed every entry up to the heartbeat's
    head, each proven and chained; `age` counts from the newest such heartbeat. `is_complete` once
    it did so for the first time. `last` is the heartbeat that was proven last, newer or not.
    """

    def __init__(
        self, issuer: str, keys: Keys, facts: Facts, *, max_staleness: float, leeway: float
    ) -> None:
        self._issuer = issuer
        self._keys = keys
        self._facts = facts
        self._first_within = max_staleness + leeway
        self._pulse = Pulse(leeway)
        self._digest: str | None = None
        self._text = ""
        self._seen: tuple[float, float] = (0.0, 0.0)
        self._checked: dict[str, set[str]] = {}
        self.heartbeat: Heartbeat | None = None
        self.last: Heartbeat | None = None
        self.number = 0
        self.is_complete = False

    @property
    def epoch(self) -> str:
        """The epoch that is followed; empty before the first heartbeat."""
        return self.heartbeat.epoch if self.heartbeat else ""

    def lag(self, heartbeat: Heartbeat) -> float:
        """By how many seconds a proven heartbeat is behind; infinite in another epoch."""
        newest = self.heartbeat
        if newest is None or heartbeat.epoch != newest.epoch:
            return float("inf")
        return max(0.0, newest.time - heartbeat.time) / 1000 + self._seen[1]

    def age(self, monotonic: float) -> float:
        """Seconds since the newest heartbeat with which this follower kept up."""
        return self._pulse.age(monotonic)

    def database_age(self, monotonic: float) -> float:
        """Seconds since the server last read its database, as far as the newest heartbeat says."""
        if self.heartbeat is None:
            return float("inf")
        return self.age(monotonic) + (self.heartbeat.time - self.heartbeat.database_read_at) / 1000

    def hear(self, jws: str, now: Moment, *, trusted: bool = False) -> bool:
        """Take a heartbeat in; whether it was newer than the newest so far.

        An older one is ignored: it is a replay. `trusted` says that it came from the issuer over
        TLS. Raises Faulty, UnknownFeedKey.
        """
        if jws == self._text and not trusted:
            return False
        heartbeat = self.last = self._read_heartbeat(jws)
        known = self.heartbeat
        if known is not None and heartbeat.order <= known.order:
            return False
        sent = heartbeat.time / 1000
        if known is None and not trusted and abs(now.wall - sent) > self._first_within:
            raise Faulty("the first heartbeat is of another time than this machine's clock")
        if known is None or heartbeat.epoch != known.epoch:
            self._pulse.forget()
        delay = self._pulse.delay(sent, monotonic=now.monotonic, wall=now.wall, trusted=trusted)
        self._keys.kill(heartbeat.killed_kids)
        self._seen = (now.monotonic, delay)
        self._text, self.heartbeat = jws, heartbeat
        self._follow(heartbeat, is_new_epoch=known is None or heartbeat.epoch != known.epoch)
        self._settle(heartbeat)
        return True

    def take(self, epoch: str, page: Sequence[str]) -> int:
        """Take in entries in the order of their numbers; how many were new.

        Those that were processed already are passed over. It is enough to check the signature of
        the last one, and the chain back from there; where that fails, each is checked by itself,
        and what is proven is taken. Raises Faulty, UnknownFeedKey, in both cases after taking it.
        """
        heartbeat = self.heartbeat
        if heartbeat is None or epoch != heartbeat.epoch or not page:
            return 0
        before = self.number
        try:
            try:
                self._take_chained(epoch, page)
            except Faulty:
                self._take_each(epoch, page)
        finally:
            if self.number > before:
                self._settle(heartbeat)
        return self.number - before

    def begin_again(self) -> None:
        """Forget the place, not the facts: stale until the epoch was read again from its floor."""
        if self.heartbeat is not None:
            self._begin(self.heartbeat)
            self._pulse.fall_behind()

    def _read_heartbeat(self, jws: str) -> Heartbeat:
        claims = self._prove(jws, _HEARTBEAT)
        heartbeat = read_heartbeat(claims)
        suspects = set(heartbeat.killed_kids) & self._keys.feed.keys.keys()
        if suspects - self._checked.get(heartbeat.epoch, set()):
            # Whether a key of the feed was killed says the key set, fetched over TLS: else a
            # stolen key could kill the good one.
            raise KilledFeedKey(heartbeat.epoch, suspects)
        return heartbeat

    def trust_feed_keys(self, error: KilledFeedKey) -> None:
        """Those of the keys that the feed's key set, fetched just now, still lists live on.

        In that epoch: the death of a key of the feed begins another.
        """
        self._checked = {error.epoch: error.kids & self._keys.feed.keys.keys()}

    def _follow(self, heartbeat: Heartbeat, *, is_new_epoch: bool) -> None:
        """Begin where a new epoch begins, or where this follower fell behind the floor."""
        if is_new_epoch or self.number < heartbeat.floor - 1:
            self._begin(heartbeat)

    def _begin(self, heartbeat: Heartbeat) -> None:
        self.number = heartbeat.floor - 1
        if self.number == heartbeat.head:
            self._digest = heartbeat.digest
        else:
            self._digest = digest(heartbeat.epoch) if self.number == 0 else None

    def _settle(self, heartbeat: Heartbeat) -> None:
        """Note that the heartbeat was kept up with, if it was. Raises Faulty on another chain."""
        if self.number < heartbeat.head:
            return
        if self.number == heartbeat.head and self._digest != heartbeat.digest:
            self.begin_again()
            raise Faulty("the heartbeat names another head")
        self.is_complete = True
        self._pulse.keep_up(*self._seen)

    def _take_chained(self, epoch: str, page: Sequence[str]) -> None:
        """All or nothing: the last is proven by its signature, the others by the chain."""
        last = read_entry(self._prove(page[-1], _ENTRY), page[-1])
        entries = [read_entry(parse_unproven(jws), jws) for jws in page[:-1]] + [last]
        for before, entry in pairwise(entries):
            if entry.prev != before.digest or entry.number != before.number + 1:
                raise Faulty(f"entry {entry.number} does not chain to the one before it")
        for entry in entries:
            self._process(epoch, entry)

    def _take_each(self, epoch: str, page: Sequence[str]) -> None:
        for jws in page:
            self._process(epoch, read_entry(self._prove(jws, _ENTRY), jws))

    def _process(self, epoch: str, entry: Entry) -> None:
        """Take the facts of a proven entry, if it is the next one."""
        if entry.epoch != epoch:
            raise Faulty("an entry of another epoch")
        if entry.number <= self.number:
            return
        if entry.number != self.number + 1:
            raise Faulty(f"entry {self.number + 1} is missing")
        if self._digest is not None and entry.prev != self._digest:
            self.begin_again()
            raise Faulty(f"entry {entry.number} does not chain to the one before it")
        for fact in entry.facts:
            self._facts.add(fact)
        self._keys.kill([fact.subject for fact in entry.facts if fact.kind == "kid"])
        self.number, self._digest = entry.number, entry.digest

    def _prove(self, jws: str, typ: str) -> dict[str, Any]:
        """The claims of what the feed's keys signed for this issuer."""
        try:
            parsed = parse_compact(jws, max_length=MAX_LENGTH)
            if parsed.header.typ != typ:
                raise Faulty(f"something else stands where a {typ} belongs")
            key = self._keys.feed.keys.get(parsed.header.kid)
            if key is None:
                raise UnknownFeedKey(f"a {typ} by a key that the feed's key set does not list")
            if not key.verifies(parsed):
                raise Faulty(f"a {typ} with a bad signature")
            claims = parse_payload(parsed.payload)
        except Malformed as error:
            raise Faulty(f"a {typ} that can't be read: {error}") from None
        if claims.get("iss") != self._issuer:
            raise Faulty(f"a {typ} of another issuer")
        return claims
