"""docs/reference/metrics.md names every metric, and no other."""

import re
from pathlib import Path

from service.telemetry import Metrics

PAGE = Path(__file__).parents[2].joinpath("docs/reference/metrics.md").read_text()


def test_the_page_names_every_metric_with_its_labels() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|([^|]*)\|", PAGE, re.MULTILINE))
    described = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()}
    collectors = [m for m in vars(Metrics()).values() if hasattr(m, "describe")]
    exported = {
        family.name + ("_total" if family.type == "counter" else ""): set(collector._labelnames)
        for collector in collectors
        for family in collector.describe()
    }
    assert described == exported
