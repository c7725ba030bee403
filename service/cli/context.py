"""What commands share: settings or one line per fault, opened dependencies, tables and JSON."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ParamSpec
from uuid import UUID

import click

from migrations.files import MigrationError
from service.app import open_database, open_key_store, open_redis
from service.embedded.errors import EmbeddedServerError
from service.flows.keep_feed import FeedKeeper
from service.flows.load_keys import load_keys
from service.flows.manage_clients import ClientRefused
from service.flows.manage_users import UserRefused
from service.flows.start import CannotRun, schema_fault
from service.http.listening import ListenError
from service.http.server import StartUpError
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import MasterKeyError, read_master_keys
from service.keys.signer import SignerUnavailable
from service.metrics import Metrics
from service.oauth.client import is_client_id
from service.oauth.errors import OAuthError
from service.oauth.feed import Head
from service.oauth.password import UnfitPassword
from service.oauth.user import KnownUser
from service.redis.feed import RedisFeed
from service.settings import Settings, SettingsError, load_settings
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.users import NameTaken, find_known_user, get_known_user
from service.telemetry import set_up_logging

_P = ParamSpec("_P")
_USER_ID = re.compile(r"[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")


class Refused(Exception):
    """What the operator asked for can't be done; the text says why."""


# Each says by itself what is wrong and what to do.
_EXPECTED = (
    SettingsError,
    MasterKeyError,
    KeyringError,
    SignerUnavailable,
    MigrationError,
    CannotRun,
    ClientRefused,
    UserRefused,
    NameTaken,
    UnfitPassword,
    Refused,
    OAuthError,
    ListenError,
    StartUpError,
    EmbeddedServerError,
)


def release() -> str:
    """The version of the code that runs."""
    try:
        return version("watchword")
    except PackageNotFoundError:
        return "0.0.0"


def command(run: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """A coroutine as a command; what is expected to go wrong ends in clear lines and exit 1.

    Standard output is the command's alone: what the flows log goes to standard error.
    """

    @wraps(run)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
        set_up_logging("error", sys.stderr.buffer)
        with explained():
            asyncio.run(run(*args, **kwargs))

    return wrapper


@contextmanager
def explained() -> Iterator[None]:
    """What is expected to go wrong ends in one line for each fault on standard error, and exit 1.

    A defect goes through, with its traceback.
    """
    try:
        yield
    except Exception as error:
        lines = explain(error)
        if not lines:
            raise
        for line in lines:
            click.echo(f"error: {line}", err=True)
        raise SystemExit(1) from None


def explain(error: BaseException) -> list[str]:
    """Expected faults, alone or in a group, in lines for the operator; none if one is a defect."""
    if isinstance(error, BaseExceptionGroup):
        members = [explain(member) for member in error.exceptions]
        return [line for lines in members for line in lines] if all(members) else []
    if isinstance(error, DatabaseUnavailable):
        cause = " ".join(str(error.__cause__ or "no answer in time").split())
        return [f"{error} ({cause}): check WATCHWORD_DATABASE_URL"]
    return str(error).splitlines() if isinstance(error, _EXPECTED) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a command works on: the same settings and flows as the endpoints."""

    settings: Settings
    database: Database
    feed: RedisFeed

    def open_key_store(self) -> KeyStore:
        """Where signing keys are kept, opened with the keys folder. Raises MasterKeyError."""
        return open_key_store(self.settings, read_master_keys(self.settings.keys_dir))


@asynccontextmanager
async def opened(*, any_schema: bool = False) -> AsyncIterator[Opened]:
    """PostgreSQL and Redis by the settings in the environment.

    Unless it may be any, raises CannotRun when the schema is not one that this release fits.
    """
    settings = load_settings()
    database, redis = open_database(settings), open_redis(settings)
    try:
        if not any_schema and (fault := await schema_fault(database)):
            raise CannotRun(fault)
        yield Opened(
            settings=settings, database=database, feed=RedisFeed(redis, settings.redis_prefix)
        )
    finally:
        await database.close()
        await redis.close()


async def open_keyring(context: Opened) -> Keyring:
    """The signing keys, ready to sign and to verify."""
    keyring = Keyring(context.open_key_store())
    await load_keys(context.database, keyring)
    return keyring


@dataclass(frozen=True, slots=True)
class Publisher:
    """Publishes what a command committed.

    Opened before the commit: unwrapping keys takes a while, in which a revoked token would still be
    good elsewhere.
    """

    keeper: FeedKeeper | None
    fault: str = ""

    async def publish(self) -> Head | None:
        """Publish; a head that covers it all. None where it is not known."""
        if self.keeper is None:
            note = f"note: not published from here ({self.fault}); any pod does it at once"
            click.echo(note, err=True)
            return None
        head = await self.keeper.cover()
        if self.keeper.redis_away:
            note = "note: Redis is away; verifiers hear of it over HTTP until it is back"
            click.echo(note, err=True)
        return head


async def open_publisher(context: Opened) -> Publisher:
    """What publishes from here; where that can't be, any pod does it within a second."""
    try:
        keyring = await open_keyring(context)
    except (MasterKeyError, KeyringError, SignerUnavailable, DatabaseUnavailable) as error:
        return Publisher(None, str(error))
    settings = context.settings
    return Publisher(
        FeedKeeper(context.database, context.feed, keyring, settings.issuer, Metrics())
    )


async def publish(context: Opened) -> None:
    """Publish what the command committed; where that fails, any pod does it within a second."""
    await (await open_publisher(context)).publish()


def has_terminal() -> bool:
    """Whether somebody is there to be asked."""
    return sys.stdin.isatty()


class ClientId(click.ParamType[str]):
    """An argument that has the shape of a client id."""

    name = "client id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not is_client_id(value):
            self.fail("a client id is 3 to 64 of A-Z a-z 0-9 _ -", param, ctx)
        return value


class UserName(click.ParamType[str]):
    """An argument that can be a username, an e-mail address or a user id."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        # As long as an e-mail address can be; and what is printed again stays one line.
        if not value or len(value) > 254 or not value.isprintable():  # noqa: PLR2004
            self.fail("name a user by username, e-mail address or user id", param, ctx)
        return value


async def get_user(context: Opened, name: str) -> KnownUser:
    """The user of that username, e-mail address or id. Raises UserRefused."""
    async with context.database.connection() as connection:
        if _USER_ID.fullmatch(name):  # longer than any username
            user = await get_known_user(connection, UUID(name))
        else:
            user = await find_known_user(connection, name)
    if user is None or user.username is None:  # erased
        raise UserRefused(f"there is no user {name}")
    return user


def show_table(rows: Sequence[dict[str, Any]], *, as_json: bool, empty: str) -> None:
    """Rows as a table with a heading, or as JSON lines."""
    if as_json:
        for row in rows:
            click.echo(json.dumps(row, default=str))
        return
    if not rows:
        click.echo(empty)
        return
    columns = list(rows[0])
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row in cells:
        click.echo("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _cell(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value)) or "-"
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    return "-" if value is None else str(value)
