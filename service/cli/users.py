"""watchword users: make and manage users."""

import click

from service.cli.context import (
    UserName,
    command,
    get_user,
    has_terminal,
    opened,
    publish,
    show_table,
)
from service.cli.passwords import Password, hash_password, password_options, take_password
from service.flows import manage_users
from service.flows.administer_users import set_administrator
from service.flows.origin import OPERATOR
from service.oauth.user import Profile, User
from service.sql.users import list_users


@click.group()
def users() -> None:
    """Make and manage users; NAME is a username, an e-mail address or a user id."""


@users.command()
@click.argument("username")
@click.option("--email", required=True, help="E-mail address.")
@click.option("--full-name", required=True, help="Name that people read.")
@click.option("--avatar-url", help="Address of a picture.")
@click.option("--role", "roles", multiple=True, help="Role in its tokens; repeat for more.")
@password_options
def create(  # noqa: PLR0913 (one argument for each option)
    *,
    username: str,
    email: str,
    full_name: str,
    avatar_url: str | None,
    roles: tuple[str, ...],
    password_stdin: bool,
    generate: bool,
) -> None:
    """Make a user; the password is asked for, unless an option says where it comes from."""
    password = take_password(password_stdin=password_stdin, generate=generate)
    profile = Profile(username=username, email=email, full_name=full_name, avatar_url=avatar_url)
    _create(profile, _distinct(roles), password)


@command
async def _create(profile: Profile, roles: tuple[str, ...], password: Password) -> None:
    manage_users.check_profile(profile, roles)
    about = (profile.username, profile.email, profile.full_name)
    async with opened() as context:
        hashed = await hash_password(context.settings, password, about)
        user = await manage_users.create_user(
            context.database, profile, hashed, OPERATOR, roles=roles
        )
    click.echo(f"user_id   {user.id}")
    password.show()


@users.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@command
async def list_(as_json: bool) -> None:  # noqa: FBT001 (a flag)
    """List the users."""
    async with opened() as context, context.database.connection() as connection:
        found = await list_users(connection)
    rows = [_details(user) if as_json else _summary(user) for user in found]
    show_table(rows, as_json=as_json, empty="no users; make one with 'watchword users create'")


@users.command()
@click.argument("name", type=UserName())
@command
async def disable(name: str) -> None:
    """Refuse the user, and end every session."""
    async with opened() as context:
        user = await get_user(context, name)
        ended = await manage_users.disable(context.database, user.id, OPERATOR)
        await publish(context)
    click.echo(f"{user.username} is disabled; sessions ended: {ended}")


@users.command()
@click.argument("name", type=UserName())
@command
async def enable(name: str) -> None:
    """Let a disabled user log in again."""
    async with opened() as context:
        user = await get_user(context, name)
        await manage_users.enable(context.database, user.id, OPERATOR)
    click.echo(f"{user.username} is enabled")


@users.command("set-password")
@click.argument("name", type=UserName())
@password_options
def set_password(*, name: str, password_stdin: bool, generate: bool) -> None:
    """Give the user another password, and end every session."""
    _set_password(name, take_password(password_stdin=password_stdin, generate=generate))


@command
async def _set_password(name: str, password: Password) -> None:
    async with opened() as context:
        user = await get_user(context, name)
        about = (user.username, user.email, user.full_name)
        hashed = await hash_password(context.settings, password, about)
        ended = await manage_users.set_password(context.database, user.id, hashed, OPERATOR)
        # Before anything else can fail: nobody else knows it.
        password.show()
        await publish(context)
    click.echo(f"{user.username} has another password; sessions ended: {ended}")


@users.command("set-roles")
@click.argument("name", type=UserName())
@click.argument("roles", nargs=-1)
@command
async def set_roles(name: str, roles: tuple[str, ...]) -> None:
    """Give the user these roles and no others; tokens follow at the next refresh."""
    async with opened() as context:
        user = await get_user(context, name)
        stale = await manage_users.set_roles(context.database, user.id, _distinct(roles), OPERATOR)
        await publish(context)
    held = " ".join(_distinct(roles)) or "none"
    click.echo(f"roles of {user.username}: {held}; sessions that will refresh: {stale}")


@users.command("set-administrator")
@click.argument("name", type=UserName())
@click.argument("mode", type=click.Choice(["on", "off"]))
@command
async def set_administrator_(name: str, mode: str) -> None:
    """Let the user use /admin through a client that may, or not any more.

    That holds from the next request on; no session ends.
    """
    async with opened() as context:
        user = await get_user(context, name)
        await set_administrator(context.database, user.id, OPERATOR, on=mode == "on")
    click.echo(
        f"{user.username} {'is an administrator' if mode == 'on' else 'administers nothing'}"
    )


@users.command()
@click.argument("name", type=UserName())
@click.option("--yes", is_flag=True, help="Don't ask.")
def delete(*, name: str, yes: bool) -> None:
    """Erase what is personal and end every session; the id stays, and is never given again."""
    if not yes:
        if not has_terminal():
            raise click.UsageError("no terminal to ask on: add --yes")
        click.confirm(f"Erase {name} for good?", abort=True, err=True)
    _delete(name)


@command
async def _delete(name: str) -> None:
    async with opened() as context:
        user = await get_user(context, name)
        ended = await manage_users.delete(context.database, user.id, OPERATOR)
        await publish(context)
    click.echo(f"{user.id} is erased; sessions ended: {ended}")


def _distinct(roles: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(roles))


def _summary(user: User) -> dict[str, object]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "full_name": user.full_name,
        "roles": user.roles,
        "enabled": user.disabled_at is None,
    }


def _details(user: User) -> dict[str, object]:
    return {
        **_summary(user),
        "avatar_url": user.avatar_url,
        "administrator": user.administrator,
        "created_at": user.created_at.isoformat(timespec="seconds"),
        "disabled_at": user.disabled_at and user.disabled_at.isoformat(timespec="seconds"),
    }
