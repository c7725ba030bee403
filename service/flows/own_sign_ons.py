"""What a user does with sign-ons and consents: look at them, end them, take them back."""

from uuid import UUID

from service.flows.end_sessions import write_ends
from service.flows.origin import Origin
from service.oauth.errors import NotFound
from service.sql.audit_events import insert_audit_event
from service.sql.authorization_codes import burn_codes
from service.sql.connection import Database
from service.sql.consents import withdraw_consent as delete_consent
from service.sql.sign_on_sessions import end_sessions_of_client, end_sessions_of_sign_on
from service.sql.sign_ons import end_sign_on, find_user_of_sign_on

_ENDED = "ended_by_user"
_WITHDRAWN = "consent_withdrawn"


async def end_own_sign_on(
    database: Database, user_id: UUID, sign_on_id: UUID, origin: Origin
) -> int:
    """End another browser's sign-on, and the sessions that may not outlive it; how many.

    Raises NotFound for another user's, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        is_own = await find_user_of_sign_on(connection, sign_on_id) == user_id
        ended: list[UUID] = []
        if is_own and await end_sign_on(connection, sign_on_id, _ENDED) is not None:
            ended = await end_sessions_of_sign_on(connection, sign_on_id, _ENDED)
            await write_ends(connection, ended, _ENDED, origin)
            await insert_audit_event(
                connection,
                "signed_out",
                user_id=user_id,
                address=origin.address,
                request_id=origin.request_id,
                actor=origin.actor,
                sessions=len(ended),
            )
    if not is_own:
        raise NotFound("there is no such session")
    return len(ended)


async def withdraw_consent(
    database: Database, user_id: UUID, client_id: str, origin: Origin
) -> int:
    """Take a consent back, and end what the client has by it (RT-17); how many sessions ended.

    Codes first: one that is on its way must not begin a session after the others ended.

    Raises NotFound where there is none, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        given = await delete_consent(connection, user_id, client_id)
        ended: list[UUID] = []
        if given:
            await burn_codes(connection, user_id, client_id)
            ended = await end_sessions_of_client(connection, user_id, client_id, _WITHDRAWN)
            await write_ends(connection, ended, _WITHDRAWN, origin)
            await insert_audit_event(
                connection,
                _WITHDRAWN,
                client_id=client_id,
                user_id=user_id,
                address=origin.address,
                request_id=origin.request_id,
                actor=origin.actor,
                sessions=len(ended),
            )
    if not given:
        raise NotFound("there is no such consent")
    return len(ended)
