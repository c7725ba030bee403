"""watchword doctor: is everything as it should be, and if not, what to do."""

import click

from service.cli.context import command, opened, show_table
from service.flows.doctor import examine


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def doctor(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """Examine keys, PostgreSQL, schema, Redis, feed and pods; exit 1 on a fault."""
    async with opened(any_schema=True) as context:
        findings = await examine(
            context.settings, context.database, context.feed, context.open_key_store
        )
    rows = [{"level": f.level, "subject": f.subject, "finding": f.text} for f in findings]
    show_table(rows, as_json=as_json, empty="")
    if any(finding.level == "fault" for finding in findings):
        raise SystemExit(1)
