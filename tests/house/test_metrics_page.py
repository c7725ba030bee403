"""docs/reference/metrics.md names every metric, and no other."""

import re
from pathlib import Path

from service.metrics import Metrics

PAGE = Path(__file__).parents[2].joinpath("docs/reference/metrics.md").read_text()
# What Prometheus' own discovery calls its labels: there, ours of that name would be renamed.
OF_DISCOVERY = {"job", "instance", "pod", "namespace", "service", "container", "endpoint", "node"}
COLLECTORS = [m for m in vars(Metrics()).values() if hasattr(m, "describe")]


def test_the_page_names_every_metric_with_its_labels() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    described = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()}
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): set(collector._labelnames)
        for collector in COLLECTORS
        for family in collector.describe()
    }
    assert described == exported


def test_no_label_is_one_that_prometheus_sets() -> None:
    for collector in COLLECTORS:
        assert OF_DISCOVERY.isdisjoint(collector._labelnames), collector
