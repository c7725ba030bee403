"""Clients of the embedded servers, without their drivers."""

import socket
import subprocess
import time
from collections.abc import Callable

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.processes import ENVIRONMENT
from service.embedded.redis import EmbeddedRedis

FAST = {"fsync": "off"}


def ask(server: EmbeddedPostgres, sql: str, database: str = "watchword") -> str:
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "watchword", "-d", database]
    command = [str(server.bin_dir / "psql"), "-XAtqw", "-v", "ON_ERROR_STOP=1", *address, "-c", sql]
    environment = {**ENVIRONMENT, "PGPASSWORD": server.password}
    return subprocess.run(
        command, check=True, env=environment, capture_output=True, text=True, timeout=20
    ).stdout.strip()


def say(server: EmbeddedRedis, command: str, *, seconds: float = 5.0) -> str:
    with socket.create_connection(("127.0.0.1", server.port), seconds) as peer:
        peer.sendall(f"AUTH {server.password}\r\n{command}\r\nQUIT\r\n".encode())
        answer = b""
        while part := peer.recv(4096):
            answer += part
    return answer.decode().removeprefix("+OK\r\n").removesuffix("+OK\r\n").strip()


def wait_until(statement: Callable[[], bool], *, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not statement():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
