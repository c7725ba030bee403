"""deploy/chart: values that would install and not work are refused, with the reason."""

import re
from typing import Any

import pytest

from service.oauth.issuer import issuer_faults
from tests.deploy.chart import LEAST, Refused, render

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("helm")]

PROXY = {"trustedProxies": ["10.0.0.0/8"]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "issuer"),
        ({"issuer": "auth.example.com"}, "issuer"),
        ({"issuer": "http://auth.example.com"}, "must begin with https"),
        ({"issuer": "https://auth.example.com/"}, "without slash"),
        ({**LEAST, "colour": "red"}, "colour"),
        ({**LEAST, "settings": {"log_levle": "debug"}}, "log_levle"),
        ({**LEAST, "settings": {"issuer": "https://x.example"}}, "issuer"),
        ({**LEAST, "listen": "0.0.0.0:8000,[::]:9000"}, "a pod has one port"),
        ({**LEAST, "podLabels": {"app.kubernetes.io/name": "x"}}, "podLabels: app.kuber"),
        ({**LEAST, "fullnameOverride": "Our Login"}, "fullnameOverride"),
        ({**LEAST, "settings": {"password_passes": 1}}, "password_memory_mib of at least 38"),
        ({**LEAST, "drain": "10 minutes"}, "drain"),
        ({**LEAST, "settings": {"audit_retention": "3 months"}}, "audit_retention"),
        ({**LEAST, "settings": {"database_connections": 500}}, "database_connections"),
        ({**LEAST, "settings": {"log_level": "verbose"}}, "log_level"),
        ({**LEAST, "trustedProxies": ["the pods"]}, "trustedProxies"),
        ({**LEAST, "podDisruptionBudget": {"maxUnavailable": 0}}, "maxUnavailable"),
        (
            {**LEAST, "settings": {"password_hashes": 5, "password_memory_mib": 64}},
            "resources.limits.memory: 384Mi is too little: a pod takes 128Mi, and 320Mi for",
        ),
        ({**LEAST, "resources": {"limits": {"memory": "100M"}}}, "100M is too little"),
        (
            {**LEAST, **PROXY, "httpRoute": {"backendTLS": {"enabled": True}}},
            "backendTLS: the pods",
        ),
        ({**LEAST, "replicas": 0}, "replicas"),
        ({**LEAST, "database": {"existingSecret": ""}}, "database"),
        ({**LEAST, "image": {"digest": "sha256:abc"}}, "digest"),
        ({**LEAST, "pkcs11": {"module": "/opt/hsm/lib.so", "token": "auth"}}, "pkcs11"),
        ({**LEAST, "extraEnv": [{"name": "WATCHWORD_DRAIN", "value": "1h"}]}, "extraEnv"),
        ({**LEAST, **PROXY, "publicPaths": ["/"]}, "publicPaths"),
        ({**LEAST, **PROXY, "publicPaths": ["/metrics"]}, "publicPaths"),
        ({**LEAST, "ingress": {"enabled": True}}, "trustedProxies: name the network"),
        ({**LEAST, **PROXY, "httpRoute": {"enabled": True}}, "parentRefs: name the Gateway"),
        (
            {**LEAST, "autoscaling": {"enabled": True, "minReplicas": 9, "maxReplicas": 3}},
            "minReplicas is greater than maxReplicas",
        ),
        ({**LEAST, "externalSecrets": {"enabled": True}}, "secretStoreRef.name"),
        (
            {**LEAST, "externalSecrets": {"enabled": True, "secretStoreRef": {"name": "vault"}}},
            "remoteKeys.database: say what",
        ),
    ],
    ids=str,
)
def test_values_that_would_not_work_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=re.escape(said)):
        render(values)


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example.com",
        "https://auth.example.com:8443/a/b-c_~.d",
        "https://Auth.example.com",
        "https://auth.example.com:443",
        "https://auth.example.com:4430",
        "https://auth.example.com:0",
        "https://user:word@auth.example.com",
        "https://auth.example.com/a b",
        "https://auth.example.com/a//b",
        "https://auth.example.com/a/../b",
        "https://auth.example.com/.",
        "https://auth..example.com",
        "https://auth.example.com?x",
        "https://auth.example.com#x",
        "https://-auth.example.com",
        "https://",
    ],
)
def test_an_issuer_that_the_service_refuses_is_refused_at_once(issuer: str) -> None:
    """By the chart, before there is a pod that does not start; and no other."""
    if issuer_faults(issuer):
        with pytest.raises(Refused, match=r"issuer: |/issuer"):
            render({"issuer": issuer})
    else:
        assert render({"issuer": issuer})
