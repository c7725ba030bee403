"""watchword serve: what it waits for, what it refuses, and how it goes."""

import asyncio
import json
import os
import signal
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.sql.connection import Database
from service.sql.instances import list_living_instances
from tests.cli.conftest import NEWER, Watchword
from tests.cli.pods import serve
from tests.faults.failover_support import Pod, free_port, sql, until

Serve = Callable[..., Pod]


@pytest.fixture
def start(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Serve]:
    """Pods of the test's own, each on a port of its own and not waited for."""
    with ExitStack() as stack:

        def run(**settings: str) -> Pod:
            changed = {"LISTEN": f"127.0.0.1:{free_port()}", **settings}
            mine = {f"WATCHWORD_{name}": value for name, value in changed.items()}
            return stack.enter_context(serve({**environment, **mine}, tmp_path))

        yield run


def everything(pod: Pod) -> list[dict[str, Any]]:
    """Every line that it said, all of them JSON."""
    return [json.loads(line) for line in pod.log.read_bytes().splitlines()]


def messages(pod: Pod, event: str) -> list[str]:
    return [line["message"] for line in pod.lines(event)]


def readiness(pod: Pod) -> tuple[int, dict[str, Any]]:
    answer = pod.http.get("/readyz")
    return answer.status_code, answer.json()


def answers(pod: Pod) -> bool:
    try:
        return pod.http.get("/healthz").status_code == 200
    except httpx.TransportError:
        return False


def refusal(pod: Pod) -> str:
    """The one line with which it gave up."""
    assert pod.process.wait(20) == 1
    assert "Traceback" not in pod.log.read_text()
    (message,) = messages(pod, "stopped")
    return message


def living(environment: Mapping[str, str]) -> set[str]:
    """The process ids of the pods that count as alive."""

    async def run() -> set[str]:
        database = Database(environment["WATCHWORD_DATABASE_URL"], connections=2, statement_cache=0)
        async with database.connection() as connection:
            pods = await list_living_instances(connection)
        await database.close()
        return {pod.name.rpartition(":")[2] for pod in pods}

    return asyncio.run(run())


def test_it_waits_for_postgresql_and_its_schema_and_says_so_once(
    start: Serve, watchword: Watchword, tmp_path: Path
) -> None:
    port = free_port()
    server = EmbeddedPostgres(tmp_path / "postgres", port=port, settings={"fsync": "off"})
    server.start()
    url = server.url()
    server.stop()
    pod = start(DATABASE_URL=url)
    until(lambda: answers(pod) and messages(pod, "waiting"))
    assert readiness(pod) == (503, {"status": "starting"})
    answer = pod.post("/token", ("abc", "x"), grant_type="client_credentials")
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    with server:
        until(lambda: "schema" in messages(pod, "waiting")[-1])
        away, *others, schema = messages(pod, "waiting")
        assert away.startswith("PostgreSQL does not answer; trying again each second (Connection")
        assert all("CannotConnectNow" in other for other in others)  # while it starts
        assert schema.startswith("the schema lacks 0001_first_schema.expand.sql")
        assert schema.endswith("run 'watchword migrate'")
        assert readiness(pod) == (503, {"status": "starting"})
        assert watchword("migrate", DATABASE_URL=url).code == 0
        until(pod.is_ready)
    assert server.password not in pod.log.read_text()


def test_told_to_stop_while_it_waits_it_stops(start: Serve) -> None:
    pod = start(DATABASE_URL="postgresql://watchword:hunter2@127.0.0.1:1/watchword", DRAIN="0s")
    until(lambda: answers(pod) and messages(pod, "waiting"))
    pod.process.send_signal(signal.SIGTERM)
    assert pod.process.wait(10) == 0
    assert everything(pod)[-1]["event"] == "stopped"
    assert "hunter2" not in pod.log.read_text()


def test_redis_away_at_start_is_no_reason_to_wait(start: Serve, watchword: Watchword) -> None:
    client = watchword.make_client()
    pod = start(REDIS_URL="redis://default:hunter2@127.0.0.1:1/0")
    until(pod.is_ready)
    assert readiness(pod) == (200, {"status": "degraded", "degraded": ["redis"]})
    token = pod.token(client)
    assert pod.introspect(client, token) == "active"
    pod.revoke(client, token)
    assert pod.introspect(client, token) == "inactive"
    assert len(pod.lines("redis_away")) == 1
    assert pod.failures() == []
    assert "hunter2" not in pod.log.read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (NEWER, "newer release"),
        ("UPDATE schema_migrations SET checksum = 'x'", "migrations differ"),
    ],
)
def test_a_schema_that_it_can_not_run_on_is_refused(
    start: Serve,
    watchword: Watchword,
    postgres: EmbeddedPostgres,
    empty_database: str,
    change: str,
    said: str,
) -> None:
    assert watchword("migrate", DATABASE_URL=empty_database).code == 0
    sql(postgres, change, database=empty_database.rpartition("/")[2])
    assert said in refusal(start(DATABASE_URL=empty_database))


def test_master_keys_that_do_not_fit_are_refused(
    start: Serve, watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    folder = tmp_path / "keys"
    absent = refusal(start(KEYS_DIR=str(folder)))
    assert absent.startswith(f"the keys folder {folder} is not there: set WATCHWORD_KEYS_DIR")
    watchword("keys", "init", KEYS_DIR=str(folder))
    assert "does not unwrap with wrap-1.key" in refusal(start(KEYS_DIR=str(folder)))


def test_an_address_that_can_not_be_served_is_refused(start: Serve, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        taken = refusal(start(LISTEN=f"127.0.0.1:{port}"))
    assert taken.startswith(f"port {port} on 127.0.0.1 is taken by another process")
    assert "WATCHWORD_LISTEN" in refusal(start(LISTEN="localhost:8000"))
    files = {"TLS_CERTIFICATE": str(tmp_path / "chain"), "TLS_PRIVATE_KEY": str(tmp_path / "key")}
    assert "No such file" in refusal(start(**files))


def half_a_request(pod: Pod, client: tuple[str, str]) -> tuple[socket.socket, bytes]:
    """A request whose body is under way, and the rest of it."""
    body, address = b"grant_type=client_credentials", pod.url.removeprefix("http://")
    head = (
        "POST /token HTTP/1.1",
        f"Host: {address}",
        f"Authorization: Basic {b64encode(':'.join(client).encode()).decode()}",
        "Content-Type: application/x-www-form-urlencoded",
        f"Content-Length: {len(body)}",
        "\r\n",
    )
    peer = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10)
    peer.sendall("\r\n".join(head).encode() + body[:5])
    return peer, body[5:]


def test_told_to_stop_it_turns_unready_finishes_what_is_under_way_and_leaves(
    start: Serve, watchword: Watchword, environment: Mapping[str, str]
) -> None:
    client = watchword.make_client()
    pod = start(DRAIN="1s")
    until(pod.is_ready)
    until(lambda: str(pod.process.pid) in living(environment))
    peer, rest = half_a_request(pod, client)
    with peer:
        pod.process.send_signal(signal.SIGTERM)
        until(lambda: readiness(pod) == (503, {"status": "stopping"}))
        assert pod.introspect(client, pod.token(client)) == "active"  # served while it drains
        until(lambda: not answers(pod))  # it takes no connection any more
        peer.sendall(rest)
        answer = b"".join(iter(lambda: peer.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"access_token" in answer
    assert pod.process.wait(10) == 0
    assert [line["event"] for line in everything(pod)][-1] == "stopped"
    assert pod.lines("draining") != []
    assert pod.failures() == []
    assert str(pod.process.pid) not in living(environment)


def test_killed_outright_it_counts_as_alive_for_a_minute(
    start: Serve, environment: Mapping[str, str], postgres: EmbeddedPostgres
) -> None:
    pod = start()
    until(pod.is_ready)
    pid = str(pod.process.pid)
    until(lambda: pid in living(environment))
    os.kill(pod.process.pid, signal.SIGKILL)
    pod.process.wait()
    assert pid in living(environment)
    database = environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    sql(
        postgres,
        "UPDATE instances SET last_seen_at = last_seen_at - interval '61 seconds'"
        " WHERE name LIKE '%:' || $1 RETURNING name",
        pid,
        database=database,
    )
    assert pid not in living(environment)
