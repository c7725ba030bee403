"""deploy/chart: where pods run, as whom, and what becomes of them in updates and drained nodes."""

import json
import subprocess
from typing import Any

import pytest

from tests.deploy.chart import CHART, HELM, LEAST, Object, one, render

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]


def test_a_node_is_drained_also_of_a_pod_that_is_ill() -> None:
    budget = one(render(LEAST), "PodDisruptionBudget")["spec"]
    assert budget["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_new_pods_of_an_update_are_spread_without_the_old_ones(rendered: list[Object]) -> None:
    pod = one(rendered, "Deployment")["spec"]["template"]["spec"]
    spread = pod["topologySpreadConstraints"]
    keys = ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert [it["topologyKey"] for it in spread] == keys
    assert all(it["matchLabelKeys"] == ["pod-template-hash"] for it in spread)


@pytest.mark.parametrize(
    ("surge", "values"),
    [(1, {"replicas": 3}), ("10%", {"autoscaling": {"enabled": True, "maxReplicas": 40}})],
)
def test_the_notes_count_the_connections_of_an_update(surge: Any, values: dict[str, Any]) -> None:
    """Pods that stop hold theirs: not only those of the surge come on top."""
    values = {**values, "rollout": {"maxSurge": surge}, "settings": {"database_connections": 5}}
    said = notes({**LEAST, **values})
    pods = values.get("replicas") or 40
    assert f"{pods * 5} at most, 5 for each of {pods} pods" in said
    assert f"During an update up to {2 * pods * 5}:" in said


def test_a_database_can_have_a_ca_of_its_own() -> None:
    volumes = [{"name": "database-ca", "configMap": {"name": "database-ca"}}]
    mounts = [{"name": "database-ca", "mountPath": "/etc/database-ca", "readOnly": True}]
    objects = render({**LEAST, "extraVolumes": volumes, "extraVolumeMounts": mounts})
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    (test,) = [it["spec"] for it in objects if it["kind"] == "Pod"]
    for each in (pod, test):
        assert volumes[0] in each["volumes"]
        for container in [*each.get("initContainers", []), *each["containers"]]:
            assert mounts[0] in container["volumeMounts"]


def test_openshift_can_choose_who_the_pods_run_as() -> None:
    numbers = dict.fromkeys(("runAsUser", "runAsGroup", "fsGroup"))
    objects = render({**LEAST, "podSecurityContext": numbers})
    pod = one(objects, "Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert not numbers.keys() & pod["securityContext"].keys()


def notes(values: dict[str, Any]) -> str:
    """What Helm prints after an installation."""
    options = [f"--set-json={name}={json.dumps(value)}" for name, value in values.items()]
    command = [HELM, "install", "watchword", CHART, "--dry-run=client"]
    return subprocess.check_output([*command, *options], text=True)
