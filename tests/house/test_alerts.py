"""The alerts ask for metrics that there are, say what to do, and each has its page."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import Histogram

from service.metrics import Metrics

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/chart/files/prometheus-rules.yaml"
RUNBOOKS = ROOT / "docs/runbooks"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(FILE.read_text())["groups"] for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
COLLECTORS = [it for it in vars(Metrics()).values() if hasattr(it, "describe")]
# The form of a page, in its order.
CHAPTERS = [
    "What it means for users",
    "Look",
    "Likely causes",
    "What to do",
    "When it is over",
]


def exported() -> set[str]:
    """Every name under which a sample of ours stands in /metrics."""
    families = {family.name: family.type for it in COLLECTORS for family in it.describe()}
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"]}
    return {name + ending for name, kind in families.items() for ending in endings.get(kind, [""])}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_ask_for_metrics_that_there_are(rule: dict[str, Any]) -> None:
    recorded = set(re.findall(r"\w+:\w+:\w+", rule["expr"]))
    named = set(re.findall(r"(?<![\w:])watchword_\w+", rule["expr"]))
    assert named | recorded or rule["expr"].startswith("process_")
    assert named <= exported()
    assert recorded <= RECORDS.keys()


def test_what_is_recorded_is_named_level_metric_operation() -> None:
    for name in RECORDS:
        assert re.fullmatch(r"(instance|namespace_job\w*):watchword_\w+:\w+", name)


def test_no_quantile_is_compared_with_more_than_its_last_bucket() -> None:
    """Prometheus answers the last bound for all that lies beyond it: such an alert never fires."""
    last = {
        family.name: max(bound for bound in histogram._upper_bounds if bound != float("inf"))
        for histogram in COLLECTORS
        if isinstance(histogram, Histogram)
        for family in histogram.describe()
    }
    quantiles = {
        name: re.findall(r"(watchword_\w+)_bucket", expr)[0]
        for name, expr in RECORDS.items()
        if "histogram_quantile" in expr
    }
    compared = [
        (last[quantiles[name]], float(number))
        for rule in ALERTS.values()
        for name, number in re.findall(r"(\w+:\w+:\w+)(?:{[^}]*})?\s*> ([\d.]+)", rule["expr"])
        if name in quantiles
    ]
    assert len(compared) == 3
    assert all(bound > number for bound, number in compared)


@pytest.mark.parametrize("name", ALERTS)
def test_alerts_say_what_to_do(name: str) -> None:
    rule = ALERTS[name]
    assert name.startswith("Watchword")
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    assert len(rule["annotations"]["description"]) > 80
    assert rule["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"


def test_each_alert_has_its_page_and_each_page_its_alert() -> None:
    pages = {page.stem for page in RUNBOOKS.glob("*.md")} - {"README"}
    assert pages == set(ALERTS)
    listed = re.findall(r"\((\w+)\.md\)", (RUNBOOKS / "README.md").read_text())
    assert sorted(listed) == sorted(ALERTS)


@pytest.mark.parametrize("name", ALERTS)
def test_pages_have_one_form(name: str) -> None:
    text = (RUNBOOKS / f"{name}.md").read_text()
    title, severity = f"# {name}", f"**{ALERTS[name]['labels']['severity']}**"
    assert text.startswith(f"{title}\n\n{severity}: {ALERTS[name]['annotations']['summary']}")
    assert re.findall(r"^## (.+)$", text, re.MULTILINE) == CHAPTERS
    for asked in re.findall(r"(?<![\w:])(?:watchword_\w+|\w+:\w+:\w+)", text):
        assert asked in exported() | RECORDS.keys(), asked
    for page in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        assert (RUNBOOKS / page).exists(), page
