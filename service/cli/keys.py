"""watchword keys: master keys."""

from pathlib import Path

import click

from service.cli.context import Refused, explained
from service.keys.master_keys import create_master_keys, read_master_keys


@click.group()
def keys() -> None:
    """Master keys."""


@keys.command()
@click.option(
    "--dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="WATCHWORD_KEYS_DIR",
    default=Path("keys"),
    show_default=True,
    help="The keys folder.",
)
def init(directory: Path) -> None:
    """Make the first master keys, unless the folder has some."""
    with explained():
        try:
            made = create_master_keys(directory)
        except OSError as error:
            raise Refused(f"{directory}: {error.strerror}") from None
        read_master_keys(directory)
    if made:
        click.echo(f"made {directory}/wrap-1.key and refresh-1.key; keep a copy: without them")
        click.echo("no signing key can be unwrapped and no session continued")
    else:
        click.echo(f"{directory} has master keys already; nothing was changed")
