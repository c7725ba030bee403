"""What a pod does beside requests: start, then keep feed, keys, its report and purging going."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from prometheus_client import Histogram

from service.blocklist import common_passwords
from service.flows.follow_feed import follow_feed
from service.flows.purge import purge
from service.flows.rotate_keys import keep_keys
from service.flows.start import (
    list_refresh_keys,
    prepare,
    report_pod,
    wait_for_schema,
)
from service.flows.watch_verifiers import VerifierWatch
from service.http.services import Services
from service.keys.master_keys import MasterKeys
from service.keys.signer import SignerUnavailable
from service.redis.feed import RedisFeed
from service.sql.connection import DatabaseUnavailable
from service.sql.instances import Instance, delete_instance
from service.telemetry import log

_KEYS_EVERY = timedelta(seconds=15)
_REPORT_EVERY = timedelta(seconds=10)
_PURGE_EVERY = timedelta(hours=1)
_RETRY = timedelta(seconds=1)
_LAG_EVERY_SECONDS = 0.5
_GOODBYE_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """A pod: what its requests stand on, and what only its background work needs."""

    services: Services
    master_keys: MasterKeys
    feed: RedisFeed
    instance: Instance


async def run(pod: Pod) -> None:
    """Start, then keep feed, keys, pod report and purge going until cancelled."""
    services = pod.services
    database, keyring, times = services.database, services.keyring, services.settings.key_times
    await wait_for_schema(database, services.readiness.hang)
    # Known to the migration runner first, judged after: else a contract could slip in between.
    refresh_key_id = pod.master_keys.current_refresh
    await _until_done(services, lambda: report_pod(database, pod.instance, refresh_key_id))
    await wait_for_schema(database, services.readiness.hang)
    await _until_done(services, lambda: prepare(database, keyring, times))
    await _until_done(services, lambda: _report(pod))
    await asyncio.to_thread(common_passwords)  # megabytes, which no request shall wait for
    await services.keeper.tick()
    services.readiness.start()
    log.info("ready", issuer=services.issuer, pod=pod.instance.name, release=pod.instance.release)
    settings = services.settings
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(services.keeper.run())
        tasks.create_task(measure_lag(services.metrics.loop_lag))
        tasks.create_task(
            follow_feed(pod.feed, services.keeper, services.clients, keyring, services.issuer)
        )
        tasks.create_task(
            _every(
                min(_KEYS_EVERY, times.publication / 4),
                lambda: keep_keys(database, keyring, times),
            )
        )
        tasks.create_task(_every(_REPORT_EVERY, lambda: _report(pod)))
        tasks.create_task(_every(_REPORT_EVERY, VerifierWatch(database, services.metrics).look))
        tasks.create_task(
            _every(_PURGE_EVERY, lambda: purge(database, audit_retention=settings.audit_retention))
        )


async def measure_lag(lag: Histogram) -> None:
    """Twice a second: for how long the event loop let a timer wait that was due."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + _LAG_EVERY_SECONDS
        await asyncio.sleep(_LAG_EVERY_SECONDS)
        lag.observe(max(0.0, loop.time() - due))


async def _report(pod: Pod) -> None:
    """Say that the pod is alive, and learn which master keys the others have."""
    services = pod.services
    await report_pod(services.database, pod.instance, pod.master_keys.current_refresh)
    services.refresh_tokens.foreign_keys = await list_refresh_keys(services.database)


async def _until_done(services: Services, work: Callable[[], Awaitable[object]]) -> None:
    """Do it once, trying again each second while PostgreSQL or the keys' hardware is away."""
    while True:
        try:
            await work()
        except (DatabaseUnavailable, SignerUnavailable) as error:
            log.warning("waiting", message=str(error))
            services.readiness.hang()
            await asyncio.sleep(_RETRY.total_seconds())
            with suppress(DatabaseUnavailable):
                # Which probes: nobody else does yet.
                await wait_for_schema(services.database, services.readiness.hang)
        else:
            return


async def _every(period: timedelta, work: Callable[[], Awaitable[object]]) -> None:
    """Do it again and again; a fault is logged and never ends the loop."""
    while True:
        try:
            await work()
        except DatabaseUnavailable as error:
            log.debug("postponed", reason=str(error))
        except Exception as error:  # noqa: BLE001 (the loop must outlive any fault)
            log.error("background_work_failed", error=repr(error))
        await asyncio.sleep(period.total_seconds())


async def say_goodbye(pod: Pod) -> None:
    """Publish what was committed last, and leave the table of pods."""
    with suppress(DatabaseUnavailable, TimeoutError):
        async with asyncio.timeout(_GOODBYE_SECONDS):
            if pod.services.readiness.started:
                await pod.services.keeper.publish()
            async with pod.services.database.connection() as connection:
                await delete_instance(connection, pod.instance.id)
