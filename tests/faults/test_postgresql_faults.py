"""PostgreSQL dies or freezes: what needs it says so at once, all else goes on, and it recovers."""

import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from tests.faults.processes import (
    Client,
    Deployment,
    Load,
    metric,
    open_deployment,
    statuses,
    steady_load,
    subjects,
    tell,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timed]

FINE = {"token": {200}, "introspect": {200}, "revoke": {200}, "failure": {401, 429}}
AWAY = {"token": {200}, "introspect": {503}, "revoke": {503}, "failure": {401, 429}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two pods that are ready."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        opened.start_pods(2)
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


@pytest.fixture(scope="module")
def client(site: Deployment) -> Client:
    return site.make_client(site.database_url, "orders")


@pytest.fixture(autouse=True)
def mended(site: Deployment) -> None:
    """What the test before did is over."""
    site.servers[0].start()
    site.servers[0].thaw()
    site.checked()


def is_fine(load: Load, began: float) -> bool:
    """Whether everything is answered as ever since then."""
    found = statuses(load.since(began))
    return len(found) == len(FINE) and all(found[kind] <= FINE[kind] for kind in FINE)


def refused_at_once(load: Load, began: float) -> None:
    """What needs PostgreSQL is refused and says when to come back; tokens are issued as ever."""
    answers = load.since(began)
    found = statuses(answers)
    assert {kind: found[kind] - AWAY[kind] for kind in found} == {kind: set() for kind in AWAY}
    assert {it.retry_after for it in answers if it.status == 503} == {"1"}
    assert max(it.seconds for it in answers) < 2  # a statement is given up after 1.5 s


def error(site: Deployment, client: Client, endpoint: str) -> str:
    pod = site.pods[0]
    return pod.post(endpoint, client, token=pod.token(client)).json()["error"]


def degraded(site: Deployment) -> list[list[str]]:
    """What each pod's /readyz names; it has to be 200."""
    answers = [pod.http.get("/readyz") for pod in site.pods]
    assert [answer.status_code for answer in answers] == [200, 200]
    return [answer.json()["degraded"] for answer in answers]


def beats(site: Deployment, seconds: float) -> list[dict[str, Any]]:
    """The heartbeats that came in a time, without the one that stood there."""
    seen, end = [site.heartbeat()], time.monotonic() + seconds
    while time.monotonic() < end:
        if (heartbeat := site.heartbeat()) != seen[-1]:
            seen.append(heartbeat)
        time.sleep(0.01)
    return seen[1:]


def go_on(heard: list[dict[str, Any]]) -> None:
    """Heartbeats rise while none of the two pods can read PostgreSQL."""
    times = [it["time"] for it in heard]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    sys.stdout.write(f"heartbeats without PostgreSQL: {gaps} ms apart\n")
    assert len(heard) >= 3
    assert max(gaps) < 10_000
    assert times == sorted(times)
    assert len({it["database_read_at"] for it in heard[1:]}) <= 2
    assert all(it["time"] > it["database_read_at"] for it in heard[1:])


def is_back(site: Deployment, load: Load) -> None:
    """By itself, for requests, heartbeats and readiness; nothing that was answered is lost."""
    until(lambda: degraded(site) == [[], []])
    began = time.monotonic()
    until(lambda: load.since(began))
    time.sleep(2)
    assert is_fine(load, began)
    assert set(load.revoked) <= set(subjects(site.checked()))


def test_a_killed_postgresql_is_told_at_once_and_its_return_is_noticed(
    site: Deployment, client: Client
) -> None:
    epoch = site.heartbeat()["epoch"]
    with steady_load(site.pods, client) as load:
        began = time.monotonic()
        time.sleep(2)
        assert is_fine(load, began)
        tell("PostgreSQL there", load.since(began))
        site.servers[0].kill()
        began = time.monotonic()
        heard = beats(site, 8)
        refused_at_once(load, began)
        go_on(heard)
        tell("PostgreSQL dead, 503", [it for it in load.since(began) if it.status == 503])
        tell("PostgreSQL dead, tokens", load.since(began, "token"))
        assert degraded(site) == [["postgresql"], ["postgresql"]]
        assert error(site, client, "/revoke") == "temporarily_unavailable"
        assert error(site, client, "/introspect") == "temporarily_unavailable"
        assert metric(site.pods[0], 'watchword_dependency_away{dependency="postgresql"}') == 1
        site.servers[0].start()
        is_back(site, load)
    assert site.heartbeat()["epoch"] == epoch


def test_a_frozen_postgresql_is_noticed_and_then_nobody_waits_for_it(
    site: Deployment, client: Client
) -> None:
    with steady_load(site.pods, client) as load:
        site.servers[0].freeze()
        began = time.monotonic()
        until(lambda: degraded(site) == [["postgresql"], ["postgresql"]], seconds=15)
        noticed = time.monotonic()
        heard = beats(site, 8)
        tell("PostgreSQL freezing, tokens", load.since(began, "token"))
        tell("PostgreSQL freezing", [it for it in load.since(began) if it.at < noticed])
        tell("PostgreSQL frozen", load.since(noticed))
        assert statuses(load.since(began, "token")) == {"token": {200}}
        assert max(it.seconds for it in load.since(began)) < 5
        refused_at_once(load, noticed)
        go_on(heard)
        site.servers[0].thaw()
        is_back(site, load)
