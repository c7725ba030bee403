"""The life that both servers share, on real ones."""

import os
import socket
import subprocess
from contextlib import suppress
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
    assert os.getsid(0) not in {os.getsid(postgres.pid), os.getsid(redis.pid)}


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
        for pid in postgres.pids + redis.pids:
            with suppress(FileNotFoundError):  # a worker that was done
                lines.append(Path(f"/proc/{pid}/cmdline").read_text())
        assert len(lines) > 6
        for password in (postgres.password, redis.password):
            assert not [line for line in lines if password in line]


@pytest.mark.parametrize("name", ["postgres", "redis"])
def test_a_taken_port_is_named(name: str, postgres: EmbeddedPostgres, redis: EmbeddedRedis) -> None:
    postgres.stop()
    redis.stop()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port: int = stranger.getsockname()[1]
        server: EmbeddedPostgres | EmbeddedRedis
        if name == "postgres":
            server = EmbeddedPostgres(postgres.home.folder, port=port, settings=FAST)
        else:
            server = EmbeddedRedis(redis.home.folder, port=port)
        with pytest.raises(EmbeddedServerError, match=f"Port {port} .* is taken"):
            server.start()
        assert server.pids == []
    with server:
        assert server.port == port


def test_a_remembered_port_that_is_taken_is_replaced(redis: EmbeddedRedis) -> None:
    last = redis.port
    redis.stop()
    with socket.create_server(("127.0.0.1", last)):
        redis.start()
        assert redis.port != last


def test_a_folder_in_use_is_refused_and_left_alone(redis: EmbeddedRedis) -> None:
    second = EmbeddedRedis(redis.home.folder)
    with pytest.raises(EmbeddedServerError, match="in use by another run"):
        second.start()
    second.stop()
    second.kill()
    assert say(redis, "PING") == "+PONG"


def test_a_failed_start_shows_the_servers_own_words_and_leaves_nothing(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.stop()
    server = EmbeddedPostgres(postgres.home.folder, settings={**FAST, "work_mem": "lots"})
    with pytest.raises(EmbeddedServerError, match='invalid value for parameter "work_mem"') as said:
        server.start()
    assert server.password not in str(said.value)
    assert server.pids == []
    postgres.start()
    assert ask(postgres, "SELECT 1") == "1"
