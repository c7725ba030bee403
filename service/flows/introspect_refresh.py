"""Introspection of a refresh token: RFC 7662 §2. Asking spends nothing and revokes nothing."""

from typing import Any

from service.flows.introspect import INACTIVE
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.refresh_token import RefreshTokens, UnknownRefreshKey
from service.oauth.rotation import Presented, Verdict, judge
from service.sql.connection import Database
from service.sql.database_life import find_life
from service.sql.sessions import find_stored


async def introspect_refresh(
    text: str, caller: Client, database: Database, tokens: RefreshTokens, issuer: str
) -> dict[str, Any]:
    """The response's members for the caller's own newest token; INACTIVE for all else (INT-2).

    Raises TemporarilyUnavailable while the database begins a new life, and DatabaseUnavailable.
    """
    try:
        token = tokens.read(text)
    except UnknownRefreshKey:
        token = None
    if token is None:
        return INACTIVE
    async with database.connection() as connection:
        stored = await find_stored(connection, token.session_id)
        if stored is None and await find_life(connection) is None:
            raise TemporarilyUnavailable("revocations are being recovered; try again shortly")
    # The newest token is the one that nothing speaks against; a spent one may be retried at most.
    if stored is None or judge(Presented(token=token, client=caller), stored) is not Verdict.AGAIN:
        return INACTIVE
    session = stored.session
    return {
        "active": True,
        "scope": " ".join(session.scopes),
        "client_id": session.client_id,
        "exp": int((session.now + session.refresh_ttl).timestamp()),
        "sub": str(session.user_id),
        "iss": issuer,
        "sid": str(session.id),
    }
