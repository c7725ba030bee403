"""The dashboard's file: of the form that Grafana's own types have, complete, and tidy.

Whether its queries find anything, tests/deploy/test_dashboard.py asks a real Prometheus.
"""

import json
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.house.test_alerts import ALERTS, RECORDS, exported

ROOT = Path(__file__).parents[2]
FILE = ROOT / "deploy/chart/files/grafana-dashboard.json"
DASHBOARD: dict[str, Any] = json.loads(FILE.read_text())
ROWS = [panel for panel in DASHBOARD["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
# Grafana's ids of units, as far as they are used here.
UNITS = {"none", "s", "percentunit", "reqps", "ops", "bytes"}
# What Grafana writes and its types do not name.
BESIDE = {".id", ".annotations.list[0].builtIn", ".annotations.list[1].titleFormat"}


def lost(before: Any, after: Any, path: str = "") -> list[str]:
    """Where what was read and written again by Grafana's types is not what it was."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            each
            for key, value in before.items()
            for each in lost(value, after.get(key, "(nothing)"), f"{path}.{key}")
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [each for i, (a, b) in pairs for each in lost(a, b, f"{path}[{i}]")]
    return [] if before == after else [path]


def test_grafanas_own_types_lose_nothing_of_it() -> None:
    register_default_plugins()
    written = json.loads(JSONEncoder().encode(Dashboard.from_json(DASHBOARD)))
    found = {path for path in lost(DASHBOARD, written) if not path.endswith(".definition")}
    assert found == BESIDE


def test_panels_stand_side_by_side_and_never_on_each_other() -> None:
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    for panel in DASHBOARD["panels"]:
        assert 0 <= panel["gridPos"]["x"] < panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    for one, other in combinations(DASHBOARD["panels"], 2):
        a, b = one["gridPos"], other["gridPos"]
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, (one["title"], other["title"])


def test_the_rows_ask_the_four_questions() -> None:
    assert [row["title"] for row in ROWS] == [
        "Is it healthy?",
        "Is someone attacking?",
        "Is it about to run out of something?",
        "Do revocations arrive?",
    ]
    assert 18 <= len(PANELS) <= 24


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_says_what_it_shows_and_in_which_unit(panel: dict[str, Any]) -> None:
    assert panel["type"] in {"stat", "timeseries"}
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert len(panel["description"]) > 5
    assert set(re.findall(r"Watchword[A-Z]\w+", panel["description"])) <= set(ALERTS)
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references))
    for target in (panel, *panel["targets"]):
        assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert all(target["legendFormat"] for target in panel["targets"])


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_there_is_and_for_what_was_chosen(query: str) -> None:
    recorded = set(re.findall(r"\w+:watchword_\w+:\w+", query))
    assert recorded <= RECORDS.keys()
    assert set(re.findall(r"(?<![\w:])watchword_\w+", query)) <= exported()
    for name in recorded:  # what was summed over the pods has no instance
        assert ("$instance" in query) == name.startswith("instance:")
    assert query.startswith("count(ALERTS") or "$namespace" in query
    assert not re.search(r"rate\([^)]*\[\d", query), "a rate follows the width of the panel"


def test_each_alert_is_named_where_it_can_be_seen() -> None:
    shown = {name for panel in PANELS for name in re.findall(r"Watchword\w+", panel["description"])}
    assert set(ALERTS) - shown == {
        "WatchwordLossUnknown",  # what is looked at in its page
        "WatchwordSigningKeyMissing",
        "WatchwordSigningKeysUnusable",
    }


def test_variables_work_without_kubernetes() -> None:
    variables = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert list(variables) == ["datasource", "namespace", "job", "instance"]
    for name in ("namespace", "job", "instance"):
        assert variables[name]["includeAll"]
        # Matches a label that is not there, too.
        assert variables[name]["allValue"] == ".*"
