"""Revocation of an access token: RFC 7009 §2."""

from datetime import datetime, timedelta

from service.flows.origin import Origin
from service.oauth.access_token import AccessToken
from service.oauth.errors import InvalidRequest, TemporarilyUnavailable
from service.oauth.revocation import FACT_TTL, MAX_TOKEN_FACTS, Revocation
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.revocations import count_token_facts, insert_revocation


async def revoke_token(
    access: AccessToken | None,
    database: Database,
    origin: Origin,
    *,
    client_id: str | None,
    now: datetime,
) -> bool:
    """Whether a fact was written; False for what is no token, or is void already (REV-1).

    `client_id` is the client that asks; None for the operator, who may revoke any token. Raises
    InvalidRequest for another client's token (REV-2), TemporarilyUnavailable when the client has
    too many living facts, and DatabaseUnavailable.
    """
    if access is None:
        return False
    if client_id not in (None, access.client_id):
        # The same answer for a live and a dead token: it tells nothing.
        raise InvalidRequest("the token was not issued to this client")
    if access.is_over(now):
        return False
    fact = Revocation(
        kind="jti",
        subject=access.jti,
        client_id=access.client_id,
        ttl=FACT_TTL,
        reason="revoked",
        actor=origin.actor,
    )
    async with database.transaction() as connection:
        if not await insert_revocation(connection, fact):
            return False
        if await count_token_facts(connection, access.client_id) > MAX_TOKEN_FACTS:
            # Inside the block: it takes the fact back.
            raise TemporarilyUnavailable(
                "too many tokens of this client were revoked one by one; revoke the client",
                retry_after=timedelta(seconds=60),
            )
        await insert_audit_event(
            connection,
            "token_revoked",
            client_id=access.client_id,
            address=origin.address,
            request_id=origin.request_id,
            actor=origin.actor,
            jti=access.jti,
        )
    return True
