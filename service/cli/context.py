"""What commands share: settings or one line per fault, opened dependencies, tables and JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ParamSpec

import click

from migrations.files import MigrationError
from service.app import open_database, open_redis
from service.flows.keep_feed import FeedKeeper
from service.flows.load_keys import load_keys
from service.flows.manage_clients import ClientRefused
from service.flows.start import CannotRun
from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import MasterKeyError, MasterKeys, read_master_keys
from service.oauth.errors import OAuthError
from service.redis.feed import RedisFeed
from service.settings import Settings, SettingsError, load_settings
from service.sql.connection import Database, DatabaseUnavailable
from service.telemetry import Metrics

_P = ParamSpec("_P")

# Each says by itself what is wrong and what to do.
_EXPECTED = (
    SettingsError,
    MasterKeyError,
    KeyringError,
    MigrationError,
    CannotRun,
    ClientRefused,
    OAuthError,
)


def release() -> str:
    """The version of the code that runs."""
    try:
        return version("watchword")
    except PackageNotFoundError:
        return "0.0.0"


def command(run: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """A coroutine as a command; what is expected to go wrong ends in clear lines and exit 1."""

    @wraps(run)
    def wrapper(*args: _P.args, **kwargs: _P.kwargs) -> None:
        try:
            asyncio.run(run(*args, **kwargs))
        except Exception as error:
            lines = [line for fault in flatten(error) for line in explain(fault)]
            if not lines:
                raise
            for line in lines:
                click.echo(f"error: {line}", err=True)
            raise SystemExit(1) from None

    return wrapper


def flatten(error: BaseException) -> list[BaseException]:
    """The exceptions of a group, however deep; the exception itself if it is none."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for member in error.exceptions for leaf in flatten(member)]
    return [error]


def explain(error: BaseException) -> list[str]:
    """An expected fault in lines for the operator; none for a defect."""
    if isinstance(error, DatabaseUnavailable):
        cause = error.__cause__
        return [f"PostgreSQL does not answer: {cause}; check WATCHWORD_DATABASE_URL"]
    return str(error).splitlines() if isinstance(error, _EXPECTED) else []


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """What a command works on: the same settings and flows as the endpoints."""

    settings: Settings
    database: Database
    feed: RedisFeed


@asynccontextmanager
async def opened() -> AsyncIterator[Opened]:
    """PostgreSQL and Redis by the settings in the environment."""
    settings = load_settings()
    database, redis = open_database(settings), open_redis(settings)
    try:
        yield Opened(
            settings=settings, database=database, feed=RedisFeed(redis, settings.redis_prefix)
        )
    finally:
        await database.close()
        await redis.close()


async def open_keyring(context: Opened) -> tuple[Keyring, MasterKeys]:
    """The signing keys, unwrapped with the master keys in the keys folder."""
    master_keys = read_master_keys(context.settings.keys_dir)
    keyring = Keyring(context.settings.issuer, master_keys)
    await load_keys(context.database, keyring)
    return keyring, master_keys


async def publish(context: Opened) -> None:
    """Publish what the command wrote; if that fails, a pod does it within a second."""
    keyring, _ = await open_keyring(context)
    keeper = FeedKeeper(context.database, context.feed, keyring, context.settings.issuer, Metrics())
    await keeper.publish()


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
