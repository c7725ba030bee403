"""What the gauges show: read from the pod's parts when Prometheus asks, not by requests."""

import functools
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path

from service.http.services import Services
from service.keys.certificate import read_expiry
from service.keys.keyring import Keyring
from service.metrics import KEY_STATES, PURPOSES, Metrics


def excess_counter(metrics: Metrics) -> Callable[[str], None]:
    """Counts what went beyond a rate limit of that kind."""
    return lambda kind: metrics.rate_limited.labels(kind).inc()


def bind_gauges(services: Services) -> None:
    """Let each gauge read what it shows."""
    metrics, settings = services.metrics, services.settings
    keeper, passwords, database = services.keeper, services.passwords, services.database
    metrics.ready.set_function(lambda: services.readiness.ready)
    metrics.hashing.labels("running").set_function(lambda: passwords.running_now)
    metrics.hashing.labels("waiting").set_function(lambda: passwords.waiting_now)
    metrics.hashing_max.labels("running").set(settings.password_hashes)
    metrics.hashing_max.labels("waiting").set(settings.password_queue)
    metrics.feed_followers.set_function(lambda: keeper.news.followers)
    metrics.feed_followers_max.set(services.feed_server.max_followers)
    metrics.http_connections_max.set(settings.max_connections)
    open_ones = metrics.database_connections
    open_ones.labels("in_use").set_function(lambda: database.connections.in_use)
    open_ones.labels("idle").set_function(lambda: database.connections.idle)
    metrics.database_waiting.set_function(lambda: database.connections.waiting)
    metrics.database_connections_max.set(settings.database_connections)
    _bind_keys(metrics, services.keyring)
    if settings.tls_certificate is not None:
        _show_expiry(metrics, settings.tls_certificate)


def _bind_keys(metrics: Metrics, keyring: Keyring) -> None:
    metrics.keys_age.set_function(lambda: keyring.age(monotonic=time.monotonic()))
    metrics.signing_keys_unusable.set_function(lambda: len(keyring.faults))
    for purpose, state in itertools.product(PURPOSES, KEY_STATES):
        count = functools.partial(_count_keys, keyring, purpose, state)
        metrics.signing_keys.labels(purpose, state).set_function(count)
    for purpose in PURPOSES:
        since = functools.partial(_active_since, keyring, purpose)
        metrics.signing_key_activation.labels(purpose).set_function(since)


def _count_keys(keyring: Keyring, purpose: str, state: str) -> int:
    return sum((key.purpose, key.state) == (purpose, state) for key in keyring.listed)


def _active_since(keyring: Keyring, purpose: str) -> float:
    """Not a number where no key is active: no age can be told then."""
    active = [key for key in keyring.listed if (key.purpose, key.state) == (purpose, "active")]
    return max((key.activates_at.timestamp() for key in active), default=math.nan)


def _show_expiry(metrics: Metrics, certificate: Path) -> None:
    """Of the file as it is now: that is what the pod goes on to present until it ends."""
    expiry = read_expiry(certificate)
    if expiry is not None:
        metrics.registry.register(metrics.certificate_expiry)
        metrics.certificate_expiry.set(expiry.timestamp())
