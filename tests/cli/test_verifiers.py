"""watchword verifiers, and revoke --wait."""

import base64
import json

import httpx
import pytest

from tests.cli.conftest import Watchword
from tests.faults.failover_support import Pod

FEED = "/revocations"


def report(pod: Pod, client: tuple[str, str], name: str, **form: str) -> None:
    """A verifier says that it is at the head, or what `form` says."""
    heartbeat = pod.http.get(FEED, params={"wait": 0}).json()["heartbeat"]
    claims = httpx.Response(200, content=_decode(heartbeat.split(".")[1])).json()
    place = {"epoch": claims["epoch"], "number": str(claims["head"])}
    answer = pod.post(f"{FEED}/receipts", client, **{"name": name, **place, **form})
    assert answer.status_code == 200, answer.text


def _decode(segment: str) -> bytes:
    return base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.fixture
def client(watchword: Watchword, pod: Pod):
    client = watchword.make_client()
    yield client
    for line in watchword("verifiers", "--json").out.splitlines():
        row = json.loads(line)
        if row["client"] == client[0]:
            pod.post(f"{FEED}/receipts", client, name=row["name"], gone="true")


def test_no_verifier_is_said_plainly(watchword: Watchword, pod: Pod) -> None:
    said = watchword("verifiers")
    assert said.code == 0
    assert said.out.startswith("no verifier reports")
    token = pod.token(watchword.make_client())
    said = watchword("revoke", "--token", token, "--wait")
    assert said.code == 0
    assert said.out.splitlines()[-1] == "no verifier reports, so none can be waited for"


def test_verifiers_are_listed(watchword: Watchword, pod: Pod, client: tuple[str, str]) -> None:
    report(pod, client, "billing-7f", kids="a b")
    (row,) = [json.loads(line) for line in watchword("verifiers", "--json").out.splitlines()]
    assert (row["name"], row["client"], row["state"]) == ("billing-7f", client[0], "current")
    assert (row["behind by"], row["keys"]) == (0, 2)
    assert "billing-7f" in watchword("verifiers").out


def test_a_verifier_that_does_not_see_it_is_named(
    watchword: Watchword, pod: Pod, client: tuple[str, str]
) -> None:
    report(pod, client, "billing-7f")
    said = watchword("revoke", "--token", pod.token(client), "--wait", "1")
    assert said.code == 1
    told = said.out.splitlines()[-1]
    assert told.startswith("seen by 0 of 1 verifiers after 1 s; missing: billing-7f (at ")


def test_all_have_seen_it(watchword: Watchword, pod: Pod, client: tuple[str, str]) -> None:
    """A verifier that is ahead, as after a new epoch, has seen it."""
    report(pod, client, "billing-7f", number="1000000")
    said = watchword("revoke", "--client", client[0], "--wait")
    assert said.code == 0
    assert said.out.splitlines()[-1].startswith("seen by 1 of 1 verifiers in ")
