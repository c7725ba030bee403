"""Beginning a session: only as the user is at that moment, under the version of the password."""

import secrets
import time

from service.flows.end_sessions import write_ends
from service.flows.origin import Origin
from service.flows.session_tokens import SessionIssuer, SessionTokens
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.session import MAX_SESSIONS_PER_USER, Session
from service.oauth.user import KnownUser
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.session_ends import end_surplus_sessions
from service.sql.sessions import NewSession, insert_session, is_unchanged
from service.sql.sign_ons import is_signed_on

_SURPLUS = "too_many_sessions"


async def begin_session(
    database: Database,
    issuer: SessionIssuer,
    user: KnownUser,
    client: Client,
    origin: Origin,
    *,
    device: str | None,
) -> SessionTokens | None:
    """The tokens of a new session; None if user or client changed since they were read.

    `user` was read with the password's hash that was proven. Raises TemporarilyUnavailable,
    SignerUnavailable, DatabaseUnavailable; nothing has begun then.
    """
    issuer.signer(client)
    token = issuer.begin(uuid7(int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES)))
    new = NewSession(
        id=token.session_id,
        user_id=user.id,
        credential_version=user.credential_version,
        client_id=client.id,
        secret_digest=token.secret_digest,
        scopes=client.default_scopes or client.scopes,
        audiences=client.audiences,
        amr=("pwd",),
        device=device,
        idle_ttl=client.session_idle_ttl,
        absolute_ttl=client.session_absolute_ttl,
    )
    asked = time.monotonic()
    async with database.transaction() as connection:
        session = await open_session(connection, new, origin)
        if session is not None:  # before COMMIT: where signing fails, no session is left behind
            return issuer.issue(client, session, token, asked=asked)
        unchanged = await is_unchanged(connection, new)
    if unchanged:  # so it was the database's life that was missing
        raise TemporarilyUnavailable("the database is recovering; try again shortly")
    return None


async def open_session(connection: Connection, new: NewSession, origin: Origin) -> Session | None:
    """The session, begun; None unless user and client are as they were read, in a living database.

    Nor where its sign-on is over. In the caller's transaction.
    """
    session = await insert_session(connection, new)
    # The sign-on before other sessions, as a sign-out has them: else each could wait for the other.
    if session is None or not await _may_begin(connection, new):
        return None
    await _end_surplus(connection, new, origin)
    await _audit(connection, new, origin)
    return session


async def _may_begin(connection: Connection, new: NewSession) -> bool:
    """Whether its sign-on goes on, if it has one, until the transaction ends."""
    return new.sign_on_id is None or await is_signed_on(connection, new.sign_on_id)


async def _end_surplus(connection: Connection, new: NewSession, origin: Origin) -> None:
    """However many sessions a user begins, ending all of them stays one short transaction."""
    ended = await end_surplus_sessions(
        connection, new.user_id, _SURPLUS, keep=MAX_SESSIONS_PER_USER
    )
    if ended:
        await write_ends(connection, ended, _SURPLUS, origin)


async def _audit(connection: Connection, new: NewSession, origin: Origin) -> None:
    await insert_audit_event(
        connection,
        "session_begun",
        client_id=new.client_id,
        user_id=new.user_id,
        session_id=new.id,
        address=origin.address,
        request_id=origin.request_id,
        device=new.device,
    )
