"""watchword dev: one command, everything embedded, nothing left behind."""

import json
import signal
import socket
import time
import urllib.request
from pathlib import Path

import pytest

from tests.cli.development import Development, free_port

DEMO = {
    "issuer",
    "client_id",
    "client_secret",
    "web_client_id",
    "username",
    "password",
    "database_url",
    "redis_url",
}


def key_ids(server: Development) -> list[str]:
    with urllib.request.urlopen(f"{server.issuer}/.well-known/jwks.json") as answer:  # noqa: S310
        return [key["kid"] for key in json.load(answer)["keys"]]


def eventually_nothing_left(server: Development) -> bool:
    deadline = time.monotonic() + 20
    while server.servers_left() and time.monotonic() < deadline:
        time.sleep(0.05)
    return not server.servers_left()


def test_a_second_run_finds_its_data_again(tmp_path: Path) -> None:
    port = free_port()
    with Development(tmp_path, port) as server:
        first, keys = server.demo, key_ids(server)
        assert set(first) == DEMO
        assert first["issuer"] == server.issuer
        for name in ("demo.json", "env"):
            assert (tmp_path / ".watchword" / name).stat().st_mode & 0o777 == 0o600
        said = server.log.read_text()
        assert all(step in said for step in ("PostgreSQL …", "Redis …", "schema …", "curl -s"))
    assert server.process.returncode == 0
    assert eventually_nothing_left(server)
    with Development(tmp_path, port) as server:
        assert server.demo == first
        assert key_ids(server) == keys


def test_another_port_works_on_the_same_data(tmp_path: Path) -> None:
    with Development(tmp_path, free_port()) as server:
        first = server.demo
    with Development(tmp_path, free_port()) as server:
        assert server.demo["issuer"] == server.issuer != first["issuer"]


def test_a_taken_port_is_a_clear_error_and_starts_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = Development(tmp_path, port)
        assert server.process.wait(20) == 1
    (line,) = server.log.read_text().splitlines()
    assert line.startswith("error: ")
    assert str(port) in line
    assert not (tmp_path / ".watchword/postgres").exists()


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    with Development(tmp_path, free_port()) as server:
        second = Development(tmp_path, free_port())
        assert second.process.wait(20) == 1
        assert "error: " in second.log.read_text()
        assert "Traceback" not in second.log.read_text()
        assert server.is_ready()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("seconds", [0.0, 0.3, 0.8, 1.3, 2.0, 3.0])
def test_a_signal_at_any_moment_leaves_nothing_behind(
    tmp_path: Path, number: signal.Signals, seconds: float
) -> None:
    server = Development(tmp_path, free_port())
    time.sleep(seconds)  # the moment itself is what is tried
    server.stop(number)
    assert eventually_nothing_left(server)


@pytest.mark.slow
def test_even_a_kill_leaves_nothing_behind(tmp_path: Path) -> None:
    server = Development(tmp_path, free_port())
    server.wait_until_ready()
    assert server.servers_left()
    server.stop(signal.SIGKILL)
    assert eventually_nothing_left(server)
