"""All pods are replaced under load, behind a real proxy: nobody notices."""

import asyncio
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from migrations.files import latest
from migrations.runner import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.deploy.fleet import Fleet, free_addresses, served_while_draining
from tests.deploy.image import ROOT
from tests.deploy.proxies import HAPROXY, NGINX, HAProxy, Nginx, Proxy
from tests.deploy.releases import previous_release
from tests.deploy.visitors import Visitors, visiting
from tests.faults.failover_support import Pod, until
from tests.faults.honest import APP

pytestmark = [pytest.mark.slow, pytest.mark.timed]

CAN_NGINX = NGINX is not None and os.access("/var/lib/nginx", os.W_OK)  # for its own files
NO_NGINX, NO_HAPROXY = "nginx is not installed, or not for us", "HAProxy is not installed"
PROXIES = [
    pytest.param(Nginx, marks=pytest.mark.skipif(not CAN_NGINX, reason=NO_NGINX)),
    pytest.param(HAProxy, marks=pytest.mark.skipif(HAPROXY is None, reason=NO_HAPROXY)),
]

# On the table that every refresh writes to.
EXPAND, CONTRACT = "note_sessions.expand", "drop_notes.contract"
MIGRATIONS = {
    EXPAND: "ALTER TABLE sessions ADD COLUMN note text",
    CONTRACT: "ALTER TABLE sessions DROP COLUMN note",
}


@pytest.fixture
def addresses() -> list[str]:
    """Of the old pods and of the new ones."""
    return free_addresses(6)


@pytest.fixture
def fleet(
    proxy: type[Proxy],
    addresses: list[str],
    tmp_path: Path,
    postgres: EmbeddedPostgres,
    redis_server: EmbeddedRedis,
    keys_dir: Path,
) -> Iterator[Fleet]:
    """Nothing but a proxy that runs, and an empty database."""
    name = f"roll{uuid4().hex[:12]}"
    postgres.create_database(name)
    front = proxy(tmp_path, addresses)
    settings = {
        "ISSUER": front.url,
        "DATABASE_URL": postgres.url(name),
        "REDIS_URL": redis_server.url,
        "REDIS_PREFIX": name,
        "KEYS_DIR": str(keys_dir),
        "DRAIN": "3s",
    }
    fleet = Fleet(tmp_path, settings, front)
    front.start()
    yield fleet
    front.stop()
    fleet.stop()


@pytest.mark.parametrize("proxy", PROXIES)
def test_three_pods_are_replaced_under_load_and_no_request_fails(
    fleet: Fleet, addresses: list[str]
) -> None:
    asyncio.run(migrate(fleet.settings["DATABASE_URL"], report=lambda _: None))
    for address in addresses[:3]:
        fleet.start(address)
    client, password = fleet.make_people()
    until(lambda: all(pod.is_ready() for pod in fleet.pods))
    until(fleet.proxy.serves)
    with visiting(visitors_of(fleet, client, password)) as visitors:
        until(visitors.have_come)
        began = time.monotonic()
        for address in addresses[3:]:
            fleet.roll(address)
        until(lambda: all(pod.process.poll() is not None for pod in fleet.gone))
        over = time.monotonic()
        until(lambda: visitors.have_come(over))
    nobody_noticed(fleet, visitors, began, over)


@pytest.fixture
def old_code(tmp_path: Path) -> Path:
    """The packages of the release before."""
    release = previous_release()
    release.unpack(tmp_path / "old-tree")
    release.install(tmp_path / "old-tree", tmp_path / "old")
    return tmp_path / "old"


@pytest.fixture
def next_code(tmp_path: Path) -> Path:
    """This tree's packages, with one expand and one contract more."""
    folder = tmp_path / "next"
    for package in ("service", "migrations"):
        unwanted = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=unwanted)
    number = latest()
    for at, name in enumerate((EXPAND, CONTRACT), number + 1):
        (folder / "migrations" / f"{at:04d}_{name}.sql").write_text(MIGRATIONS[name])
    return folder


@pytest.mark.parametrize("proxy", PROXIES[1:])
def test_the_release_before_is_replaced_under_load_with_its_schema(
    fleet: Fleet, addresses: list[str], old_code: Path, next_code: Path
) -> None:
    fleet.code = old_code
    fleet.run("migrate")
    for address in addresses[:3]:
        fleet.start(address)
    client, password = fleet.make_people()
    until(lambda: all(pod.is_ready() for pod in fleet.pods))
    until(fleet.proxy.serves)
    assert {line["release"] for pod in fleet.pods for line in pod.lines("ready")} == {
        previous_release().version
    }
    with visiting(visitors_of(fleet, client, password)) as visitors:
        until(visitors.have_come)
        began, fleet.code = time.monotonic(), next_code
        old = list(fleet.pods)
        assert waiting_for(fleet.run("migrate"), "applied 0005") == names(old)
        for address in addresses[3:5]:
            fleet.roll(address)
        until(lambda: all(pod.process.poll() is not None for pod in fleet.gone))
        assert waiting_for(fleet.run("migrate")) == names(old[2:])
        fleet.roll(addresses[5])
        until(lambda: old[2].process.poll() is not None)
        said = fleet.run("migrate")
        assert said == f"applied {latest() + 2:04d}_{CONTRACT}.sql\n"
        over = time.monotonic()
        until(lambda: visitors.have_come(over))
    nobody_noticed(fleet, visitors, began, over)
    fleet.code = old_code
    too_old = fleet.start(addresses[0])
    assert too_old.process.wait(20) == 1
    (line,) = too_old.lines("stopped")
    assert "newer release" in line["message"]


def waiting_for(said: str, first: str = "") -> list[str]:
    """The pods that `watchword migrate` says a contract waits for."""
    assert said.startswith(first), said
    *_, line = said.splitlines()
    assert f"{latest() + 2:04d}_" in line
    return sorted(re.findall(r"pod (\S+) \(release 0\.1\.0\)", line))


def names(pods: list[Pod]) -> list[str]:
    return sorted(f"{socket.gethostname()}:{pod.process.pid}" for pod in pods)


def visitors_of(fleet: Fleet, client: tuple[str, str], password: str) -> Visitors:
    return Visitors(fleet.proxy.url, fleet.proxy.trust(), client, password)


def nobody_noticed(fleet: Fleet, visitors: Visitors, began: float, over: float) -> None:
    """No request failed, each session goes on, and the pods went in good order."""
    counted = visitors.counted(began)
    sys.stdout.write(f"{fleet.proxy.url}: {dict(counted)} in {over - began:.1f} s\n")
    assert visitors.faults() == []
    assert counted.total() > 300
    assert len(visitors.sessions) == Visitors.PEOPLE
    for session in visitors.sessions:
        assert refreshes(fleet, session) == 200
    assert [pod.process.returncode for pod in fleet.gone] == [0] * len(fleet.gone)
    assert [line for pod in [*fleet.pods, *fleet.gone] for line in pod.failures()] == []
    # Else nothing was proven: requests did come after SIGTERM.
    assert sum(served_while_draining(pod) for pod in fleet.gone) > 0
    assert all(pod.lines("request") for pod in fleet.pods)


def refreshes(fleet: Fleet, session: dict[str, str]) -> int:
    form = {"grant_type": "refresh_token", "client_id": APP}
    form["refresh_token"] = session["refresh_token"]
    address = f"{fleet.proxy.url}/token"
    return httpx.post(address, data=form, verify=fleet.proxy.trust()).status_code
