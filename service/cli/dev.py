"""watchword dev: everything embedded, one command."""

import asyncio
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import click
import uvloop

from migrations.runner import migrate
from service.app import open_database, open_pages, open_passwords
from service.cli.context import explained
from service.cli.serve import serve_pod
from service.cli.tour import TOUR
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.environment import process_environment
from service.flows.make_demo import WEB_CLIENT_ID, make_demo
from service.http.listening import bind
from service.keys.master_keys import create_master_keys
from service.settings import Settings, load_settings
from service.telemetry import set_up_logging

_PORT = 8000
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
# What is worth trying out before it is put into production.
_TRIED_OUT = ("WATCHWORD_BRAND_", "WATCHWORD_PKCS11_")


@click.command()
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=_PORT,
    show_default=True,
    help="Where to serve, on loopback.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".watchword"),
    show_default=True,
    help="Data, keys and secrets of this development server.",
)
def dev(port: int, data_dir: Path) -> None:
    """Serve for development: starts PostgreSQL and Redis, makes keys and demo clients.

    WATCHWORD_BRAND_… and WATCHWORD_PKCS11_… are taken from the environment: how the pages look, and
    the hardware that keeps the signing keys.
    """
    # SIGTERM unwinds what has been started, as Ctrl-C does.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with explained(), ExitStack() as stack:
            settings = _start_servers(port, data_dir.resolve(), stack)
            # Until the loop has handlers: raised while it starts, they would leave it half open.
            signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_run(settings, data_dir.resolve()))
            _say("stopping Redis and PostgreSQL")
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("stopped")


def _say(text: str) -> None:
    click.echo(f"  {text}", err=True)


@contextmanager
def _step(text: str) -> Iterator[None]:
    """A progress line with the time that the step took."""
    began = time.monotonic()
    click.echo(f"  {text} … ", nl=False, err=True)
    done = False
    try:
        yield
        done = True
    finally:
        click.echo(f"{time.monotonic() - began:.1f} s" if done else "", err=True)


def _start_servers(port: int, data_dir: Path, stack: ExitStack) -> Settings:
    """Start what the service needs; the settings that lead to it."""
    listen = _addresses(port)
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A database for each port: signing keys are bound to their issuer.
    name, prefix = ("watchword", "ww") if port == _PORT else (f"watchword_{port}", f"ww-{port}")
    postgres, redis = EmbeddedPostgres(data_dir / "postgres"), EmbeddedRedis(data_dir / "redis")
    with _step("PostgreSQL"):
        postgres.start()
        stack.callback(postgres.stop)
        postgres.create_database(name)
    with _step("Redis"):
        redis.start()
        stack.callback(redis.stop)
    with _step("master keys"):
        create_master_keys(data_dir / "keys")
    environment = {
        "WATCHWORD_ISSUER": f"http://localhost:{port}".removesuffix(":80"),
        "WATCHWORD_LISTEN": ",".join(listen),
        "WATCHWORD_DATABASE_URL": postgres.url(name),
        "WATCHWORD_REDIS_URL": redis.url,
        "WATCHWORD_REDIS_PREFIX": prefix,
        "WATCHWORD_KEYS_DIR": str(data_dir / "keys"),
        "WATCHWORD_FIRST_PARTY_CLIENT_ID": WEB_CLIENT_ID,
        "WATCHWORD_DRAIN": "0s",
    }
    given = process_environment().items()
    environment |= {name: text for name, text in given if name.startswith(_TRIED_OUT)}
    _write_environment(data_dir / "env", environment)
    return load_settings(environment)


def _addresses(port: int) -> list[str]:
    """127.0.0.1 and, on a machine with IPv6, ::1.

    Raises ListenError, before anything is started, when somebody listens there.
    """
    addresses = [f"127.0.0.1:{port}", f"[::1]:{port}"]
    listeners = bind(addresses, ipv6_optional=True)
    for listener in listeners:
        listener.close()
    return addresses[: len(listeners)]


async def _run(settings: Settings, data_dir: Path) -> None:
    running = cast("asyncio.Task[None]", asyncio.current_task())
    # Until the server takes them over. Raised in the middle of the loop, they would leave debris.
    for number in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    open_pages(settings)  # what can't be shown is told before the tour
    with _step("schema"):
        await migrate(settings.database_url.reveal(), report=lambda _: None)
    with _step("demo clients"):
        demo = await _demo(settings, data_dir)
    _append_demo(data_dir / "env", demo)
    _print_tour(settings, data_dir)
    set_up_logging(settings.log_level)
    await asyncio.sleep(0)  # where a signal from before takes effect
    await serve_pod(settings)


async def _demo(settings: Settings, data_dir: Path) -> dict[str, str]:
    """Make or find the demo and write it down; what was written."""
    path = data_dir / "demo.json"
    # Of each port: its database knows only digests of secrets.
    kept = data_dir / f"demo-{urlsplit(settings.issuer).port or 80}.json"
    known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    database, passwords = open_database(settings), open_passwords(settings)
    try:
        demo = await make_demo(
            database,
            settings.issuer,
            passwords,
            known_secret=known.get("client_secret"),
            known_password=known.get("password"),
        )
    finally:
        passwords.close()
        await database.close()
    members = {
        "issuer": settings.issuer,
        **asdict(demo),
        "database_url": settings.database_url.reveal(),
        "redis_url": settings.redis_url.reveal(),
    }
    for file in (kept, path):
        _write(file, json.dumps(members, indent=2) + "\n")
    return members


def _write_environment(path: Path, environment: dict[str, str]) -> None:
    _write(path, "".join(f"export {k}={shlex.quote(v)}\n" for k, v in environment.items()))


def _append_demo(path: Path, demo: dict[str, str]) -> None:
    """The tour's own variables, and the virtual environment's commands on the PATH."""
    lines = (
        f"export CLIENT_ID={shlex.quote(demo['client_id'])}",
        f"export CLIENT_SECRET={shlex.quote(demo['client_secret'])}",
        f"export JAR={shlex.quote(str(path.with_name('jar')))}",
        f"export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH",
    )
    _write(path, path.read_text() + "\n".join(lines) + "\n")


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    draft = path.with_name(path.name + ".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    draft.rename(path)


def _print_tour(settings: Settings, data_dir: Path) -> None:
    env = data_dir / "env"
    shown = env.relative_to(Path.cwd()) if env.is_relative_to(Path.cwd()) else env
    click.echo(f"\nWatchword serves {settings.issuer}; Ctrl-C stops it. In another terminal:\n")
    click.echo(f"  . {shlex.quote(str(shown))}")
    for step in TOUR:
        click.echo(f"\n  # {step.title}\n  {step.command}")
    click.echo()
