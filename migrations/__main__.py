"""`python -m migrations [--dry-run]`: the runner by itself, where the service is not installed."""

import asyncio
import os

import click

from migrations.connection import role_in
from migrations.files import MigrationError
from migrations.runner import migrate


@click.command()
@click.option("--dry-run", is_flag=True, help="Print what would be applied; write nothing.")
def main(*, dry_run: bool) -> None:
    """Bring the schema up to date.

    WATCHWORD_MIGRATE_DATABASE_URL is the role that owns it, else WATCHWORD_DATABASE_URL; where
    both are set, the latter's role is given what the service needs.
    """
    app_url = os.environ.get("WATCHWORD_DATABASE_URL")
    url = os.environ.get("WATCHWORD_MIGRATE_DATABASE_URL") or app_url
    if not url:
        message = "set WATCHWORD_MIGRATE_DATABASE_URL or WATCHWORD_DATABASE_URL"
        raise click.ClickException(message)
    try:
        app_role = role_in(app_url) if app_url else None
        asyncio.run(migrate(url, app_role=app_role, dry_run=dry_run, report=click.echo))
    except MigrationError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
