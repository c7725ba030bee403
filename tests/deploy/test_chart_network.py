"""deploy/chart: who reaches whom by its NetworkPolicy, and what the outside reaches."""

import pytest

from tests.deploy.chart import Object, of_kind, one

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]


def selects(selector: Object, labels: dict[str, str]) -> bool:
    return selector["matchLabels"].items() <= labels.items()


def reaches(rules: list[Object], side: str, labels: dict[str, str], port: int) -> bool:
    """Whether a rule lets pods of this namespace with these labels through, by name."""
    return any(
        {"port": port, "protocol": "TCP"} in rule["ports"]
        and any(
            set(peer) == {"podSelector"} and selects(peer["podSelector"], labels)
            for peer in rule.get(side, [])
        )
        for rule in rules
    )


def test_the_test_reaches_the_service_whoever_else_may(rendered: list[Object]) -> None:
    """Also where `ingressFrom` names the controller alone, or the namespace forbids all else."""
    policy = one(rendered, "NetworkPolicy")["spec"]
    template = one(rendered, "Deployment")["spec"]["template"]
    (test,) = [it for it in rendered if it["kind"] == "Pod"]
    server, tester = template["metadata"]["labels"], test["metadata"]["labels"]
    port = template["spec"]["containers"][0]["ports"][0]["containerPort"]
    assert selects(policy["podSelector"], server)
    assert selects(policy["podSelector"], tester)
    assert reaches(policy["ingress"], "from", tester, port)
    assert reaches(policy["egress"], "to", server, port)
    assert not reaches(policy["egress"], "to", tester, port)


def test_no_request_of_a_user_goes_to_the_test(rendered: list[Object]) -> None:
    (test,) = [it for it in rendered if it["kind"] == "Pod"]
    for kind in ("Service", "PodDisruptionBudget", "Deployment"):
        for each in of_kind(rendered, kind):
            selector = each["spec"]["selector"]
            wanted = selector.get("matchLabels", selector)
            assert not wanted.items() <= test["metadata"]["labels"].items()


def test_no_value_set_shows_its_metrics_to_the_outside(rendered: list[Object]) -> None:
    assert one(rendered, "Service")["spec"]["type"] == "ClusterIP"
