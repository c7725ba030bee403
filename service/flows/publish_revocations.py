"""Publishing: committed facts get numbers, in entries that are signed and chained."""

from collections.abc import Sequence
from datetime import datetime

from service.keys.keyring import Keyring
from service.keys.sign import sign
from service.oauth.feed import ENTRY_TYP, FACTS_PER_ENTRY, Head, entry_claims, next_head
from service.oauth.revocation import FACT_TTL, Fact
from service.oauth.signing_key import FEED
from service.redis.feed import SignedEntry
from service.sql.connection import Database
from service.sql.database_life import find_life
from service.sql.feed import insert_entry, lock_head, update_head
from service.sql.revocations import Unnumbered, list_unnumbered, number_revocations
from service.sql.signing_keys import is_key_dead

ENTRIES_AT_ONCE = 16


async def publish_revocations(
    database: Database, keyring: Keyring, issuer: str
) -> tuple[Head | None, list[SignedEntry]]:
    """Number and sign all facts that were committed so far, up to 4,096 of them.

    The feed's one row is locked meanwhile, so numbers have no gaps and none is given twice. While
    the database begins a new life nothing is numbered, nor by a pod that has not heard yet that its
    key was killed. The head then, whoever numbered it, and the entries of this call, committed;
    copying them to Redis is the caller's. No head where nothing could be numbered.
    Raises DatabaseUnavailable.
    """
    entries: list[SignedEntry] = []
    async with database.transaction() as connection:
        head = await lock_head(connection)
        signer = keyring.key_set(FEED).signer
        if await find_life(connection) is None or await is_key_dead(connection, signer.kid):
            return None, []
        due = await list_unnumbered(connection, FACTS_PER_ENTRY * ENTRIES_AT_ONCE)
        numbers: list[int] = []
        for page in _pages(due):
            facts = [it.fact for it in page]
            jws = sign(signer, ENTRY_TYP, entry_claims(issuer, head, facts))
            head = next_head(head, jws)
            await insert_entry(
                connection,
                head,
                jws,
                expires_at=_last_expiry(facts),
                ttl=FACT_TTL,
                written_at=min((it.written_at for it in page if it.written_at), default=None),
            )
            entries.append(SignedEntry(head.number, jws, tuple(facts)))
            numbers += [head.number] * len(facts)
        if entries:
            await number_revocations(connection, [it.id for it in due], numbers)
            await update_head(connection, head)
    return head, entries


def _pages(due: list[Unnumbered]) -> list[list[Unnumbered]]:
    return [due[start : start + FACTS_PER_ENTRY] for start in range(0, len(due), FACTS_PER_ENTRY)]


def _last_expiry(facts: Sequence[Fact]) -> datetime | None:
    """Until when the entry matters to a follower, who finds killed keys in every heartbeat."""
    return max((fact.expires_at for fact in facts if fact.expires_at is not None), default=None)
