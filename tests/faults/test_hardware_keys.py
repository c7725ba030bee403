"""Pods whose signing keys are kept in hardware: every way through which a key lives. JWKS-7."""

import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jwt
import pytest

from tests.faults.failover_support import Pod, sql
from tests.faults.processes import Deployment, free_url, open_deployment, until
from tests.keys.softhsm import SoftHsm, make_token

pytestmark = pytest.mark.slow


class HardwareSite(Deployment):
    """A deployment with a token that all pods reach; `token` None takes its settings away."""

    token: SoftHsm | None = None

    def environment(self, database_url: str) -> dict[str, str]:
        hardware = self.token.environment if self.token else {}
        return {**super().environment(database_url), **hardware}


@pytest.fixture
def site(tmp_path: Path) -> Iterator[HardwareSite]:
    folder = tmp_path / "softhsm"
    folder.mkdir()
    HardwareSite.token = make_token(folder)
    try:
        with open_deployment(tmp_path, HardwareSite) as site:
            site.run(site.database_url, "migrate")
            yield site
    finally:
        HardwareSite.token = None


def ask(pod: Pod, client: tuple[str, str]) -> httpx.Response:
    return pod.http.post("/token", data={"grant_type": "client_credentials"}, auth=client)


def kids(pod: Pod) -> set[str]:
    return {key["kid"] for key in pod.http.get("/.well-known/jwks.json").json()["keys"]}


def test_a_key_lives_and_dies_in_hardware(site: HardwareSite) -> None:
    """Two pods sign with one key that neither has; it rotates, and is killed, as any other."""
    one, other = site.start_pods(2)
    client = site.make_client(site.database_url, "orders-worker")
    tokens = [pod.token(client) for pod in (one, other)]
    (first,) = {jwt.get_unverified_header(token)["kid"] for token in tokens}
    assert kids(one) == kids(other)
    listed = site.run(site.database_url, "keys", "list")
    assert listed.count("in hardware") == 2
    kept_there = "SELECT array_agg(purpose) FROM signing_keys WHERE wrapped_private_key IS NULL"
    assert sql(site.servers[0], kept_there) == ["token", "token"]

    site.run(site.database_url, "keys", "rotate", "--now")
    until(lambda: jwt.get_unverified_header(other.token(client))["kid"] != first)
    second = jwt.get_unverified_header(other.token(client))["kid"]
    site.run(site.database_url, "keys", "kill", second)
    until(lambda: second not in kids(one) | kids(other))
    for pod in (one, other):
        assert jwt.get_unverified_header(pod.token(client))["kid"] not in {first, second}


def test_hardware_that_is_away_stops_new_tokens_and_nothing_else(site: HardwareSite) -> None:
    token = site.token
    assert token is not None
    (pod,) = site.start_pods(1)
    client = site.make_client(site.database_url, "orders-worker")
    good = pod.token(client)
    token.take_away()
    refused = ask(pod, client)
    assert (refused.status_code, refused.json()["error"]) == (503, "temporarily_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    told = pod.http.post("/introspect", data={"token": good}, auth=client)
    assert told.json()["active"] is True
    assert kids(pod)
    assert pod.http.post("/revoke", data={"token": good}, auth=client).status_code == 200
    told = pod.http.post("/introspect", data={"token": good}, auth=client)
    assert told.json()["active"] is False
    assert pod.http.get("/readyz").status_code == 200
    # A pod that starts meanwhile waits for it.
    late = site.start_pod(url=free_url())
    until(lambda: "does not answer" in late.log.read_text(), 20)
    assert late.process.poll() is None
    token.bring_back()
    until(lambda: ask(pod, client).status_code == 200, 20)
    until(late.is_ready, 20)
    assert ask(late, client).status_code == 200


def test_a_pod_without_its_settings_says_which(site: HardwareSite) -> None:
    (pod,) = site.start_pods(1)
    pod.stop()
    HardwareSite.token = None
    bare = site.start_pod()
    deadline = time.monotonic() + 20
    while bare.process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert bare.process.poll() == 1
    said = bare.log.read_text()
    assert "is kept in hardware: set WATCHWORD_PKCS11_MODULE, WATCHWORD_PKCS11_TOKEN and" in said
    assert "Traceback" not in said
