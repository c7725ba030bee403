"""Revocation of a refresh token of any generation: it ends the session. RFC 7009 §2.1."""

from service.flows.end_sessions import end_one_session
from service.flows.origin import Origin
from service.oauth.errors import InvalidRequest, TemporarilyUnavailable
from service.oauth.refresh_token import RefreshTokens, UnknownRefreshKey
from service.sql.connection import Database
from service.sql.session_ends import find_client_of


async def revoke_refresh(  # noqa: PLR0913 (two are whose deed it is)
    text: str,
    database: Database,
    tokens: RefreshTokens,
    origin: Origin,
    *,
    client_id: str | None,
    reason: str = "revoked_by_client",
    foreign_keys: frozenset[int] = frozenset(),
) -> bool:
    """Whether a session was ended; False for what is no token, or whose session is over (REV-1).

    `client_id` is the client that asks; None for the operator. Raises InvalidRequest for another
    client's token (REV-2), TemporarilyUnavailable for one under a master key that only other pods
    have yet, and DatabaseUnavailable.
    """
    try:
        token = tokens.read(text)
    except UnknownRefreshKey as error:
        if error.key_id in foreign_keys:
            raise TemporarilyUnavailable("the server is being updated; try again") from None
        return False
    if token is None:
        return False
    async with database.connection() as connection:
        owner = await find_client_of(connection, token.session_id, token.secret_digest)
    if owner is None:
        return False
    if client_id not in (None, owner):
        # The same answer for a live and a dead session: it tells nothing.
        raise InvalidRequest("the token was not issued to this client")
    return await end_one_session(database, token.session_id, reason, origin) is not None
