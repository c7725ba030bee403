"""The signing keys as an operator sees them."""

from dataclasses import dataclass
from datetime import datetime

from service.oauth.key_life import KeyTimes, NextStep, next_step
from service.oauth.receipt import RECEIPT_TTL
from service.oauth.signing_key import SigningKey
from service.sql.connection import Database
from service.sql.feed_receipts import list_verifiers
from service.sql.signing_keys import list_signing_keys

_ORDER = {"active": 0, "pending": 1, "retiring": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownKey:
    """A key, since when it is in its state, what comes next, and which verifiers lack it."""

    key: SigningKey
    since: datetime | None
    next: NextStep
    lacking: tuple[str, ...]


async def list_keys(database: Database, times: KeyTimes) -> list[KnownKey]:
    """Every key that is not removed: those of tokens first, of each kind the one that signs."""
    async with database.connection() as connection:
        keys = await list_signing_keys(connection)
        verifiers = await list_verifiers(connection, RECEIPT_TTL)
    keys.sort(key=lambda key: (key.purpose != "token", key.alg, _ORDER[key.state]))
    return [
        KnownKey(
            key=key,
            since=_since(key),
            next=next_step(key, keys, times),
            lacking=tuple(it.name for it in verifiers if key.kid not in it.kids),
        )
        for key in keys
    ]


def _since(key: SigningKey) -> datetime | None:
    match key.state:
        case "active":
            return key.activates_at
        case "retiring":
            return key.retiring_at
        case _:
            return key.published_at
