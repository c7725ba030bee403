"""The chart, rendered by Helm: what `helm template` makes of values, as objects."""

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import yaml

from service.settings import Settings

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
HELM = ROOT / ".venv/deploy/tools/bin/helm"
VALUE_SETS = sorted(path.stem for path in (ROOT / "deploy/values").glob("*.yaml"))
LEAST = {"issuer": "https://auth.example.com"}

# What the chart sets by values of its own.
OWN = {
    *("issuer", "database_url", "redis_url", "migrate_database_url", "keys_dir", "listen"),
    *("tls_certificate", "tls_private_key", "drain", "grace", "trusted_proxies", "allowed_hosts"),
    *("pkcs11_module", "pkcs11_token", "pkcs11_pin"),
}

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


def setting_schemas() -> dict[str, Object]:
    """What the values' schema has to say of each setting, from the settings themselves."""
    hints = get_type_hints(Settings, include_extras=True)
    return {name: _schema(hint) for name, hint in hints.items() if name not in OWN}


def _schema(hint: Any) -> Object:
    (meta,) = hint.__metadata__
    assert isinstance(meta, msgspec.Meta)
    if hint.__origin__ is int:
        bounds = {"minimum": meta.ge, "maximum": meta.le}
        return {"type": "integer", **{name: it for name, it in bounds.items() if it is not None}}
    if timedelta in (hint.__origin__, *get_args(hint.__origin__)):
        pattern = "^[0-9]{1,9}[smhd]?$"
        return {"type": ["string", "integer"], "pattern": pattern, "minimum": 0}
    if Path in get_args(hint.__origin__):
        return {"type": "string", "pattern": "^/"}  # where extraVolumeMounts put the file
    assert hint.__origin__ is str
    if not meta.pattern:
        return {"type": "string"}
    if not (words := re.fullmatch(r"\^\(([a-z|]+)\)\$", meta.pattern)):
        return {"type": "string", "pattern": meta.pattern}
    # To YAML a bare yes is a truth.
    truths = [True, False] if words[1] == "yes|no" else []
    return {"enum": [*words[1].split("|"), *truths]}
