"""Answering an authorization request with a code, once. AUTHZ-18."""

from service.flows.issue_code import Grant, issue_code
from service.oauth.errors import ConsentRequired
from service.oauth.interaction import ASK
from service.sql.authorization_requests import answer_request
from service.sql.connection import Database
from service.sql.consents import give_consent, is_allowed


class AlreadyAnswered(Exception):
    """The stored request was answered before, or is over."""


async def grant_code(
    database: Database, grant: Grant, *, handle_digest: bytes | None, consents: bool
) -> str:
    """The code. `handle_digest`: of the stored request that it answers, where it was stored.

    `consents`: the user has just allowed what is asked for, which is remembered. Else what was
    remembered has to hold still, where users are asked.
    Raises AlreadyAnswered, ConsentRequired, LoginRequired (nothing happened then),
    DatabaseUnavailable.
    """
    answered = True
    async with database.transaction() as connection:
        if handle_digest is not None:
            answered = await answer_request(connection, handle_digest)
        asked = (grant.sign_on.user_id, grant.client.id, grant.request.scope)
        asks = answered and not consents and grant.client.consent == ASK
        if answered and consents:
            await give_consent(connection, *asked)
        if asks and not await is_allowed(connection, *asked):
            raise ConsentRequired("the user has to consent", reason="taken back meanwhile")
        code = await issue_code(connection, grant) if answered else None
    if code is None:
        raise AlreadyAnswered
    return code
