"""A verifier's status as Prometheus metrics: `registry.register(VerifierCollector(verifier))`."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from watchword_verifier._status import Status


class _HasStatus(Protocol):
    @property
    def status(self) -> Status: ...


class VerifierCollector(Collector):
    """Metrics of one verifier, read when they are scraped."""

    def __init__(self, verifier: _HasStatus) -> None:
        self._verifier = verifier

    def describe(self) -> list[Metric]:
        """Nothing in advance: registering must not start a verifier."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The metrics of this moment."""
        status = self._verifier.status
        yield _gauge("ready", "1 once keys and a first snapshot are here.", status.ready)
        yield _gauge("fresh", "1 while revocations are younger than max_staleness.", status.fresh)
        yield _seconds("staleness", "Age of the news of revocations.", status.staleness)
        yield _seconds(
            "database_staleness",
            "Since the issuer last read its database.",
            status.database_staleness,
        )
        yield _seconds("keys_age", "Since the keys were fetched.", status.keys_age)
        yield _gauge("feed_number", "The last entry processed.", status.number)
        yield _gauge("feed_head", "The last entry that there is.", status.head)
        yield _gauge("facts", "Live revocations in memory.", status.facts)
        yield _gauge("cached_tokens", "Verified tokens in memory.", status.cached)
        yield _counter("tokens", "Tokens by result.", "result", status.tokens)
        yield _counter(
            "feed_faults", "What was no feed of the issuer, by source.", "source", status.faults
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"watchword_verifier_{name}", text, value=float(value))


def _seconds(name: str, text: str, value: timedelta | None) -> Metric:
    seconds = float("inf") if value is None else value.total_seconds()
    return _gauge(f"{name}_seconds", text, seconds)


def _counter(name: str, text: str, label: str, values: Mapping[str, int]) -> Metric:
    metric = CounterMetricFamily(f"watchword_verifier_{name}", text, labels=[label])
    for key, value in values.items():
        metric.add_metric([key], value)
    return metric
