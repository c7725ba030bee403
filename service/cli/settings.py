"""watchword settings: docs/reference/settings.md, made from the code."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, get_type_hints

import click
import msgspec

from service.environment import variable
from service.settings import Settings, is_secret

_HEAD = """\
# Settings

Every setting is an environment variable. All are checked at start: each fault is one line, and none
shows a secret.

- A secret may come from a file instead: `WATCHWORD_DATABASE_URL_FILE=/run/secrets/database-url`.
  White space around a value does not count, nor does the newline at the end of a file.
- A duration is a number with `s`, `m`, `h` or `d`; without one it is seconds.
- An unknown `WATCHWORD_` name is a fault. The names that Kubernetes makes for a Service called
  `watchword` (`WATCHWORD_PORT`, `WATCHWORD_SERVICE_HOST` and their like) are ignored.

`watchword settings` prints this page for the release that runs it.

| variable | meaning | default | secret |
| --- | --- | --- | --- |"""


@click.command()
def settings() -> None:
    """Print the reference of all settings, as Markdown."""
    click.echo(_HEAD)
    for row in _rows():
        click.echo(f"| {' | '.join(row)} |")


def _rows() -> Iterator[tuple[str, str, str, str]]:
    """Variable, meaning, default, and whether it is a secret, of each setting."""
    hints = get_type_hints(Settings, include_extras=True)
    for field in msgspec.structs.fields(Settings):
        name = variable(field.name)
        (meta,) = hints[field.name].__metadata__
        default = "required" if field.required else _default(field.default)
        meaning = meta.description + _bounds(meta)
        yield f"`{name}`", meaning, default, "yes (`_FILE`)" if is_secret(field.name) else "no"


def _bounds(meta: msgspec.Meta) -> str:
    if meta.le is not None:
        return f" From {meta.ge} to {meta.le}."
    return "" if meta.ge is None else f" At least {meta.ge}."


def _default(value: Any) -> str:
    """A default as an operator would write it."""
    if value in (None, ()):
        return "none"
    if isinstance(value, timedelta):
        whole_days = value == timedelta(value.days)
        value = f"{value.days}d" if whole_days else f"{value.total_seconds():.0f}s"
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value}`"
