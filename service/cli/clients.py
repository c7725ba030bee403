"""watchword clients: register and manage clients."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import click

from service.cli.client_options import named_members, registration_options
from service.cli.context import ClientId, Opened, command, opened, publish, show_table
from service.flows.manage_clients import (
    amend_client,
    create_client,
    get_client,
    reenable_client,
    revoke_client,
    rotate_secret,
    shadow_client,
)
from service.oauth.client import Client
from service.oauth.code_rules import warnings
from service.oauth.registration import CONFIDENTIAL, PUBLIC, Registration
from service.oauth.signing_key import RS256
from service.sql.clients import list_clients
from service.sql.signing_keys import list_signing_keys


@click.group()
def clients() -> None:
    """Register and manage clients."""


@clients.command()
@click.argument("client_id")
@click.option("--public", is_flag=True, help="A client that can keep no secret.")
@registration_options
@command
async def create(client_id: str, public: bool, **options: Any) -> None:  # noqa: FBT001 (a flag)
    """Register a client and print its secret, once.

    A first-party client is a public one.
    """
    members = named_members(options)
    public = public or members.get("first_party", False)
    registration = replace(PUBLIC if public else CONFIDENTIAL, id=client_id, name=client_id)
    registration = replace(registration, **members)
    async with opened() as context:
        issuer = context.settings.issuer
        if "administrator" in members:
            registration = registration.for_administration(issuer)
        secret = await create_client(context.database, registration, issuer)
        await _tell_what_signs(context, registration.signing_alg)
    _warn(registration)
    click.echo(f"client_id      {client_id}")
    if secret:
        click.echo(f"client_secret  {secret}")
        click.echo("The secret is shown this once; the database keeps only its SHA-256.", err=True)


@clients.command()
@click.argument("client_id", type=ClientId())
@registration_options
@command
async def change(client_id: str, **options: Any) -> None:
    """Change what is named, and nothing else; '' empties a list.

    Sessions and tokens that the client has go on as they were granted.
    """
    members = named_members(options)
    if not members:
        raise click.UsageError("name what to change")
    async with opened() as context:
        await amend_client(context.database, client_id, members, context.settings.issuer)
        client = await get_client(context.database, client_id)
        await _tell_what_signs(context, members.get("signing_alg", RS256))
    _warn(Registration.of(client))
    click.echo(f"{client_id} is changed; every pod knows it within seconds")


@clients.command()
@click.argument("client_id", type=ClientId())
@click.argument("mode", type=click.Choice(["on", "off"]))
@command
async def shadow(client_id: str, mode: str) -> None:
    """Report the reuse of refresh tokens and end no session for it, for 30 days; or end that."""
    async with opened() as context:
        await shadow_client(context.database, client_id, on=mode == "on")
        client = await get_client(context.database, client_id)
    if client.shadow_until is None:
        click.echo(f"{client_id} is out of shadow mode: reuse ends the session")
    else:
        until = client.shadow_until.isoformat(timespec="seconds")
        click.echo(f"{client_id} is in shadow mode: reuse ends no session until {until}")


@clients.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def list_(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """List the clients; as JSON with all that 'show' shows."""
    async with opened() as context, context.database.connection() as connection:
        found = await list_clients(connection)
    rows = [_details(client) if as_json else _summary(client) for client in found]
    show_table(rows, as_json=as_json, empty="no clients; make one with 'watchword clients create'")


@clients.command()
@click.argument("client_id", type=ClientId())
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@command
async def show(client_id: str, as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """Show one client; durations in seconds."""
    async with opened() as context:
        details = _details(await get_client(context.database, client_id))
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


async def _tell_what_signs(context: Opened, alg: str) -> None:
    async with context.database.connection() as connection:
        keys = await list_signing_keys(connection)
    if alg != RS256 and (alg, "active") not in {(key.alg, key.state) for key in keys}:
        click.echo(
            f"note: no {alg} key signs so far; until one does ('watchword keys list' says when), "
            f"{RS256} signs its tokens",
            err=True,
        )


def _warn(registration: Registration) -> None:
    for warning in warnings(registration):
        click.echo(f"note: {warning}", err=True)


def _summary(client: Client) -> dict[str, object]:
    return {
        "id": client.id,
        "name": client.name,
        "type": client.type,
        "first_party": client.first_party,
        "enabled": client.enabled,
        "shadow_until": client.shadow_until and client.shadow_until.isoformat(timespec="seconds"),
        "secrets": len(client.secret_digests),
        "audiences": client.audiences,
        "scopes": client.scopes,
    }


def _details(client: Client) -> dict[str, object]:
    return {
        **_summary(client),
        "default_scopes": client.default_scopes,
        "grant_types": client.grant_types,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": client.post_logout_redirect_uris,
        "require_pkce": client.require_pkce,
        "consent": client.consent,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        "serves": client.serves,
        "access_token_ttl": int(client.access_token_ttl.total_seconds()),
        "session_idle_ttl": int(client.session_idle_ttl.total_seconds()),
        "session_absolute_ttl": int(client.session_absolute_ttl.total_seconds()),
        "grace": int(client.grace.total_seconds()),
        "refresh_delivery": client.refresh_delivery,
        "allowed_origins": client.allowed_origins,
        "signing_alg": client.signing_alg,
        "administrator": client.administrator,
        "epoch": client.epoch,
    }
