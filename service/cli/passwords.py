"""How commands take a password: asked for, from standard input or generated, never an argument."""

import secrets
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import click

from service.app import open_passwords
from service.blocklist import common_passwords
from service.cli.context import has_terminal
from service.oauth.password import (
    MAX_CODE_POINTS,
    UnfitPassword,
    normalize_password,
    password_fault,
)
from service.settings import Settings

_GENERATED_BYTES = 18
# Four bytes for each character, and a line's end: what is longer is refused as too long.
_MAX_LINE = MAX_CODE_POINTS * 4 + 2


@dataclass(frozen=True, slots=True, repr=False)
class Password:
    """A password to set, as it was typed; one that was generated is shown once."""

    text: str
    generated: bool = False

    def show(self) -> None:
        """Print it if nobody else knows it."""
        if self.generated:
            click.echo(f"password  {self.text}")
            click.echo("The password is shown this once; the database keeps a hash.", err=True)


def password_options(run: Callable[..., Any]) -> Callable[..., Any]:
    """The options by which a command is told where the password comes from."""
    for option in (
        click.option("--generate", is_flag=True, help="Make a password and print it, once."),
        click.option(
            "--password-stdin",
            is_flag=True,
            help="Read the password from standard input's first line.",
        ),
    ):
        run = option(run)
    return run


def take_password(*, password_stdin: bool, generate: bool) -> Password:
    """The password that the options say; asked for twice on a terminal if they say nothing.

    Outside of an event loop, whose handler of Ctrl-C would let the prompt go on.
    """
    if password_stdin and generate:
        raise click.UsageError("name one of --password-stdin and --generate")
    if generate:
        return Password(secrets.token_urlsafe(_GENERATED_BYTES), generated=True)
    if password_stdin:
        return Password(_first_line())
    if not has_terminal():
        raise click.UsageError("no terminal to ask on: use --password-stdin or --generate")
    return Password(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


def _first_line() -> str:
    # Only the line's end goes: spaces are part of a password.
    line = sys.stdin.buffer.readline(_MAX_LINE).decode(errors="surrogateescape")
    return line.removesuffix("\n").removesuffix("\r")


async def hash_password(settings: Settings, password: Password, about: Iterable[str | None]) -> str:
    """The hash to store. Raises UnfitPassword by the rules of a registration (PW-3).

    `about` is what is known of the person: names, e-mail address.
    """
    text = normalize_password(password.text)
    known = [word for word in about if word]
    if fault := password_fault(text, common=common_passwords(), about=known):
        raise UnfitPassword(fault)
    hasher = open_passwords(settings)
    try:
        return await hasher.hash(text)
    finally:
        hasher.close()
