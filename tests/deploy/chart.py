"""The chart, rendered by Helm: what `helm template` makes of values, as objects."""

import json
import subprocess
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
HELM = ROOT / ".venv/deploy/tools/bin/helm"
VALUE_SETS = sorted(path.stem for path in (ROOT / "deploy/values").glob("*.yaml"))
LEAST = {"issuer": "https://auth.example.com"}

Values = dict[str, Any]
Object = dict[str, Any]


class Refused(Exception):
    """Helm refused the values; the text is what it said."""


def value_set(name: str) -> Values:
    """The values of deploy/values."""
    return yaml.safe_load((ROOT / f"deploy/values/{name}.yaml").read_text())


def render(values: Values, *options: str) -> list[Object]:
    """The objects that the chart makes of the values. Raises Refused."""
    command = [HELM, "template", "watchword", CHART, "--namespace", "auth", "--values", "-"]
    done = subprocess.run(
        [*command, *options], input=json.dumps(values), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Refused(done.stderr)
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """Those of a kind that belong to the service, not to its test."""
    return [
        each
        for each in objects
        if each["kind"] == kind and "helm.sh/hook" not in each["metadata"].get("annotations", {})
    ]


def one(objects: list[Object], kind: str) -> Object:
    """The one of that kind."""
    (found,) = of_kind(objects, kind)
    return found


def environment(container: Object) -> dict[str, str]:
    """A container's variables."""
    return {each["name"]: each["value"] for each in container["env"]}
