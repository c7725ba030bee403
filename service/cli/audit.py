"""watchword audit: who did what."""

import click

from service.cli.context import command, opened, show_table
from service.sql.audit_events import list_audit_events

_OF_SESSIONS = ("user", "session", "generation")


@click.command()
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=50,
    show_default=True,
    help="How many of the newest events.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def audit(limit: int, as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """Show the newest audit events."""
    async with opened() as context, context.database.connection() as connection:
        events = await list_audit_events(connection, limit)
    rows = [
        {
            "at": event.at.isoformat(timespec="seconds"),
            "event": event.event,
            "client": event.client_id,
            "user": event.user_id,
            "session": event.session_id,
            "generation": event.generation,
            "address": event.address,
            "request": event.request_id,
            "detail": event.detail,
        }
        for event in events
    ]
    # Events of clients alone have none of these: the table stays as narrow as it can be.
    unused = {name for name in _OF_SESSIONS if all(row[name] is None for row in rows)}
    if not as_json:
        rows = [{name: row[name] for name in row if name not in unused} for row in rows]
    show_table(rows, as_json=as_json, empty="no audit events")
