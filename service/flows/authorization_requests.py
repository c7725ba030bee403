"""Authorization requests that wait for a person: kept here, with a handle for the browser alone.

The answer is to exactly what was asked, whatever another tab asks meanwhile (AUTHZ-17).
"""

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from service.oauth.authorization_request import Pairs
from service.oauth.jws import encode_base64url
from service.sql.authorization_requests import bind_request, find_request, insert_request
from service.sql.connection import Database

# Time to register, find the password, read what is asked for.
_TTL = timedelta(minutes=30)
_HANDLE_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingRequest:
    """A request that waits, as it came."""

    handle: str
    client_id: str
    pairs: Pairs
    asked_at: datetime

    @property
    def digest(self) -> bytes:
        """What the database has of the handle."""
        return _digest(self.handle)


async def keep_request(
    database: Database, client_id: str, pairs: Pairs, *, browser_digest: bytes | None
) -> str:
    """The handle of a request that waits from here on. Raises DatabaseUnavailable.

    Without a browser it becomes that of the first that comes with the handle: a POST from another
    site arrives without cookies (AUTHZ-1).
    """
    handle = encode_base64url(secrets.token_bytes(_HANDLE_BYTES))
    async with database.connection() as connection:
        await insert_request(
            connection, _digest(handle), client_id, json.dumps(pairs), browser_digest, _TTL
        )
    return handle


async def find_waiting_request(
    database: Database, handle: str, browser_digest: bytes
) -> WaitingRequest | None:
    """The request of that handle and browser; None if it is over, answered, or another browser's.

    Raises DatabaseUnavailable.
    """
    digest = _digest(handle)
    async with database.connection() as connection:
        stored = await find_request(connection, digest)
        if stored is None:
            return None
        owner = stored.browser_digest
        if owner is None:
            owner = await bind_request(connection, digest, browser_digest)
    if owner is None or not compare_digest(owner, browser_digest):
        return None
    pairs = [(name, value) for name, value in json.loads(stored.parameters)]
    return WaitingRequest(
        handle=handle, client_id=stored.client_id, pairs=pairs, asked_at=stored.created_at
    )


def _digest(handle: str) -> bytes:
    return sha256(handle.encode()).digest()
