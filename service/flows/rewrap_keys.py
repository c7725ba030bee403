"""Signing keys under another master key, without a moment in which one can't be read."""

from service.flows.load_keys import check_current_key
from service.keys.key_store import KeyStore
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.signing_keys import list_signing_keys, lock_signing_keys, rewrap_signing_key


async def rewrap_keys(database: Database, store: KeyStore) -> list[str]:
    """Wrap every signing key under the current wrap key; the ids of those that were not.

    Keys in hardware are under no master key.

    Raises KeyringError when a living pod lacks that master key, or when this folder lacks one that
    a signing key is wrapped under; nothing is changed then. Raises DatabaseUnavailable.
    """
    master_keys = store.master_keys
    await check_current_key(database, master_keys)
    async with database.transaction() as connection:
        await lock_signing_keys(connection)
        keys = await list_signing_keys(connection)
        due = [key for key in keys if key.wrap_key_id not in (None, master_keys.current_wrap)]
        for key in due:
            wrapped = store.rewrap(key)
            await rewrap_signing_key(connection, key.kid, wrapped, master_keys.current_wrap)
        if due:
            await insert_audit_event(
                connection,
                "keys_rewrapped",
                wrap_key_id=master_keys.current_wrap,
                kids=[key.kid for key in due],
            )
    return [key.kid for key in due]
