"""watchword doctor: is everything as it should be, and if not, what to do."""

import click

from service.cli.context import command
from service.flows.doctor import Finding, examine
from service.cli.context import opened
from service.keys.master_keys import MasterKeyError, read_master_keys


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def doctor(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """Examine settings, keys, PostgreSQL, schema, Redis, feed and pods; exit 1 on a fault."""
