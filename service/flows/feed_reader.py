"""Reading the feed back from Redis: nothing counts before its signature does."""

from dataclasses import dataclass

from service.keys.keyring import Keyring
from service.oauth.feed import (
    ENTRY_TYP,
    HEARTBEAT_TYP,
    MAX_ENTRY_LENGTH,
    Entry,
    Head,
    Heartbeat,
    next_head,
    read_entry,
    read_heartbeat,
)
from service.oauth.jws import encode_base64url, parse_compact, parse_payload
from service.oauth.signing_key import FEED
from service.redis.feed import RedisFeed

_PAGE = 256


@dataclass(frozen=True, slots=True)
class Tail:
    """What the stream has after a head: the entries in order, each signed, chained to the next."""

    entries: tuple[Entry, ...]
    head: Head

    def digest(self, number: int) -> str | None:
        """The digest of an entry, from the head that it goes on from to its last; else None."""
        if number == self.head.number:
            return encode_base64url(self.head.digest)
        index = number - (self.head.number - len(self.entries))
        return self.entries[index].prev if 0 <= index < len(self.entries) else None


def prove_heartbeat(jws: str, keyring: Keyring, issuer: str) -> Heartbeat | None:
    """The heartbeat, if this issuer signed it."""
    claims = _prove(jws, HEARTBEAT_TYP, keyring)
    return None if claims is None else read_heartbeat(claims, issuer)


def prove_entry(jws: str, keyring: Keyring, issuer: str) -> Entry | None:
    """The entry, if this issuer signed it."""
    claims = _prove(jws, ENTRY_TYP, keyring)
    return None if claims is None else read_entry(claims, issuer)


def _prove(jws: str, typ: str, keyring: Keyring) -> dict[str, object] | None:
    parsed = parse_compact(jws, max_length=MAX_ENTRY_LENGTH)
    if parsed is None or parsed.header.get("typ") != typ or not keyring.verify(parsed, FEED):
        return None
    return parse_payload(parsed.payload)


async def read_tail(feed: RedisFeed, head: Head, keyring: Keyring, issuer: str) -> Tail | None:
    """All entries that follow `head` in its epoch; None at the first that is forged or misplaced.

    Raises RedisUnavailable.
    """
    entries: list[Entry] = []
    while page := await feed.read(head.epoch, head.number, _PAGE):
        for jws in page:
            entry = prove_entry(jws, keyring, issuer)
            if entry is None or not _follows(entry, head):
                return None
            entries.append(entry)
            head = next_head(head, jws)
    return Tail(tuple(entries), head)


def _follows(entry: Entry, head: Head) -> bool:
    return (entry.epoch, entry.number, entry.prev) == (
        head.epoch,
        head.number + 1,
        encode_base64url(head.digest),
    )
