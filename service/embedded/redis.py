"""Redis as a child process."""

import signal
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from service.embedded.binaries import find_redis
from service.embedded.errors import EmbeddedServerError
from service.embedded.home import LOOPBACK
from service.embedded.processes import leashed
from service.embedded.server import EmbeddedServer

_ANSWER_SECONDS = 1.0
_READY = b"+OK\r\n+PONG\r\n"

_PROGRAMS = frozenset({"redis-server", "valkey-server"})

_SETTINGS: Mapping[str, str] = {
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
}


class EmbeddedRedis(EmbeddedServer):
    """A Redis in `data_dir`, on 127.0.0.1 only, with a password; it keeps its data (appendonly).

    `settings` go before ours, written as in redis.conf: {"appendonly": "no"} keeps nothing.
    `port` None means the one of the last run or any free one.
    """

    log_name: ClassVar[str] = "redis.log"
    stop_signal: ClassVar[signal.Signals] = signal.SIGTERM

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        binary: Path | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.binary: Path = binary if binary is not None else find_redis()
        programs = _PROGRAMS | {self.binary.name[:15]}  # as much as the kernel keeps
        super().__init__(data_dir, port=port, programs=programs)
        self.settings: Mapping[str, str] = {**_SETTINGS, **(settings or {})}

    @property
    def url(self) -> str:
        """The address of database 0, password included: for drivers, not for logs."""
        return f"redis://default:{self.password}@{LOOPBACK}:{self.port}/0"

    @property
    def _pid_file(self) -> Path:
        return self.work_folder / "redis.pid"

    def _prepare(self) -> None:
        self.work_folder.mkdir(mode=0o700, exist_ok=True)
        if self.home.password is None:
            _ = self.home.make_password()

    def _command(self) -> list[str]:
        fixed = {
            "port": str(self.port),
            "bind": LOOPBACK,
            "requirepass": self.password,
            "dir": _quoted(str(self.work_folder)),
            "pidfile": _quoted(str(self._pid_file)),
            "daemonize": "no",
        }
        lines = [
            f"{name} {_one_line(value)}\n" for name, value in ({**self.settings, **fixed}).items()
        ]
        configuration = self.home.write("redis.conf", "".join(lines))
        # SIGKILL: a busy script would not let SIGTERM through, and what was answered is in the log.
        return leashed([str(self.binary), str(configuration)], signal.SIGKILL)

    def _is_ready(self) -> bool:
        # The password tells our server from another on the same port, which would refuse it.
        greeting = f"AUTH {self.password}\r\nPING\r\n".encode()
        try:
            with socket.create_connection((LOOPBACK, self.port), _ANSWER_SECONDS) as peer:
                peer.sendall(greeting)
                answer = b""
                while len(answer) < len(_READY) and (part := peer.recv(256)):
                    answer += part
        except OSError:
            return False
        return answer == _READY


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _one_line(value: str) -> str:
    if "\n" in value:
        msg = "A Redis setting must fit on one line."
        raise EmbeddedServerError(msg)
    return value
