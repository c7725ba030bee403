"""watchword keys: master keys, and the life of signing keys."""

import json
import re
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

import click

from service.cli.context import (
    Refused,
    command,
    explained,
    open_publisher,
    opened,
    show_table,
)
from service.cli.verifiers import tell_who_has_seen, wait_option
from service.flows.import_key import UnfitKey, import_key
from service.flows.kill_key import UnknownKey, kill_key
from service.flows.list_keys import KnownKey, list_keys
from service.flows.origin import OPERATOR
from service.flows.rewrap_keys import rewrap_keys
from service.flows.rotate_keys import NoNextKey, Rotation, rotate_keys
from service.keys.master_keys import create_master_keys, read_master_keys
from service.oauth.signing_key import FEED, RS256, TOKEN, TOKEN_ALGORITHMS

_MAX_PEM = 64 * 1024
# A thumbprint (RFC 7638) in base64url.
_HYPHENED_KID = re.compile(r"-[A-Za-z0-9_-]{42}")

_purpose = click.option(
    "--purpose",
    type=click.Choice([TOKEN, FEED]),
    default=TOKEN,
    show_default=True,
    help="Whose keys: those that sign tokens, or the revocation feed.",
)


@click.group()
def keys() -> None:
    """Master keys, and the signing keys that are wrapped under them."""


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


@keys.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def list_(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """List the signing keys: their state, and what comes next, and when."""
    async with opened() as context:
        known = await list_keys(context.database, context.settings.key_times)
    show_table(
        [_row(it) for it in known],
        as_json=as_json,
        empty="no signing key: the first 'watchword serve' makes them",
    )


def _row(it: KnownKey) -> dict[str, object]:
    return {
        "kid": it.key.kid,
        "for": it.key.purpose,
        "alg": it.key.alg,
        "state": it.key.state,
        "since": _moment(it.since),
        "next": it.next.what or "-",
        "at": _moment(it.next.at),
        "wrap key": it.key.wrap_key_id or "in hardware",
        "verifiers without it": ", ".join(it.lacking) or "-",
    }


def _moment(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds").replace("+00:00", "Z") if at else None


@keys.command()
@_purpose
@click.option(
    "--alg",
    type=click.Choice(TOKEN_ALGORITHMS),
    default=RS256,
    show_default=True,
    help="Which of them: those that sign with this algorithm.",
)
@click.option("--now", is_flag=True, help="At once, also where a verifier has not fetched it yet.")
@command
async def rotate(purpose: str, alg: str, now: bool) -> None:  # noqa: FBT001 (a flag)
    """Let the pending key sign: as soon as the verifiers have it, or at once.

    The key that signed until then stays published until its last token is over.
    """
    async with opened() as context:
        try:
            rotation = await rotate_keys(
                context.database, context.settings.key_times, purpose=purpose, alg=alg, now=now
            )
        except NoNextKey as error:
            raise Refused(str(error)) from None
    if now:
        click.echo(f"{rotation.kid} signs from now on")
        _warn(rotation)
        return
    click.echo(f"{rotation.kid} signs from {_moment(rotation.readiness.at)} on")
    for reason in rotation.readiness.reasons:
        click.echo(f"  not sooner: {reason}")


def _warn(rotation: Rotation) -> None:
    if rotation.lacking:
        names = ", ".join(rotation.lacking)
        click.echo(f"warning: until they fetch it, these refuse its tokens: {names}", err=True)


class _TakesKid(click.Command):
    """A kid is no option: one in 64 begins with a hyphen, and a killing can't wait for a `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        kids = [it for it in args if _HYPHENED_KID.fullmatch(it)]
        if kids and "--" not in args:
            args = [*(it for it in args if it not in kids), "--", *kids]
        return super().parse_args(ctx, args)


@keys.command(cls=_TakesKid)
@click.argument("kid")
@wait_option
@command
async def kill(kid: str, wait: int | None) -> None:
    """Kill a signing key, for compromise: its tokens are void everywhere within milliseconds.

    It can't be taken back. The pending key takes its place at once.
    """
    async with opened() as context:
        publisher = await open_publisher(context)
        try:
            killed = await kill_key(context.database, kid, OPERATOR)
        except UnknownKey as error:
            raise Refused(str(error)) from None
        if not killed.lived:
            click.echo(f"{kid} is dead already")
            return
        click.echo(f"{kid} is dead; {killed.successor or 'no key'} signs in its place")
        if killed.purpose == FEED:
            # By the key that took over, which what was opened before does not know.
            publisher = await open_publisher(context)
            click.echo("the feed begins a new epoch, in which every living fact is signed again")
        head = await publisher.publish()
        if wait is not None:
            await tell_who_has_seen(context, head, wait)


@keys.command()
@command
async def rewrap() -> None:
    """Wrap every signing key under the current wrap key; nothing stops meanwhile."""
    async with opened() as context:
        store = context.open_key_store()
        done = await rewrap_keys(context.database, store)
    file = f"wrap-{store.master_keys.current_wrap}.key"
    click.echo(
        f"{len(done)} signing keys are under {file}" if done else f"all were under {file} already"
    )


@keys.command(name="export-public")
@_purpose
@command
async def export_public(purpose: str) -> None:
    """Print the JWK Set as it is published: the public halves alone."""
    async with opened() as context:
        known = await list_keys(context.database, context.settings.key_times)
    jwks = [json.loads(it.key.public_jwk) for it in known if it.key.purpose == purpose]
    click.echo(json.dumps({"keys": jwks}, indent=2))


@keys.command(name="import")
@click.argument("file", type=click.File("rb"))
@_purpose
@command
async def import_(file: BinaryIO, purpose: str) -> None:
    """Take a private key from a PEM file as the pending one: RSA of 2048 to 4096 bits, or P-256.

    It is published from now on and takes its turn as any other; the pending key before it, which
    has signed nothing, goes. `-` reads standard input.
    """
    pem = file.read(_MAX_PEM)
    async with opened() as context:
        try:
            kid = await import_key(context.database, context.open_key_store(), pem, purpose)
        except UnfitKey as error:
            raise Refused(str(error)) from None
    click.echo(f"{kid} is pending; 'watchword keys list' says when it signs")
