"""Dashboard, rules and runbooks against a real Prometheus that scrapes real pods: all find series.

A metric or label that is spelt wrong gives no error in Prometheus, only an empty panel or an alert
that never fires.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import yaml

from bench.draw_dashboard import Source, draw
from tests.deploy.watched import (
    DASHBOARD,
    PROMETHEUS,
    ROOT,
    RULES,
    WINDOW_SECONDS,
    Watched,
    alive,
    filled_in,
    selectors,
    watched,
)
from tests.faults.failover_support import HEARTBEAT, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timed,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus (tests/install-servers.sh)"),
]

PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
GROUPS = yaml.safe_load(RULES.read_text())["groups"]
RECORDS = [rule for group in GROUPS for rule in group["rules"] if "record" in rule]
ALERTS = [rule for group in GROUPS for rule in group["rules"] if "alert" in rule]
# What may find nothing here, and why.
EMPTY = {
    "watchword_tls_certificate_expiry_timestamp_seconds": "these pods end no TLS",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A deployment that has been alive for as long as a panel's window is wide."""
    with watched(tmp_path_factory.mktemp("watched")) as world:
        prometheus = world.prometheus
        with alive(world, world.live, world.live, world.steal):
            until(lambda: len(prometheus.now("watchword_ready == 1")) == 2)
            time.sleep(WINDOW_SECONDS)  # the window is a time: nothing else ends it
            until(lambda: prometheus.now("sum(watchword_revocation_seen_seconds_count) > 3"))
            until(lambda: len(prometheus.now('watchword_verifiers{state="current"} == 1')) == 2)
            yield world


def may_be_empty(query: str) -> bool:
    return any(name in query for name in EMPTY)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_query_of_a_panel_finds_series(world: Watched, panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        query = filled_in(target["expr"])
        ask = world.prometheus.now if target.get("instant") else world.prometheus.over
        found = ask(query) if target.get("instant") else ask(query, WINDOW_SECONDS)
        assert found or may_be_empty(query), query
        named = re.findall(r"{{(\w+)}}", target["legendFormat"])
        assert all(name in series["metric"] for name in named for series in found), query


def test_the_variables_offer_what_there_is(world: Watched) -> None:
    for variable in DASHBOARD["templating"]["list"][1:]:
        found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["definition"])
        assert found is not None
        series = world.prometheus.now(filled_in(found[1]))
        assert series
        values = {it["metric"].get(found[2]) for it in series}
        expected = {"namespace": 1, "job": 1, "instance": 2}[variable["name"]]
        assert len(values) == expected


def test_every_recording_rule_records(world: Watched) -> None:
    for rule in RECORDS:
        assert world.prometheus.now(rule["record"]), rule["record"]
        assert world.prometheus.now(rule["expr"]), rule["record"]


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_asks_for_series_that_there_are(world: Watched, rule: dict[str, Any]) -> None:
    """The expression itself is empty in health; each selector in it is not."""
    world.prometheus.now(rule["expr"])
    found = selectors(rule["expr"])
    assert found
    for selector in found:
        assert world.prometheus.now(selector) or may_be_empty(selector), selector


def test_alerts_are_quiet_while_all_is_well_and_see_the_first_of_an_attack(world: Watched) -> None:
    """In one test, since what was seen once goes on for ten minutes."""
    rules = world.prometheus.ask("rules", type="alert")["groups"]
    states = {rule["name"]: rule["state"] for group in rules for rule in group["rules"]}
    if states["WatchwordEventLoopSlow"] == "pending":  # others may have the processor for a while
        states["WatchwordEventLoopSlow"] = "inactive"
    assert states == {rule["alert"]: "inactive" for rule in ALERTS}
    health = {rule["name"]: rule["health"] for group in rules for rule in group["rules"]}
    assert set(health.values()) == {"ok"}
    world.site.redis.set(HEARTBEAT, "forged")
    world.present_impossible()
    firing = 'ALERTS{alertstate="firing"}'
    expected = {"WatchwordRefreshImpossible", "WatchwordFeedTampered"}
    until(lambda: len(world.prometheus.now(firing)) >= len(expected))
    assert {it["metric"]["alertname"] for it in world.prometheus.now(firing)} == expected


def test_every_query_of_a_runbook_runs(world: Watched) -> None:
    for page in sorted((ROOT / "docs/runbooks").glob("*.md")):
        for block in re.findall(r"```promql\n(.+?)```", page.read_text(), re.DOTALL):
            for query in block.splitlines():
                world.prometheus.now(query)
                for selector in selectors(query):
                    name = selector.partition("{")[0]
                    assert world.prometheus.now(name) or may_be_empty(name), (page.name, query)


def test_gauges_show_what_is_there(world: Watched) -> None:
    for query in (
        "min(watchword_http_connections) >= 1",  # Prometheus' own
        "min(sum by (instance) (watchword_database_connections)) >= 1",
        "min(watchword_signing_keys{state='active'}) == 1",
        "max(watchword_keys_age_seconds) < 20",
        "max(namespace_job:watchword_feed_heartbeat:age_seconds) < 5",
        "sum(watchword_feed_receipts_total{result='noted'}) >= 1",
    ):
        assert world.prometheus.now(query), query


def test_the_dashboard_can_be_drawn(world: Watched) -> None:
    end = time.time()
    source = Source(http=world.prometheus.http, start=end - 10, end=end, window="8s")
    drawn = ET.fromstring(draw(DASHBOARD, source, "a note"))  # noqa: S314 (our own)
    texts = {element.text for element in drawn.iter() if element.text}
    assert {panel["title"] for panel in DASHBOARD["panels"]} | {"a note"} <= texts
    assert {"there", "client_credentials", "reuse", "current"} <= texts


def test_metrics_keep_prometheus_rules_of_naming(world: Watched) -> None:
    for pod in world.pods:
        text = pod.http.get("/metrics").text
        check = ["promtool", "check", "metrics"]
        result = subprocess.run(check, input=text, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_what_prometheus_scrapes_is_quick_and_small(world: Watched) -> None:
    (slowest,) = world.prometheus.now("max(max_over_time(scrape_duration_seconds[10s]))")
    (samples,) = world.prometheus.now("max(scrape_samples_scraped)")
    figures = float(slowest["value"][1]), float(samples["value"][1])
    sys.stdout.write("slowest scrape {:.3f} s, {:.0f} samples\n".format(*figures))
    assert figures[0] < 0.5
    assert figures[1] < 1500
