"""Answering an authorization request with a code, once. AUTHZ-18."""

from service.flows.issue_code import Grant, issue_code
from service.sql.authorization_requests import answer_request
from service.sql.connection import Database
from service.sql.consents import give_consent


class AlreadyAnswered(Exception):
    """The stored request was answered before, or is over."""


async def grant_code(
    database: Database, grant: Grant, *, handle_digest: bytes | None, consents: bool
) -> str:
    """The code. `handle_digest`: of the stored request that it answers, where it was stored.

    `consents`: the user has just allowed what is asked for, which is remembered.
    Raises AlreadyAnswered, TemporarilyUnavailable (nothing happened then), DatabaseUnavailable.
    """
    answered = True
    async with database.transaction() as connection:
        if handle_digest is not None:
            answered = await answer_request(connection, handle_digest)
        if answered and consents:
            scope = grant.request.scope
            await give_consent(connection, grant.sign_on.user_id, grant.client.id, scope)
        code = await issue_code(connection, grant) if answered else None
    if code is None:
        raise AlreadyAnswered
    return code
