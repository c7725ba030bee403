"""The life of an embedded server: start, stop, kill, freeze, thaw; the same for both."""

import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from service.embedded.errors import EmbeddedServerError, PortTaken
from service.embedded.home import Home, port_taken
from service.embedded.processes import Family, spawn

_START_SECONDS = 60.0
_STOP_SECONDS = 30.0
_LOG_LINES_SHOWN = 6


class EmbeddedServer(ABC):
    """A real server as a child process. Every method blocks; none may run beside another."""

    log_name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, data_dir: Path, *, port: int | None, programs: frozenset[str]) -> None:
        self.home: Home = Home(data_dir)
        self.work_folder: Path = self.home.folder / "data"
        self._wanted_port: int | None = port
        self._port: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._family: Family = Family(self.work_folder, programs)

    @abstractmethod
    def _prepare(self) -> None:
        """Make password and data on the first start."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Write the configuration, and name the command that serves it."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether the server takes connections."""

    @property
    @abstractmethod
    def _pid_file(self) -> Path:
        """Where the server writes its process id, in the first line."""

    @property
    def pid(self) -> int:
        """The process id of the server, the parent of all its processes."""
        if self._process is None:
            msg = f"The server in {self.home.folder} does not run: call start() first."
            raise EmbeddedServerError(msg)
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """All processes of the server."""
        return self._family.pids()

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, known from the first start on."""
        if self._port is None:
            msg = f"The server in {self.home.folder} has no port yet: call start() first."
            raise EmbeddedServerError(msg)
        return self._port

    @property
    def password(self) -> str:
        """The password, known from the first start on."""
        if (password := self.home.password) is None:
            msg = f"{self.home.folder}/password is missing: put it back, or remove the folder."
            raise EmbeddedServerError(msg)
        return password

    def start(self) -> None:
        """Start on the data of the last run and return when connections are taken.

        What an earlier run left running here is stopped first. Does nothing when it runs already.
        """
        if not sys.platform.startswith("linux"):
            msg = (
                "Embedded servers need Linux: set WATCHWORD_DATABASE_URL and WATCHWORD_REDIS_URL "
                "to servers that run already."
            )
            raise EmbeddedServerError(msg)
        if self._process is not None:
            # Both: a process that ends is out of the family before poll() knows of it.
            if self._process.poll() is None and self._process.pid in self.pids:
                return
            self.kill()  # it crashed: clear what it left, and its lock on the folder
        self.home.open()
        try:
            self._end_orphans()
            self._prepare()
            _ = self.password  # missing beside data that is there: said before the server starts
            self._launch()
        except BaseException:  # Ctrl-C too: it must not leave a server behind
            self.kill()
            raise

    def stop(self) -> None:
        """Stop in good order, and return when every process is gone."""
        if self._process is None:
            return
        self.thaw()
        self._process.send_signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            _ = self._process.wait(_STOP_SECONDS)
        self.kill()  # what did not stop; else it only tidies up

    def kill(self) -> None:
        """SIGKILL every process of the server, as a crash would, and return when all are gone."""
        if not self.home.is_open:  # never started, or another run's: not ours to kill
            return
        process, self._process = self._process, None
        if process is not None:
            process.kill()
        self._family.kill()
        if process is not None:
            _ = process.wait()
        self.home.close()

    def freeze(self) -> None:
        """SIGSTOP every process of the server: connections stay open, and nothing answers."""
        _ = self.pid
        self._family.freeze()

    def thaw(self) -> None:
        """Let a frozen server go on."""
        _ = self.pid
        self._family.thaw()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _end_orphans(self) -> None:
        # The lock is ours: whoever still runs here has lost the process that started it.
        try:
            leader = int(self._pid_file.read_text().split("\n")[0])
        except (FileNotFoundError, ValueError):
            leader = None
        self._family.end(leader, self.stop_signal, seconds=_STOP_SECONDS)
        # Its number may belong to a stranger by now, whom the server would take for itself.
        self._pid_file.unlink(missing_ok=True)

    def _launch(self) -> None:
        attempts = 1 if self._wanted_port is not None else 3
        for attempt in range(1, attempts + 1):
            port = self.home.choose_port(self._wanted_port)
            try:
                self._launch_on(port)
            except PortTaken:  # lost to somebody between our look and the server's bind
                if attempt == attempts:
                    raise
            else:
                self.home.keep_port(port)
                return

    def _launch_on(self, port: int) -> None:
        self._port = port
        command = self._command()
        log_path = self.home.folder / self.log_name
        with log_path.open("ab") as log:
            log_path.chmod(0o600)
            log_start = log.tell()
            self._process = spawn(command, folder=self.work_folder, log=log)
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None:
                raise self._failure(port, log_path, log_start)
            if time.monotonic() > deadline:
                msg = f"The server in {self.home.folder} does not answer; see {log_path}."
                raise EmbeddedServerError(msg)
            time.sleep(0.005)

    def _failure(self, port: int, log_path: Path, log_start: int) -> EmbeddedServerError:
        with log_path.open("rb") as log:
            _ = log.seek(log_start)
            text = log.read().decode(errors="replace")
        if "Address already in use" in text:
            return port_taken(port)
        lines = [line for line in text.splitlines() if line.strip()]
        last = "\n".join(lines[-_LOG_LINES_SHOWN:]).replace(self.password, "(password)")
        return EmbeddedServerError(f"The server in {self.home.folder} did not start:\n{last}")
