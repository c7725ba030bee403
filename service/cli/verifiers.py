"""watchword verifiers, and what `watchword revoke --wait` says: who follows, and how far."""

import sys

import click

from service.cli.context import Opened, command, opened, show_table
from service.flows.await_receipts import ReceiptReader, Seen, await_receipts
from service.flows.watch_verifiers import WatchedVerifier, watch_verifiers
from service.oauth.feed import Head
from service.sql.feed import read_state

_NAMED = 10

wait_option = click.option(
    "--wait",
    type=click.IntRange(0, 3600),
    is_flag=False,
    flag_value=10,
    metavar="[SECONDS]",
    help="Wait until every verifier that reports has seen it, at most so many seconds (10).",
)


@click.command()
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def verifiers(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """List the verifiers that report: how far each has followed the feed."""
    async with opened() as context:
        watched = await watch_verifiers(context.database)
    show_table(
        [_row(it) for it in watched],
        as_json=as_json,
        empty="no verifier reports: give each a client of its own (docs/how-to/prove-a-revocation)",
    )


def _row(watched: WatchedVerifier) -> dict[str, object]:
    it = watched.verifier
    return {
        "name": it.name,
        "client": it.client_id,
        "state": watched.state,
        "number": it.number,
        "behind by": watched.behind_by,
        "reported s ago": round(it.age.total_seconds(), 1),
        "keys": len(it.kids),
    }


async def tell_who_has_seen(context: Opened, head: Head | None, seconds: int) -> None:
    """Wait for the receipts of what was published up to `head`; say how that went.

    Exits with 1 when a verifier that reports has not seen it by then.
    """
    seen = await await_receipts(
        ReceiptReader(context.database), head or await _read_head(context), seconds, _show_progress
    )
    _show_progress(None)
    if not seen.verifiers:
        click.echo("no verifier reports, so none can be waited for")
        return
    told = f"seen by {seen.seen} of {len(seen.verifiers)} verifiers"
    if not seen.missing:
        click.echo(f"{told} in {seen.seconds * 1000:.0f} ms")
        return
    named = ", ".join(
        f"{it.name} (at {it.number}, reported {it.age.total_seconds():.0f} s ago)"
        for it in seen.missing[:_NAMED]
    )
    more = len(seen.missing) - _NAMED
    click.echo(
        f"{told} after {seen.seconds:.0f} s; missing: {named}"
        + (f" and {more} more" if more > 0 else "")
    )
    raise SystemExit(1)


async def _read_head(context: Opened) -> Head:
    async with context.database.connection() as connection:
        state = await read_state(connection)
    if state is None:
        raise AssertionError("feed: no row, after something was revoked")
    return state.head


def _show_progress(seen: Seen | None) -> None:
    """On a terminal, while waiting."""
    if sys.stderr.isatty():
        told = f"seen by {seen.seen} of {len(seen.verifiers)} verifiers …" if seen else ""
        click.echo(f"\r\033[K{told}", nl=False, err=True)
