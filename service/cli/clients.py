"""watchword clients: register and manage clients."""

from datetime import timedelta

import click

from service.cli.context import ClientId, command, opened, publish, show_table
from service.flows.manage_clients import (
    ClientRefused,
    create_client,
    reenable_client,
    revoke_client,
    rotate_secret,
)
from service.oauth.client import Client, Registration
from service.sql.clients import find_client, list_clients


@click.group()
def clients() -> None:
    """Register and manage clients."""


@clients.command()
@click.argument("client_id")
@click.option("--name", help="What people read; the id if left out.")
@click.option("--public", is_flag=True, help="A client that can keep no secret.")
@click.option("--grant", "grants", multiple=True, help="Grant type; repeat for more.")
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    help="API its tokens are for; the first is the default.",
)
@click.option("--scope", "scopes", multiple=True, help="Scope value it may have; repeat for more.")
@click.option(
    "--default-scope", "default_scopes", multiple=True, help="Scope when a request names none."
)
@click.option("--serves", "serves", multiple=True, help="Audience whose tokens it may introspect.")
@click.option(
    "--token-ttl",
    type=click.IntRange(0, 86_400),
    default=300,
    show_default=True,
    help="Access token lifetime, seconds.",
)
@command
async def create(  # noqa: PLR0913, PLR0917 (one argument for each option)
    client_id: str,
    name: str | None,
    public: bool,  # noqa: FBT001 (a flag)
    grants: tuple[str, ...],
    audiences: tuple[str, ...],
    scopes: tuple[str, ...],
    default_scopes: tuple[str, ...],
    serves: tuple[str, ...],
    token_ttl: int,
) -> None:
    """Register a client and print its secret, once."""
    registration = Registration(
        id=client_id,
        name=name or client_id,
        type="public" if public else "confidential",
        token_endpoint_auth_method="none" if public else "client_secret_basic",
        grant_types=grants or (() if public else ("client_credentials",)),
        audiences=audiences,
        scopes=scopes,
        default_scopes=default_scopes,
        serves=serves,
        access_token_ttl=timedelta(seconds=token_ttl),
    )
    async with opened() as context:
        secret = await create_client(context.database, registration, context.settings.issuer)
    click.echo(f"client_id      {client_id}")
    if secret:
        click.echo(f"client_secret  {secret}")
        click.echo("The secret is shown this once; the database keeps only its SHA-256.", err=True)


@clients.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def list_(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """List the clients."""
    async with opened() as context, context.database.connection() as connection:
        rows = [_summary(client) for client in await list_clients(connection)]
    show_table(rows, as_json=as_json, empty="no clients; make one with 'watchword clients create'")


@clients.command()
@click.argument("client_id", type=ClientId())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
async def show(client_id: str, as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """Show one client."""
    async with opened() as context, context.database.connection() as connection:
        client = await find_client(connection, client_id)
    if client is None:
        raise ClientRefused(f"there is no client {client_id}")
    details = _details(client)
    if as_json:
        show_table([details], as_json=True, empty="")
    else:
        rows = [{"member": name, "value": value} for name, value in details.items()]
        show_table(rows, as_json=False, empty="")


@clients.command("rotate-secret")
@click.argument("client_id", type=ClientId())
@click.option(
    "--overlap-hours",
    type=click.IntRange(0, 8760),
    default=24,
    show_default=True,
    help="How long the old one goes on.",
)
@command
async def rotate(client_id: str, overlap_hours: int) -> None:
    """Print a new secret; the one before it goes on for a while."""
    async with opened() as context:
        secret = await rotate_secret(context.database, client_id, timedelta(hours=overlap_hours))
    click.echo(f"client_secret  {secret}")
    click.echo(f"The secret before it works for {overlap_hours} more hours.", err=True)


@clients.command()
@click.argument("client_id", type=ClientId())
@command
async def disable(client_id: str) -> None:
    """Refuse the client, and end its tokens and sessions everywhere."""
    async with opened() as context:
        epoch = await revoke_client(context.database, client_id, enabled=False)
        await publish(context)
    click.echo(f"{client_id} is disabled; tokens below epoch {epoch} are void")


@clients.command()
@click.argument("client_id", type=ClientId())
@command
async def enable(client_id: str) -> None:
    """Let a disabled client have tokens again."""
    async with opened() as context:
        await reenable_client(context.database, client_id)
    click.echo(f"{client_id} is enabled")


def _summary(client: Client) -> dict[str, object]:
    return {
        "id": client.id,
        "name": client.name,
        "type": client.type,
        "enabled": client.enabled,
        "secrets": len(client.secret_digests),
        "audiences": client.audiences,
        "scopes": client.scopes,
    }


def _details(client: Client) -> dict[str, object]:
    return {
        **_summary(client),
        "default_scopes": client.default_scopes,
        "grant_types": client.grant_types,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "serves": client.serves,
        "access_token_ttl": int(client.access_token_ttl.total_seconds()),
        "epoch": client.epoch,
    }
