"""A verifier's status as metrics: finite where there is something to say, never in the way."""

from dataclasses import dataclass, replace
from datetime import timedelta

from prometheus_client import CollectorRegistry, generate_latest
from watchword_verifier import Status, SyncVerifier
from watchword_verifier.prometheus import VerifierCollector

SECOND = timedelta(seconds=1)
FRESH = Status(
    ready=True,
    fresh=True,
    staleness=SECOND,
    database_staleness=2 * SECOND,
    epoch="01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08",
    number=16,
    head=17,
    facts=3,
    source="redis",
    kids=("a", "b"),
    killed_kids=("c",),
    keys_age=60 * SECOND,
    cached=5,
    faults={"redis": 2},
    tokens={"verified": 9, "Expired": 1},
)
NEW = replace(
    FRESH, ready=False, fresh=False, staleness=None, database_staleness=None, keys_age=None
)


@dataclass(slots=True)
class Shown:
    status: Status


def scraped(status: Status) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(VerifierCollector(Shown(status)))
    lines = generate_latest(registry).decode().splitlines()
    return {
        name: float(value)
        for name, _, value in (line.rpartition(" ") for line in lines)
        if not name.startswith("#")
    }


def test_what_a_verifier_shows() -> None:
    assert scraped(FRESH) == {
        "watchword_verifier_ready": 1,
        "watchword_verifier_fresh": 1,
        "watchword_verifier_staleness_seconds": 1,
        "watchword_verifier_database_staleness_seconds": 2,
        "watchword_verifier_keys_age_seconds": 60,
        "watchword_verifier_feed_number": 16,
        "watchword_verifier_feed_head": 17,
        "watchword_verifier_facts": 3,
        "watchword_verifier_cached_tokens": 5,
        'watchword_verifier_tokens_total{result="verified"}': 9,
        'watchword_verifier_tokens_total{result="Expired"}': 1,
        'watchword_verifier_feed_faults_total{source="redis"}': 2,
    }


def test_before_the_first_snapshot_all_ages_are_infinite() -> None:
    """So that an alarm on them rings."""
    shown = scraped(NEW)
    ages = {name: value for name, value in shown.items() if name.endswith("_seconds")}
    assert set(ages.values()) == {float("inf")}
    assert (shown["watchword_verifier_ready"], shown["watchword_verifier_fresh"]) == (0, 0)


def test_registering_starts_no_verifier() -> None:
    verifier = SyncVerifier(issuer="https://auth.example", audience="https://orders.example")
    CollectorRegistry().register(VerifierCollector(verifier))
    assert verifier._running is None
