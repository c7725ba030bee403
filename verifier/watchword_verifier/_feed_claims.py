"""What entries and heartbeats of the feed say: their claims, read strictly."""

from dataclasses import dataclass
from typing import Any

from watchword_verifier._errors import Malformed
from watchword_verifier._facts import Fact, UnknownFact, read_fact
from watchword_verifier._jws import digest, parse_compact, parse_payload

MAX_LENGTH = 64 * 1024
_MAX_FACTS = 256


class Faulty(Exception):
    """What came is no feed of this issuer, or not whole; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A proven heartbeat; times in milliseconds since 1970, by the server's clock."""

    epoch: str
    head: int
    digest: str
    floor: int
    time: int
    database_read_at: int
    killed_kids: tuple[str, ...]

    @property
    def order(self) -> tuple[str, int, int]:
        """What only rises: epochs are UUIDv7, whose text sorts by time."""
        return (self.epoch, self.head, self.time)


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry; `digest` is that of its signed bytes, which the next entry's `prev` names."""

    epoch: str
    number: int
    prev: str
    facts: tuple[Fact, ...]
    digest: str


def place_of(jws: str) -> tuple[str, int]:
    """The epoch and number that an entry gives itself, unproven. Raises Faulty."""
    claims = parse_unproven(jws)
    epoch, number = claims.get("epoch"), claims.get("n")
    if not isinstance(epoch, str) or type(number) is not int:
        raise Faulty("an entry without epoch or number")
    return epoch, number


def parse_unproven(jws: str) -> dict[str, Any]:
    """The claims of an entry that the chain will prove. Raises Faulty."""
    try:
        return parse_payload(parse_compact(jws, max_length=MAX_LENGTH).payload)
    except Malformed as error:
        raise Faulty(f"an entry that can't be read: {error}") from None


def read_entry(claims: dict[str, Any], jws: str) -> Entry:
    """The entry in claims; `jws` are its signed bytes. Raises Faulty."""
    epoch, number, prev, members = (claims.get(name) for name in ("epoch", "n", "prev", "facts"))
    if not isinstance(epoch, str) or type(number) is not int or not isinstance(prev, str):
        raise Faulty("an entry without epoch, number or chain")
    if not isinstance(members, list) or not 0 < len(members) <= _MAX_FACTS:
        raise Faulty(f"entry {number} has no facts, or too many")
    try:
        facts = tuple(map(read_fact, members))
    except UnknownFact as error:
        raise Faulty(f"entry {number}: {error}") from None
    return Entry(epoch, number, prev, facts, digest(jws))


_MEMBERS: dict[str, type] = {
    "epoch": str,
    "head": int,
    "digest": str,
    "floor": int,
    "time": int,
    "database_read_at": int,
    "killed_kids": list,
}


def read_heartbeat(claims: dict[str, Any]) -> Heartbeat:
    """The heartbeat in claims. Raises Faulty."""
    members = {name: claims.get(name) for name in _MEMBERS}
    if any(type(members[name]) is not kind for name, kind in _MEMBERS.items()):
        raise Faulty("a heartbeat that lacks something")
    if not all(0 <= it < 1 << 53 for it in members.values() if isinstance(it, int)):
        raise Faulty("a heartbeat with a number that can't be")
    kids = claims["killed_kids"]
    if not all(isinstance(kid, str) for kid in kids):
        raise Faulty("a heartbeat with killed keys that are no names")
    if not 1 <= claims["floor"] <= claims["head"] + 1:
        raise Faulty("a heartbeat with a floor above its head")
    known: dict[str, Any] = {**members, "killed_kids": tuple(kids)}
    return Heartbeat(**known)
