"""Answering an authorization request with a code, once. AUTHZ-18."""

from service.flows.issue_code import Grant, issue_code
from service.oauth.errors import ConsentRequired
from service.oauth.interaction import needs_allowing
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
    Raises AlreadyAnswered, ConsentRequired, TemporarilyUnavailable (nothing happened then),
    DatabaseUnavailable.
    """
    client, scope = grant.client, grant.request.scope
    user_id, needed = grant.sign_on.user_id, needs_allowing(client, scope)
    if handle_digest is None and not consents and not needed:
        async with database.connection() as connection:  # one statement needs no transaction
            return await issue_code(connection, grant)
    async with database.transaction() as connection:
        if handle_digest is not None and not await answer_request(connection, handle_digest):
            raise AlreadyAnswered
        if consents:
            await give_consent(connection, user_id, client.id, scope)
        elif needed and not await is_allowed(connection, user_id, client.id, needed):
            raise ConsentRequired("the user has to consent", reason="taken back meanwhile")
        return await issue_code(connection, grant)
