"""The life that both servers share, on real ones."""

import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from service.embedded.errors import EmbeddedServerError
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.embedded.asking import FAST, ask, say


def test_a_second_run_finds_its_data_password_and_port_again(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    _ = ask(postgres, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('watch')")
    assert say(redis, "SET word watch") == "+OK"
    addresses = postgres.url(), redis.url
    for server in (postgres, redis):
        server.stop()
        assert server.pids == []
        server.start()
        server.start()  # does nothing
    assert ask(postgres, "SELECT word FROM kept") == "watch"
    assert say(redis, "GET word") == "$5\r\nwatch"
    assert (postgres.url(), redis.url) == addresses


def listening_addresses(port: int) -> set[str]:
    sockets = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path("/proc/net", table).read_text().splitlines()[1:]
    ]
    listening = [fields[1].split(":") for fields in sockets if fields[3] == "0A"]
    return {address for address, number in listening if int(number, 16) == port}


def test_servers_listen_on_loopback_only(postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> None:
    assert listening_addresses(postgres.port) == {"0100007F"}
    assert listening_addresses(redis.port) == {"0100007F"}


def test_the_terminals_ctrl_c_does_not_reach_the_servers(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    assert os.getsid(0) not in {os.getsid(pid) for pid in postgres.pids + redis.pids}


def test_files_are_for_their_owner_alone(postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> None:
    for server in (postgres, redis):
        home = server.home.folder
        for path in (home, *home.glob("*"), *server.work_folder.glob("*")):
            assert path.stat().st_mode & 0o077 == 0, path


def test_passwords_stand_on_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []

    class Recorded(subprocess.Popen[bytes]):
        def __init__(self, command: list[str], **options: Any) -> None:
            lines.append(" ".join(command))
            super().__init__(command, **options)

    monkeypatch.setattr(subprocess, "Popen", Recorded)
    with (
        EmbeddedPostgres(tmp_path / "postgres", settings=FAST) as postgres,
        EmbeddedRedis(tmp_path / "redis") as redis,
    ):
        postgres.create_database("another")
        lines.extend(Path(f"/proc/{pid}/cmdline").read_text() for pid in postgres.pids + redis.pids)
        assert len(lines) > 6
        for password in (postgres.password, redis.password):
            assert not [line for line in lines if password in line]


@pytest.mark.parametrize("kind", [EmbeddedPostgres, EmbeddedRedis])
def test_a_taken_port_is_named(
    tmp_path: Path, kind: type[EmbeddedPostgres | EmbeddedRedis]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port: int = stranger.getsockname()[1]
        server = kind(tmp_path / "server", port=port)
        with pytest.raises(EmbeddedServerError, match=f"Port {port} .* is taken"):
            server.start()
        assert server.pids == []
    server.start()
    assert server.port == port
    server.stop()


def test_a_remembered_port_that_is_taken_is_replaced(redis: EmbeddedRedis) -> None:
    last = redis.port
    redis.stop()
    with socket.create_server(("127.0.0.1", last)):
        redis.start()
        assert redis.port != last


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path, redis: EmbeddedRedis) -> None:
    second = EmbeddedRedis(tmp_path / "redis")
    with pytest.raises(EmbeddedServerError, match="in use by another run"):
        second.start()
    second.stop()
    second.kill()
    assert say(redis, "PING") == "+PONG"


def test_a_failed_start_shows_the_servers_own_words_and_leaves_nothing(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "postgres", settings={**FAST, "work_mem": "lots"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "work_mem"') as said:
        server.start()
    assert server.password not in str(said.value)
    assert server.pids == []
    with EmbeddedPostgres(tmp_path / "postgres", settings=FAST) as again:
        assert ask(again, "SELECT 1") == "1"
