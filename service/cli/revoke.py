"""watchword revoke: make tokens void everywhere."""

import sys

import click

from service.cli.context import ClientId, Refused, command, open_keyring, opened, publish
from service.flows.client_credentials import utc_now
from service.flows.manage_clients import revoke_client
from service.flows.origin import OPERATOR
from service.flows.read_token import read_token
from service.flows.revoke_token import revoke_token
from service.oauth.jws import MAX_TOKEN_LENGTH


@click.command()
@click.option("--token", help="An access token; - reads it from standard input.")
@click.option(
    "--client", "client_id", type=ClientId(), help="A client: all its tokens and sessions."
)
@command
async def revoke(token: str | None, client_id: str | None) -> None:
    """Make a token, or all tokens of a client, void everywhere."""
    if (token is None) == (client_id is None):
        raise click.UsageError("name one of --token and --client")
    async with opened() as context:
        if client_id is not None:
            epoch = await revoke_client(context.database, client_id, enabled=True)
            click.echo(f"tokens of {client_id} below epoch {epoch} are void")
        else:
            keyring, _ = await open_keyring(context)
            access = read_token(_text(token or ""), keyring, context.settings.issuer)
            if access is None:
                raise Refused("this is no access token of this issuer")
            written = await revoke_token(
                access, context.database, OPERATOR, client_id=None, now=utc_now()
            )
            click.echo(f"{access.jti} {'is void' if written else 'was void already'}")
        await publish(context)


def _text(argument: str) -> str:
    if argument != "-":
        return argument
    # What is longer, or no ASCII, is no token.
    raw = sys.stdin.buffer.read(MAX_TOKEN_LENGTH + 1)
    return raw.decode("ascii", "replace").strip()
