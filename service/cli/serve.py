"""watchword serve: one pod."""

import asyncio

import click
import uvloop

from service.app import open_app
from service.cli.context import explain, explained, release
from service.http.listening import TlsFiles, bind
from service.http.protocol import Limits
from service.http.server import serve as serve_http
from service.settings import Settings, load_settings
from service.telemetry import log, set_up_logging


@click.command()
def serve() -> None:
    """Serve until SIGTERM; waits for PostgreSQL and its schema."""
    with explained():
        settings = load_settings()
    set_up_logging(settings.log_level)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve_pod(settings))
    except asyncio.CancelledError:  # by Ctrl-C, in the moment of taking it over
        log.info("stopped")
    except Exception as error:
        lines = explain(error)
        if not lines:
            raise
        for line in lines:
            log.error("stopped", message=line)
        raise SystemExit(1) from None


async def serve_pod(settings: Settings) -> None:
    """Serve on the settings' addresses until told to stop.

    Raises ListenError, MasterKeyError, and in a group CannotRun and KeyringError.
    """
    sockets = bind(settings.listen)
    tls = None
    if settings.tls_certificate and settings.tls_private_key:
        tls = TlsFiles(settings.tls_certificate, settings.tls_private_key)
    async with open_app(settings, release()) as app:

        def on_drain() -> None:
            app.services.drain()
            log.info("draining", seconds=settings.drain.total_seconds())

        await serve_http(
            app.asgi,
            sockets,
            limits=Limits(connections=settings.max_connections),
            drain=settings.drain,
            grace=settings.grace,
            tls=tls,
            on_drain=on_drain,
            connections=app.services.metrics.http_connections,
        )
    log.info("stopped")
