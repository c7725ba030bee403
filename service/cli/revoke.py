"""watchword revoke: make tokens void everywhere."""

import sys
from uuid import UUID

import click

from service.cli.context import (
    ClientId,
    Opened,
    Refused,
    UserName,
    command,
    get_user,
    open_keyring,
    open_publisher,
    opened,
)
from service.cli.verifiers import tell_who_has_seen, wait_option
from service.flows.client_credentials import utc_now
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import revoke_client
from service.flows.manage_users import end_everywhere
from service.flows.origin import OPERATOR
from service.flows.read_token import read_token
from service.flows.revoke_refresh import revoke_refresh
from service.flows.revoke_token import revoke_token
from service.keys.master_keys import read_master_keys
from service.oauth.jws import MAX_TOKEN_LENGTH
from service.oauth.refresh_token import PREFIX, RefreshTokens, UnknownRefreshKey
from service.sql.session_ends import find_user_of

_REASON = "revoked_by_operator"


@click.command()
@click.option("--token", help="An access or refresh token; - reads it from standard input.")
@click.option("--session", "session_id", type=click.UUID, help="A session: all its tokens.")
@click.option("--user", type=UserName(), help="A user: all sessions. Username, e-mail or id.")
@click.option(
    "--client", "client_id", type=ClientId(), help="A client: all its tokens and sessions."
)
@wait_option
@command
async def revoke(
    token: str | None,
    session_id: UUID | None,
    user: str | None,
    client_id: str | None,
    wait: int | None,
) -> None:
    """Make a token, or all tokens of a session, a user or a client, void everywhere.

    A refresh token stands for its session: revoking one ends the session.
    """
    if sum(named is not None for named in (token, session_id, user, client_id)) != 1:
        raise click.UsageError("name one of --token, --session, --user and --client")
    async with opened() as context:
        publisher = await open_publisher(context)
        if session_id is not None:
            said = await _end_session(context, session_id)
        elif user is not None:
            said = await _end_sessions_of(context, user)
        elif client_id is not None:
            epoch = await revoke_client(context.database, client_id, enabled=True)
            said = f"tokens of {client_id} below epoch {epoch} are void"
        else:
            said = await _revoke_token(context, _text(token or ""))
        click.echo(said)
        head = await publisher.publish()
        if wait is not None:
            await tell_who_has_seen(context, head, wait)


async def _end_session(context: Opened, session_id: UUID) -> str:
    if await end_one_session(context.database, session_id, _REASON, OPERATOR):
        return f"session {session_id} is ended"
    async with context.database.connection() as connection:
        if await find_user_of(connection, session_id) is None:
            raise Refused(f"there is no session {session_id}")
    return f"session {session_id} was over already"


async def _end_sessions_of(context: Opened, name: str) -> str:
    user = await get_user(context, name)
    ended = await end_everywhere(context.database, user.id, _REASON, OPERATOR)
    return f"sessions of {user.username} ended: {ended}"


async def _revoke_token(context: Opened, text: str) -> str:
    if text.startswith(PREFIX):
        return await _revoke_refresh_token(context, text)
    keyring = await open_keyring(context)
    access = read_token(text, keyring, context.settings.issuer)
    if access is None:
        raise Refused("this is no token of this issuer")
    written = await revoke_token(access, context.database, OPERATOR, client_id=None, now=utc_now())
    return f"{access.jti} {'is void' if written else 'was void already'}"


async def _revoke_refresh_token(context: Opened, text: str) -> str:
    keys_dir = context.settings.keys_dir
    tokens = RefreshTokens(context.settings.issuer, read_master_keys(keys_dir).refresh)
    try:
        token = tokens.read(text)
    except UnknownRefreshKey as error:
        raise Refused(f"the token is under refresh-{error.key_id}.key: not in {keys_dir}") from None
    if token is None:
        raise Refused("this is no token of this issuer")
    ended = await revoke_refresh(
        text, context.database, tokens, OPERATOR, client_id=None, reason=_REASON
    )
    return f"session {token.session_id} {'is ended' if ended else 'was over already'}"


def _text(argument: str) -> str:
    if argument != "-":
        return argument
    # What is longer, or no ASCII, is no token.
    raw = sys.stdin.buffer.read(MAX_TOKEN_LENGTH + 1)
    return raw.decode("ascii", "replace").strip()
