"""watchword migrate, purge and recover."""

import click

from migrations.connection import role_in
from migrations.runner import migrate as run_migrations
from service.cli.context import command, open_keyring, opened
from service.flows.purge import purge as purge_database
from service.flows.recover import NothingToRecover
from service.flows.recover import recover as recover_database
from service.settings import load_settings


@click.command()
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@command
async def migrate(dry_run: bool) -> None:  # noqa: FBT001 (a flag)
    """Bring the schema up to date; any number may run at once."""
    settings = load_settings()
    url = settings.database_url.reveal()
    owner = settings.migrate_database_url
    await run_migrations(
        owner.reveal() if owner else url,
        app_role=role_in(url) if owner else None,
        dry_run=dry_run,
        report=click.echo,
    )


@click.command()
@command
async def purge() -> None:
    """Delete what no longer matters; every pod does the same each hour."""
    async with opened() as context:
        counts = await purge_database(
            context.database, audit_retention=context.settings.audit_retention
        )
    click.echo(", ".join(f"{name.replace('_', ' ')}: {n}" for name, n in counts.items()))


@click.command()
@click.option(
    "--sessions",
    type=click.Choice(["keep", "end"]),
    required=True,
    help="Whether sessions go on that may have been revoked in the lost time.",
)
@click.option(
    "--anyway",
    is_flag=True,
    help="Also if no loss shows: a restored snapshot looks like a crash where Redis was lost too.",
)
@command
async def recover(sessions: str, anyway: bool) -> None:  # noqa: FBT001 (a flag)
    """Go on after the database lost writes that the feed can't give back.

    Kills every signing key and makes new ones: all access tokens so far become void.
    """
    async with opened() as context:
        try:
            killed, ended = await recover_database(
                context.database,
                context.feed,
                context.open_key_store(),
                end_sessions=sessions == "end",
                anyway=anyway,
            )
        except NothingToRecover:
            click.echo("nothing to recover: the database lost no writes")
            return
        await open_keyring(context)
    click.echo(f"killed {len(killed)} signing keys, ended {ended} sessions")
