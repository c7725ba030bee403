"""Introspection of a refresh token: RFC 7662 §2. Asking spends nothing and revokes nothing."""

from typing import Any

from service.flows.introspect import INACTIVE
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.refresh_token import RefreshTokens, UnknownRefreshKey
from service.oauth.rotation import Presented, Verdict, judge
from service.sql.connection import Database
from service.sql.sessions import find_stored


async def introspect_refresh(
    text: str,
    caller: Client,
    database: Database,
    tokens: RefreshTokens,
    issuer: str,
    *,
    foreign_keys: frozenset[int] = frozenset(),
) -> dict[str, Any]:
    """The response's members for the caller's own newest token; INACTIVE for all else (INT-2).

    Raises TemporarilyUnavailable for a token under a master key that only other pods have yet;
    DatabaseUnavailable, also while the database begins a new life.
    """
    try:
        token = tokens.read(text)
    except UnknownRefreshKey as error:
        if error.key_id in foreign_keys:
            raise TemporarilyUnavailable("the server is being updated; try again") from None
        token = None
    if token is None:
        return INACTIVE
    async with database.connection() as connection:
        stored = await find_stored(connection, token.session_id)
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
