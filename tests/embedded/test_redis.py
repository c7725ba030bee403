"""What is Redis's own: settings."""

import socket
from pathlib import Path

import pytest

from service.embedded.errors import EmbeddedServerError
from service.embedded.redis import EmbeddedRedis
from tests.embedded.asking import say


def test_nothing_is_evicted_and_nobody_enters_without_the_password(redis: EmbeddedRedis) -> None:
    assert say(redis, "CONFIG GET maxmemory-policy").endswith("noeviction")
    with socket.create_connection(("127.0.0.1", redis.port), 5.0) as peer:
        peer.sendall(b"PING\r\n")
        assert peer.recv(4096).startswith(b"-NOAUTH")


def test_settings_of_the_caller_go_first(tmp_path: Path) -> None:
    settings = {"appendonly": "no", "bind": "127.0.0.2", "save": "900 1"}
    with EmbeddedRedis(tmp_path / "a folder", settings=settings) as server:
        assert say(server, "CONFIG GET appendonly").endswith("no")
        assert say(server, "CONFIG GET save").endswith("900 1")
        assert say(server, "CONFIG GET bind").endswith("127.0.0.1")


def test_a_setting_of_two_lines_is_refused(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis", settings={"save": "900 1\nport 1"})
    with pytest.raises(EmbeddedServerError, match="one line"):
        server.start()
