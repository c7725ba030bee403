"""deploy/chart: what holds whatever the values, and what no values may do."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.environment import read_environment
from service.http.edge import ENDPOINTS
from service.setting_faults import SECRETS
from service.settings import Settings, load_settings
from tests.deploy.chart import (
    CHART,
    LEAST,
    Object,
    Refused,
    environment,
    of_kind,
    one,
    render,
    setting_schemas,
    value_set,
)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]

PROXY = {"trustedProxies": ["10.0.0.0/8"]}
ALL_ON = {
    **LEAST,
    **PROXY,
    "ingress": {"enabled": True},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "public"}]},
    "monitoring": {
        name: {"enabled": True} for name in ("serviceMonitor", "prometheusRule", "dashboard")
    },
}


def pod_of(objects: list[Object]) -> Object:
    return one(objects, "Deployment")["spec"]["template"]["spec"]


def test_a_pod_has_the_time_that_its_drain_and_its_grace_take(rendered: list[Object]) -> None:
    pod = pod_of(rendered)
    given = environment(pod["containers"][0])
    values, faults = read_environment(Settings, SECRETS, given)
    assert not [it for it in faults if "_URL" not in it]
    least = (values["drain"] + values["grace"]).total_seconds()
    # Two seconds more for its goodbye, and some for the process to end.
    assert pod["terminationGracePeriodSeconds"] >= least + 3


@pytest.mark.parametrize(("drain", "grace", "seconds"), [("1m", "30s", 95), ("7", "0s", 12)])
def test_the_grace_period_follows_them(drain: str, grace: str, seconds: int) -> None:
    pod = pod_of(render({**LEAST, "drain": drain, "grace": grace}))
    assert pod["terminationGracePeriodSeconds"] == seconds


def test_its_settings_are_settings(rendered: list[Object]) -> None:
    for container in containers(pod_of(rendered)):
        given = environment(container)
        files = [name for name in given if name.endswith("_FILE")]
        urls = {
            name.removesuffix("_FILE"): f"{'redis' if 'REDIS' in name else 'postgresql'}://u:p@h/0"
            for name in files
        }
        load_settings({name: text for name, text in given.items() if name not in files} | urls)


def test_the_logo_of_the_pages_comes_in_a_volume() -> None:
    """Text of it in the values would be an environment variable of 128 KiB."""
    volumes = [{"name": "brand", "configMap": {"name": "brand"}}]
    mounts = [{"name": "brand", "mountPath": "/etc/brand", "readOnly": True}]
    settings = {"brand_name": "Acme", "brand_logo": "/etc/brand/logo.svg"}
    given = {"extraVolumes": volumes, "extraVolumeMounts": mounts, "settings": settings}
    container = pod_of(render({**LEAST, **given}))["containers"][0]
    assert environment(container)["WATCHWORD_BRAND_LOGO"] == "/etc/brand/logo.svg"
    assert mounts[0] in container["volumeMounts"]
    with pytest.raises(Refused, match="brand_logo"):
        render({**LEAST, "settings": {"brand_logo": "logo.svg"}})


def test_every_setting_can_be_set_and_nothing_else() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["settings"]["properties"] == setting_schemas()
    assert schema["properties"]["settings"]["additionalProperties"] is False


def test_a_setting_arrives_as_it_was_written(tmp_path: Path) -> None:
    """YAML makes a truth of `yes`, and Helm prints ten million as 1e+07."""
    written = tmp_path / "values.yaml"
    written.write_text(
        "settings: {log_level: debug, max_connections: 10000000, all_verifiers_report: yes,"
        " audit_retention: 30d, key_rotation: 864000}"
    )
    given = environment(pod_of(render(LEAST, "--values", str(written)))["containers"][0])
    names = ("LOG_LEVEL", "MAX_CONNECTIONS", "ALL_VERIFIERS_REPORT", "AUDIT_RETENTION")
    arrived = [given[f"WATCHWORD_{name}"] for name in (*names, "KEY_ROTATION")]
    assert arrived == ["debug", "10000000", "yes", "30d", "864000"]


def test_hardware_keeps_the_keys_where_it_is_named() -> None:
    given = {"module": "/opt/hsm/lib.so", "token": "auth", "existingSecret": "hsm"}
    pod = pod_of(render({**LEAST, "pkcs11": given}))
    (serve,) = pod["containers"]
    seen = {
        name.removeprefix("WATCHWORD_PKCS11_"): text
        for name, text in environment(serve).items()
        if "PKCS11" in name
    }
    pin = "/run/secrets/watchword-pkcs11/pin"
    assert seen == {"MODULE": "/opt/hsm/lib.so", "TOKEN": "auth", "PIN_FILE": pin}
    assert "pkcs11" in mounts(serve)
    assert "pkcs11" not in mounts(pod["initContainers"][0])


def test_no_secret_stands_in_the_environment(rendered: list[Object]) -> None:
    for pod in [pod_of(rendered), *(it["spec"] for it in rendered if it["kind"] == "Pod")]:
        for container in containers(pod):
            for name, text in environment(container).items():
                assert "://" not in text or name in ("WATCHWORD_ISSUER", "SMOKE_URL")
    assert not [it for it in rendered if it["kind"] == "Secret"]


def test_the_owner_of_the_schema_is_known_to_the_migration_alone(rendered: list[Object]) -> None:
    pod = pod_of(rendered)
    (migrate,) = pod["initContainers"]
    assert migrate["args"] == ["migrate"]
    assert "WATCHWORD_MIGRATE_DATABASE_URL_FILE" in environment(migrate)
    assert mounts(migrate) == {"migrations", "secrets"}  # no master key, no key of TLS
    (serve,) = pod["containers"]
    assert "WATCHWORD_MIGRATE_DATABASE_URL_FILE" not in environment(serve)
    assert "migrations" not in mounts(serve)
    (test,) = [it for it in rendered if it["kind"] == "Pod"]
    assert "migrations" not in mounts(test["spec"]["containers"][0])


def test_a_pod_has_no_more_rights_than_it_needs(rendered: list[Object]) -> None:
    """The 'restricted' Pod Security Standard, and no word to the API server."""
    for pod in [pod_of(rendered), *(it["spec"] for it in rendered if it["kind"] == "Pod")]:
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        context = pod["securityContext"]
        assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 65532)
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert all(each["readOnly"] for each in container["volumeMounts"])


def test_secrets_are_files_that_the_service_accepts(rendered: list[Object]) -> None:
    """Readable by the pod's group, and not by everybody."""
    pod = pod_of(rendered)
    assert pod["securityContext"]["fsGroup"] == 65532
    for volume in pod["volumes"]:
        (source,) = [each for name, each in volume.items() if name != "name"]
        assert source["defaultMode"] == 0o440


def test_no_hook_stands_in_the_way_of_an_installation(rendered: list[Object]) -> None:
    for each in rendered:
        hook = each["metadata"].get("annotations", {}).get("helm.sh/hook")
        assert hook in (None, "test")
        assert each["kind"] in ("Pod", "ConfigMap") or hook is None
        assert each["kind"] != "Job"


def test_never_fewer_pods_than_wanted(rendered: list[Object]) -> None:
    spec = one(rendered, "Deployment")["spec"]
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    scaled = of_kind(rendered, "HorizontalPodAutoscaler")
    # Both would set the number in turn.
    assert ("replicas" in spec) is not bool(scaled)


def test_probes_ask_no_dependency(rendered: list[Object]) -> None:
    (serve,) = pod_of(rendered)["containers"]
    assert serve["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert serve["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert serve["readinessProbe"]["httpGet"]["path"] == "/readyz"
    (port,) = serve["ports"]
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        assert serve[probe]["httpGet"]["port"] == port["name"]
        assert serve[probe]["httpGet"]["scheme"] == port["name"].upper()


def test_by_default_it_is_safe() -> None:
    objects = render(LEAST)
    assert one(objects, "Deployment")["spec"]["replicas"] == 2
    assert one(objects, "PodDisruptionBudget")["spec"]["maxUnavailable"] == 1
    policy = one(objects, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert {port["port"] for rule in policy["egress"] for port in rule["ports"]} == {
        *(53, 5432, 6379),
        8000,  # the test asks the service
    }
    assert not of_kind(objects, "Ingress")


def test_metrics_probes_and_administration_are_not_for_the_outside() -> None:
    """ATK-105: /admin is asked from inside, unless an operator names it."""
    objects = render(ALL_ON)
    (rule,) = one(objects, "Ingress")["spec"]["rules"]
    paths = [each["path"] for each in rule["http"]["paths"]]
    matches = [it for rule in one(objects, "HTTPRoute")["spec"]["rules"] for it in rule["matches"]]
    assert [each["path"]["value"] for each in matches] == paths
    for secret in ("/metrics", "/healthz", "/readyz", "/admin", "/admin/keys"):
        assert not [path for path in paths if secret.startswith(path)]
    for path in ENDPOINTS:
        inside = path in ("/metrics", "/healthz", "/readyz") or path.startswith("/admin/")
        if not inside:
            assert [each for each in paths if path.startswith(each)], path


def test_an_issuer_with_a_path_has_its_paths_under_it() -> None:
    values: dict[str, Any] = {**ALL_ON, "issuer": "https://id.example.com:8443/auth"}
    (rule,) = one(render(values), "Ingress")["spec"]["rules"]
    assert rule["host"] == "id.example.com"
    paths = [each["path"] for each in rule["http"]["paths"]]
    documents = ("oauth-authorization-server", "openid-configuration")
    inserted = {f"/.well-known/{name}/auth" for name in documents}
    assert {"/auth/token", "/auth/authorize", "/auth/.well-known", *inserted} <= set(paths)
    # What else lives at that host keeps its own.
    assert all("/auth" in path for path in paths)


def test_objects_of_operators_have_the_shape_that_those_ask_for() -> None:
    """No schema of these is at hand: names and places as their references have them."""
    objects = render({**value_set("gitops"), "monitoring": ALL_ON["monitoring"]})
    monitor = one(objects, "ServiceMonitor")
    assert monitor["apiVersion"] == "monitoring.coreos.com/v1"
    labels = one(objects, "Service")["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= labels.items()
    ports = {each["name"] for each in one(objects, "Service")["spec"]["ports"]}
    assert {each["port"] for each in monitor["spec"]["endpoints"]} <= ports
    groups = one(objects, "PrometheusRule")["spec"]["groups"]
    rules = (CHART / "files/prometheus-rules.yaml").read_text()
    assert groups == yaml.safe_load(rules)["groups"]
    monitoring = {"prometheusRule": {"enabled": True, "runbooks": "https://wiki.example/run/"}}
    linked = one(render({**LEAST, "monitoring": monitoring}), "PrometheusRule")["spec"]["groups"]
    links = [it["annotations"]["runbook_url"] for g in linked for it in g["rules"] if "alert" in it]
    assert links
    assert all(link.startswith("https://wiki.example/run/Watchword") for link in links)
    dashboard = [it for it in of_kind(objects, "ConfigMap") if "grafana_dashboard" in labels_of(it)]
    assert json.loads(dashboard[0]["data"]["watchword.json"])["panels"]
    secrets = {it["metadata"]["name"]: it["spec"] for it in of_kind(objects, "ExternalSecret")}
    assert set(secrets) == {
        f"watchword-{name}" for name in ("database", "migrations", "redis", "master-keys")
    }
    (redis,) = secrets["watchword-redis"]["data"]
    assert (redis["secretKey"], redis["remoteRef"]["key"]) == ("url", "watchword/redis")
    (master_keys,) = secrets["watchword-master-keys"]["dataFrom"]
    assert master_keys["extract"]["key"] == "watchword/master-keys"


def test_every_secret_that_is_mounted_is_one_that_the_values_name(rendered: list[Object]) -> None:
    text = json.dumps(pod_of(rendered)["volumes"])
    named = set(re.findall(r'"(?:secretName|name)": "([a-z-]+)"', text))
    for name in ("master-keys", "secrets", "migrations", "tls"):
        named.discard(name)
    assert {"watchword-master-keys", "watchword-redis"} <= named


def test_every_value_is_explained() -> None:
    """By a row in the chart's README, or by its name in the row of what it belongs to."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    page = (CHART / "README.md").read_text()
    rows = re.findall(r"^\| `([A-Za-z0-9.]+)` \|(.+)$", page, re.MULTILINE)
    assert {name.split(".")[0] for name, _ in rows} == set(values)
    for name, _ in rows:
        value = values
        for part in name.split("."):
            value = value[part]
    for path in paths_of(values):
        named = [
            name == ".".join(path) or f"`{path[-1]}`" in said
            for name, said in rows
            if name.split(".")[0] == path[0]
        ]
        assert any(named), path


def paths_of(values: Object, *above: str) -> list[tuple[str, ...]]:
    """Every value's way from the top; what Kubernetes defines is one value."""
    found: list[tuple[str, ...]] = []
    for name, value in values.items():
        path = (*above, name)
        whole = name in (
            "resources",
            "podSecurityContext",
            "labels",
            "secretStoreRef",
            "remoteKeys",
        )
        inner = value if isinstance(value, dict) and value and not whole else {}
        found += paths_of(inner, *path) if inner else [path]
    return found


def containers(pod: Object) -> list[Object]:
    return [*pod.get("initContainers", []), *pod["containers"]]


def mounts(container: Object) -> set[str]:
    return {each["name"] for each in container["volumeMounts"]}


def labels_of(each: Object) -> dict[str, str]:
    return each["metadata"]["labels"]
