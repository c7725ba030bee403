"""deploy/prometheus-rules.yaml asks for metrics that there are, and says what to do."""

import re
from pathlib import Path

import yaml

from service.metrics import Metrics

FILE = Path(__file__).parents[2] / "deploy/prometheus-rules.yaml"
(GROUP,) = yaml.safe_load(FILE.read_text())["groups"]


def exported() -> set[str]:
    """Every name under which a sample of ours stands in /metrics."""
    collectors = [it for it in vars(Metrics()).values() if hasattr(it, "describe")]
    families = {family.name: family.type for it in collectors for family in it.describe()}
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + ending for name, kind in families.items() for ending in endings.get(kind, [""])}


def test_alerts_ask_for_metrics_that_there_are() -> None:
    for rule in GROUP["rules"]:
        named = set(re.findall(r"watchword_\w+", rule["expr"]))
        assert named, rule["alert"]
        assert named <= exported(), rule["alert"]


def test_alerts_say_what_to_do() -> None:
    for rule in GROUP["rules"]:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert set(rule["annotations"]) == {"summary", "description"}
        assert len(rule["annotations"]["description"]) > 80
