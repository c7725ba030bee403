"""Purging: what no longer matters, in batches that hold no lock for long."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from service.flows.manage_users import forget
from service.oauth.receipt import RECEIPT_TTL
from service.sql.audit_events import delete_old_audit_events
from service.sql.authorization_codes import delete_old_codes
from service.sql.authorization_requests import delete_old_requests
from service.sql.connection import Connection, Database
from service.sql.feed import delete_entries_below_floor, delete_entries_of_left_epochs
from service.sql.feed_receipts import delete_lapsed_receipts
from service.sql.instances import delete_dead_instances
from service.sql.revocations import delete_expired_revocations
from service.sql.session_ends import delete_old_sessions
from service.sql.sign_ons import delete_old_sign_ons
from service.sql.users import list_deleted_users

_BATCH = 500


async def purge(database: Database, *, audit_retention: timedelta) -> dict[str, int]:
    """Delete what no longer matters; how many of each.

    That is expired revocations, feed entries below the floor, sessions and sign-ons that expired 30
    days ago, requests and codes that are over, audit events past their time, pods and verifiers
    that are long gone. Safe to run at any time, by
    any number of pods. Raises DatabaseUnavailable.
    """

    async def audit(connection: Connection, limit: int) -> int:
        return await delete_old_audit_events(connection, audit_retention, limit)

    counts = {
        "revocations": await _in_batches(database, delete_expired_revocations),
        "feed_entries": await _in_batches(database, delete_entries_below_floor)
        + await _in_batches(database, delete_entries_of_left_epochs),
        "sessions": await _in_batches(database, delete_old_sessions),
        "sign_ons": await _in_batches(database, delete_old_sign_ons),
        "authorization_requests": await _in_batches(database, delete_old_requests),
        "authorization_codes": await _in_batches(database, delete_old_codes),
        "audit_events": await _in_batches(database, audit),
    }
    async with database.connection() as connection:
        deleted = await list_deleted_users(connection)
    for user_id in deleted:  # what `users delete` was kept from finishing
        await forget(database, user_id)
    async with database.connection() as connection:
        counts["instances"] = await delete_dead_instances(connection)
        counts["receipts"] = await delete_lapsed_receipts(connection, RECEIPT_TTL)
    return counts


async def _in_batches(
    database: Database, delete: Callable[[Connection, int], Awaitable[int]]
) -> int:
    total = 0
    while True:
        async with database.connection() as connection:
            deleted = await delete(connection, _BATCH)
        total += deleted
        if deleted < _BATCH:
            return total
