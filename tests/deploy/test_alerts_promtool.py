"""Every alert fires when it should and is quiet when it should be: by promtool, no pod at hand."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
RULES = FOLDER.parents[1] / "deploy/chart/files/prometheus-rules.yaml"
FILES = sorted(FOLDER.glob("*.test.yaml"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
def test_the_rules_are_well_formed() -> None:
    result = subprocess.run(
        ["promtool", "check", "rules", RULES], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.partition(".")[0])
def test_alerts_fire_and_are_quiet_as_they_should_be(file: Path) -> None:
    result = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_each_alert_is_seen_firing() -> None:
    alerts = set(re.findall(r"alert: (\w+)", RULES.read_text()))
    fired = {
        name for file in FILES for name in re.findall(r'{alertname="(\w+)"}', file.read_text())
    }
    assert fired == alerts
