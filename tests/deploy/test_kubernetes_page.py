"""docs/how-to/run-on-kubernetes.md: its commands that need no cluster, and the files it names."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.deploy.chart import ROOT, one, render

PAGE = (ROOT / "docs/how-to/run-on-kubernetes.md").read_text()
KUBECTL = ROOT / ".venv/deploy/tools/bin/kubectl"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
@pytest.mark.usefixtures("helm")
def test_its_secrets_are_those_that_the_chart_mounts(tmp_path: Path) -> None:
    """What the lines make is what the pods of my-values.yaml ask for, key by key."""
    (block,) = [each for each in blocks("sh") if "keys init" in each]
    made: dict[str, set[str]] = {}
    for line in block.splitlines():
        words = shlex.split(line)
        if words[0] == "watchword":
            subprocess.run([ROOT / ".venv/bin/watchword", *words[1:]], cwd=tmp_path, check=True)
            continue
        command = [KUBECTL, *words[1:], "--dry-run=client", "--output=yaml"]
        each = yaml.safe_load(subprocess.check_output(command, cwd=tmp_path, text=True))
        if each["kind"] == "Secret":
            made[each["metadata"]["name"]] = set(each["data"])
    (values,) = [each for each in blocks("yaml") if "my-values" in each]
    volumes = one(render(yaml.safe_load(values)), "Deployment")["spec"]["template"]["spec"][
        "volumes"
    ]
    wanted = {
        source["secret"]["name"]: {item["key"] for item in source["secret"]["items"]}
        for volume in volumes
        for source in volume.get("projected", {}).get("sources", [])
    }
    assert made.pop("watchword-master-keys") == {"wrap-1.key", "refresh-1.key", "current"}
    assert made == wanted


def test_its_snippets_are_yaml() -> None:
    for block in blocks("yaml"):
        assert all(isinstance(each, dict) for each in yaml.safe_load_all(block))
