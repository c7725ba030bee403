"""A real Prometheus, and a deployment that it watches, with people, machines and a thief on it."""

import asyncio
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from watchword_verifier import SyncVerifier

from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, free_port
from tests.faults.honest import APP, log_in, log_out, make_app, present, read, read_strings
from tests.faults.processes import Client, Deployment, Load, open_deployment, until

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy/chart/files/prometheus-rules.yaml"
DASHBOARD: dict[str, Any] = json.loads(
    (ROOT / "deploy/chart/files/grafana-dashboard.json").read_text()
)
PROMETHEUS = shutil.which("prometheus")
WINDOW_SECONDS = 8  # what Grafana would make of $__rate_interval
_CHOSEN = {"namespace": ".*", "job": ".*", "instance": ".*"}


def filled_in(query: str) -> str:
    """A query as Grafana sends it, with everything chosen."""
    for name, value in _CHOSEN.items():
        query = query.replace(f"${name}", value)
    query = query.replace("$__rate_interval", f"{WINDOW_SECONDS}s")
    assert "$" not in query, query
    return query


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Prometheus' own HTTP API."""

    http: httpx.Client

    def ask(self, path: str, **params: Any) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params=params)
        body = answer.json()
        assert body["status"] == "success", f"{params.get('query')}: {body.get('error')}"
        return body["data"]

    def now(self, query: str) -> list[dict[str, Any]]:
        """The series of an expression that have a value now; a scalar is one."""
        data = self.ask("query", query=query)
        found = [data] if data["resultType"] == "scalar" else data["result"]
        return [it for it in found if it is data or it["value"][1] != "NaN"]

    def over(self, query: str, seconds: float, step: float = 1) -> list[dict[str, Any]]:
        """The series that had a value within those last seconds."""
        end = time.time()
        data = self.ask("query_range", query=query, start=end - seconds, end=end, step=step)
        return [it for it in data["result"] if any(v != "NaN" for _, v in it["values"])]


@contextmanager
def open_prometheus(folder: Path, pods: list[Pod]) -> Iterator[Prometheus]:
    """Prometheus with the rules loaded; it scrapes each pod once a second."""
    assert PROMETHEUS is not None
    port = free_port()
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "watchword",
                "static_configs": [{"targets": [pod.url.removeprefix("http://") for pod in pods]}],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML, too
    command = [
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    log = folder / "prometheus.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        with suppress(httpx.TransportError):
            return http.get("/-/ready").status_code == 200
        return False

    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
        try:
            until(is_ready)
            yield Prometheus(http)
        finally:
            process.terminate()
            process.wait(20)


class Site(Deployment):
    """A deployment where one person may log in as often as a test likes."""

    def environment(self, database_url: str) -> dict[str, str]:
        often = {f"WATCHWORD_LOGIN_{name}": "1000000" for name in ("ATTEMPTS", "FAILURES")}
        often["WATCHWORD_LOGIN_FAILURES_PER_ADDRESS"] = "1000000"
        return {**super().environment(database_url), **often}


@dataclass(slots=True)
class Watched:
    """The deployment, its clients, and what watches it."""

    site: Deployment
    client: Client
    password: str
    prometheus: Prometheus

    @property
    def pods(self) -> list[Pod]:
        return self.site.pods

    def live(self, number: int) -> None:
        """A turn of people's lives: a login, refreshes, an answer that was lost, a logout."""
        pod = self.pods[number % len(self.pods)]
        session = log_in(pod, "anna", self.password)
        session.go_on(pod, 4)
        if number % 3 == 0:
            assert present(pod, session.strings[-2]).status_code == 200  # lost: the same once more
        log_out(pod, session)

    def steal(self, number: int) -> None:
        """A thief: a spent token, one made up, a wrong password, a wrong secret."""
        pod = self.pods[number % len(self.pods)]
        session = log_in(pod, "anna", self.password)
        session.go_on(pod, 2)
        assert present(pod, session.strings[0]).status_code == 400
        assert present(pod, f"wwr_{'A' * 116}").status_code == 400
        body = {"client_id": APP, "username": "anna", "password": f"guess number {number}"}
        pod.http.post("/api/login", json=body, headers={"x-requested-with": "test"})

    def present_impossible(self) -> None:
        """What only who has our refresh key can make: a token newer than its session."""
        session, strings = log_in(self.pods[0], "anna", self.password), read_strings(self.site)
        token = read(strings, session.token)
        forged = strings.write(replace(token, generation=token.generation + 5))
        assert present(self.pods[0], forged).status_code == 400


@contextmanager
def watched(folder: Path) -> Iterator[Watched]:
    """Two pods, a verifier that reports, and Prometheus over them."""
    with ExitStack() as stack:
        site = stack.enter_context(open_deployment(folder))
        site.__class__ = Site
        site.run(site.database_url, "migrate")
        site.start_pods(2)
        client = site.make_client(site.database_url, "orders")
        (password,) = make_app(site, site.database_url, "anna").values()
        prometheus = stack.enter_context(open_prometheus(folder, site.pods))
        stack.enter_context(
            SyncVerifier(
                issuer=site.issuer,
                audience=AUDIENCE,
                revocations=site.redis_server.url,
                client=client,
                name="orders-1",
                max_staleness=timedelta(seconds=30),
            )
        )
        yield Watched(site, client, password, prometheus)


@contextmanager
def alive(
    world: Watched, *turns: Callable[[int], None], rate: float = 20, failing: bool = True
) -> Iterator[None]:
    """Machines at a steady rate, and the turns again and again, beside the block.

    `failing`: one request in four has a wrong secret.
    """
    machines = Load([pod.url for pod in world.pods], world.client, rate)
    machines.KINDS = Load.KINDS if failing else Load.KINDS[:-1]
    stop, faults = threading.Event(), list[BaseException]()

    def work() -> None:
        number = 0
        try:
            while not stop.wait(0.2):
                turns[number % len(turns)](number)
                number += 1
        except BaseException as error:  # noqa: BLE001 (raised below)
            faults.append(error)

    threads = [threading.Thread(target=work)]
    threads.append(threading.Thread(target=lambda: asyncio.run(machines.run())))
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        machines.stopping = True
        for thread in threads:
            thread.join()
    if faults:
        raise faults[0]


def selectors(expression: str) -> list[str]:
    """Every vector selector of an expression, without its range and offset."""
    names = r"(?:up|process_\w+|watchword_\w+|\w+:watchword_\w+:\w+)"
    return re.findall(rf'(?<![\w:"$]){names}\b(?:{{[^}}]*}})?', expression)
