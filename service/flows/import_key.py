"""A signing key from elsewhere becomes the pending one."""

import asyncio
from datetime import timedelta

from service.flows.load_keys import PENDING, check_current_key
from service.flows.origin import OPERATOR, Origin
from service.keys.key_store import KeyStore
from service.keys.signer import PrivateKey
from service.oauth.signing_key import FEED, RS256
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.signing_keys import (
    insert_signing_key,
    is_key_known,
    list_signing_keys,
    lock_signing_keys,
    read_clock,
    remove_signing_key,
)

# A pod that is cut off goes by what it read up to 10 minutes ago.
_SETTLED = timedelta(minutes=15)


class UnfitKey(Exception):
    """The key can't be taken; the text says why, and nothing of the key."""


async def import_key(
    database: Database, store: KeyStore, pem: bytes, purpose: str, origin: Origin = OPERATOR
) -> str:
    """Publish a private key as the pending one in the place of the one that is; its key id.

    It is kept wrapped in the database, whatever hardware there is: outside, it was known already.

    Raises UnfitKey, KeyringError, DatabaseUnavailable.
    """
    try:
        signer = await asyncio.to_thread(PrivateKey.load_pem, pem)
    except (TypeError, ValueError) as error:
        raise UnfitKey(str(error)) from None
    if purpose == FEED and signer.alg != RS256:
        raise UnfitKey("the feed is signed with an RSA key")
    await check_current_key(database, store.master_keys)
    async with database.transaction() as connection:
        await lock_signing_keys(connection)
        # One that was killed or removed must never come back under the same id.
        if await is_key_known(connection, signer.kid):
            raise UnfitKey(f"the key {signer.kid} is or was a signing key here: make another one")
        now = await read_clock(connection)
        for key in await list_signing_keys(connection):
            if (key.state, key.kind) == ("pending", (purpose, signer.alg)):
                if key.activates_at < now + _SETTLED:
                    raise UnfitKey(f"{key.kid} is about to sign: try again in 15 minutes")
                await remove_signing_key(connection, key.kid)
        row = store.wrap(signer, purpose, state="pending", activates_at=now + PENDING)
        if not await insert_signing_key(connection, row):
            raise UnfitKey("a pod made the next key just now: try again")
        await insert_audit_event(
            connection,
            "key_imported",
            address=origin.address,
            request_id=origin.request_id,
            actor=origin.actor,
            kid=signer.kid,
            purpose=purpose,
        )
    return signer.kid
