"""Killing a signing key: for compromise. Its tokens are void everywhere within milliseconds."""

from dataclasses import dataclass

from service.flows.begin_life import begin_epoch
from service.flows.origin import Origin
from service.oauth.revocation import Revocation
from service.oauth.signing_key import FEED
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.feed import lock_head
from service.sql.revocations import insert_revocation
from service.sql.signing_keys import (
    activate_pending_key,
    kill_signing_key,
    list_signing_keys,
    lock_signing_keys,
    read_clock,
)


class UnknownKey(Exception):
    """No signing key has that id; the text says where to look."""


@dataclass(frozen=True, slots=True)
class KilledKey:
    """The purpose of a killed key, whether it lived until now, and who signs now (None: nobody)."""

    purpose: str
    lived: bool
    successor: str | None


async def kill_key(database: Database, kid: str, origin: Origin) -> KilledKey:
    """Take a key out of the key set for good, and say so in the feed and in every heartbeat.

    The pending key takes over at once. The death of a feed key begins a new epoch, in which the
    next one signs every living fact again. Raises UnknownKey, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        # First the feed, then the keys: in the order in which a publication takes them.
        head = await lock_head(connection)
        await lock_signing_keys(connection)
        killed = await kill_signing_key(connection, kid)
        if killed is None:
            raise UnknownKey(f"no signing key has the id {kid}: see 'watchword keys list'")
        purpose, alg, lived = killed
        if lived:
            fact = Revocation(
                kind="kid", subject=kid, ttl=None, reason="killed", actor=origin.actor
            )
            await insert_revocation(connection, fact)
            await activate_pending_key(connection, purpose, alg)
            if purpose == FEED:
                await begin_epoch(connection, head.epoch, await read_clock(connection))
            await insert_audit_event(
                connection,
                "key_killed",
                address=origin.address,
                request_id=origin.request_id,
                actor=origin.actor,
                kid=kid,
                purpose=purpose,
            )
        keys = await list_signing_keys(connection)
    active = [key.kid for key in keys if (key.kind, key.state) == ((purpose, alg), "active")]
    return KilledKey(purpose, lived, active[0] if active else None)
