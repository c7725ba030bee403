"""The revocation feed's contract: entries in a numbered hash chain, and the heartbeat over them.

docs/reference/revocation-feed.md describes the same for verifiers in any language.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from service.oauth.jws import encode_base64url
from service.oauth.revocation import Fact, read_fact

ENTRY_TYP = "revocation-feed+jwt"
HEARTBEAT_TYP = "revocation-heartbeat+jwt"
FACTS_PER_ENTRY = 256
# An entry of so many facts is longer than a token may be.
MAX_ENTRY_LENGTH = 64 * 1024

_HEARTBEAT = {
    "epoch": str,
    "head": int,
    "digest": str,
    "floor": int,
    "time": int,
    "database_read_at": int,
    "killed_kids": list,
}


@dataclass(frozen=True, slots=True)
class Head:
    """The newest number of an epoch and the digest that the next entry's `prev` must name."""

    epoch: str
    number: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry, its signature proven."""

    epoch: str
    number: int
    prev: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A heartbeat, its signature proven. Times: milliseconds since 1970, PostgreSQL's clock."""

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


def genesis(epoch: str) -> Head:
    """The head of an epoch without entries: its digest is that of the epoch's own text."""
    return Head(epoch, 0, sha256(epoch.encode()).digest())


def entry_claims(issuer: str, head: Head, facts: Sequence[Fact]) -> dict[str, Any]:
    """The claims of the entry that follows `head`."""
    return {
        "iss": issuer,
        "epoch": head.epoch,
        "n": head.number + 1,
        "prev": encode_base64url(head.digest),
        "facts": [fact.as_member() for fact in facts],
    }


def next_head(head: Head, jws: str) -> Head:
    """The head after the entry: SHA-256 of the signed bytes chains it to the next."""
    return Head(head.epoch, head.number + 1, sha256(jws.encode()).digest())


def read_entry(claims: dict[str, Any], issuer: str) -> Entry | None:
    """The entry that the claims describe; None unless they are one of this issuer."""
    epoch, number, prev, members = (claims.get(name) for name in ("epoch", "n", "prev", "facts"))
    if claims.get("iss") != issuer or not isinstance(epoch, str) or type(number) is not int:
        return None
    if not isinstance(prev, str) or not isinstance(members, list):
        return None
    facts = tuple(read_fact(member) for member in members)
    if any(fact is None for fact in facts):
        return None
    return Entry(epoch, number, prev, tuple(fact for fact in facts if fact is not None))


def heartbeat_claims(issuer: str, heartbeat: Heartbeat) -> dict[str, Any]:
    """The claims of a heartbeat."""
    return {
        "iss": issuer,
        "epoch": heartbeat.epoch,
        "head": heartbeat.head,
        "digest": heartbeat.digest,
        "floor": heartbeat.floor,
        "time": heartbeat.time,
        "database_read_at": heartbeat.database_read_at,
        "killed_kids": list(heartbeat.killed_kids),
    }


def read_heartbeat(claims: dict[str, Any], issuer: str) -> Heartbeat | None:
    """The heartbeat that the claims describe; None unless they are one of this issuer."""
    members = {name: claims.get(name) for name in _HEARTBEAT}
    if claims.get("iss") != issuer or any(
        type(members[name]) is not kind for name, kind in _HEARTBEAT.items()
    ):
        return None
    kids: list[Any] = claims["killed_kids"]
    if not all(isinstance(kid, str) for kid in kids):
        return None
    return Heartbeat(**{**members, "killed_kids": tuple(kids)})  # pyright: ignore[reportArgumentType] (each was checked)


def milliseconds(at: datetime) -> int:
    """Milliseconds since 1970, for the times of a heartbeat."""
    return int(at.timestamp() * 1000)
