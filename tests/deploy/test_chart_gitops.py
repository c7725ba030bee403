"""deploy/chart under Argo CD and Flux: nothing differs from what the API server makes of it."""

import json

import pytest

from tests.deploy.chart import LEAST, Object, of_kind, one, render, value_set

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]


@pytest.fixture(scope="module")
def objects() -> list[Object]:
    return render(value_set("gitops"))


def test_what_is_rendered_twice_is_the_same(objects: list[Object]) -> None:
    assert render(value_set("gitops")) == objects


def test_a_route_says_what_the_api_server_would_add(objects: list[Object]) -> None:
    """Else Argo CD calls it OutOfSync for ever: to it a default inside of a list is a change."""
    route = one(objects, "HTTPRoute")["spec"]
    (parent,) = route["parentRefs"]
    assert (parent["group"], parent["kind"]) == ("gateway.networking.k8s.io", "Gateway")
    assert (parent["name"], parent["namespace"]) == ("public", "gateways")
    for rule in route["rules"]:
        for backend in rule["backendRefs"]:
            assert (backend["group"], backend["kind"], backend["weight"]) == ("", "Service", 1)
        assert all(match["path"]["type"] == "PathPrefix" for match in rule["matches"])
        # As many as the first releases of the API allow.
        assert len(rule["matches"]) <= 8


def test_a_secret_of_a_store_says_what_older_operators_would_add(objects: list[Object]) -> None:
    for each in of_kind(objects, "ExternalSecret"):
        spec = each["spec"]
        sources = [it["remoteRef"] for it in spec.get("data", [])]
        sources += [it["extract"] for it in spec.get("dataFrom", [])]
        assert sources
        for source in sources:
            assert {
                name: source[name]
                for name in ("conversionStrategy", "decodingStrategy", "metadataPolicy")
            } == {
                "conversionStrategy": "Default",
                "decodingStrategy": "None",
                "metadataPolicy": "None",
            }
        assert spec["target"]["deletionPolicy"] == "Retain"


def test_a_gateway_speaks_tls_to_pods_that_end_it(objects: list[Object]) -> None:
    policy = one(objects, "BackendTLSPolicy")["spec"]
    service = one(objects, "Service")
    (target,) = policy["targetRefs"]
    assert target == {"group": "", "kind": "Service", "name": service["metadata"]["name"]}
    assert policy["validation"] == {
        "hostname": "id.example.com",
        "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": "internal-ca"}],
    }
    (port,) = service["spec"]["ports"]
    assert (port["port"], port["name"], port["appProtocol"]) == (443, "https", "https")
    (endpoint,) = one(objects, "ServiceMonitor")["spec"]["endpoints"]
    assert endpoint["tlsConfig"]["serverName"] == "id.example.com"
    assert endpoint["tlsConfig"]["ca"]


def test_the_log_of_a_test_that_succeeded_can_be_read() -> None:
    """Helm deletes what `hook-succeeded` names before `helm test --logs` asks for the log."""
    tests = [it for it in render(LEAST) if "helm.sh/hook" in it["metadata"].get("annotations", {})]
    assert {it["kind"] for it in tests} == {"Pod", "ConfigMap"}
    for each in tests:
        said = each["metadata"]["annotations"]
        assert said["helm.sh/hook-delete-policy"] == "before-hook-creation"
        # The script is there before the pod that mounts it.
        assert said.get("helm.sh/hook-weight", "0") == ("-1" if each["kind"] != "Pod" else "0")


def test_no_name_changes_with_the_release(objects: list[Object]) -> None:
    """A selector that changed could not be applied."""
    selector = one(objects, "Deployment")["spec"]["selector"]["matchLabels"]
    assert "0.2.0" not in json.dumps(selector)
