"""The folder of one embedded server: its data, log, password and port, for its owner alone."""

import fcntl
import os
import secrets
import socket
from pathlib import Path

from service.embedded.errors import EmbeddedServerError, PortTaken

LOOPBACK = "127.0.0.1"


class Home:
    """A folder of mode 0700; open in one process at a time, so that no server runs twice."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder if need be, and lock it until `close` or the end of this process."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_uid != os.geteuid():
            msg = f"{self.folder} belongs to another user: run as that user, or remove it."
            raise EmbeddedServerError(msg)
        self.folder.chmod(0o700)
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            msg = f"{self.folder} is in use by another run: stop it, or choose another --data-dir."
            raise EmbeddedServerError(msg) from None
        self._lock = lock

    @property
    def is_open(self) -> bool:
        """Whether the folder is locked, and so what runs in it is ours."""
        return self._lock is not None

    def close(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def password(self) -> str | None:
        """The password that this home was made with."""
        return self._read("password")

    def make_password(self) -> str:
        """Choose a password and keep it. Letters, digits, - and _: it needs no quotes anywhere."""
        password = secrets.token_urlsafe(24)
        self.keep_password(password)
        return password

    def keep_password(self, password: str) -> None:
        """Keep a password that was chosen elsewhere."""
        _ = self.write("password", password + "\n")

    def choose_port(self, wanted: int | None) -> int:
        """The wanted port, which must be free; else the one of the last run, else any free one."""
        if wanted is not None:
            if not _is_free(wanted):
                raise port_taken(wanted)
            return wanted
        last = self._read("port")
        if last is not None and last.isdecimal() and _is_free(int(last)):
            return int(last)
        with socket.socket() as probe:
            probe.bind((LOOPBACK, 0))
            port: int = probe.getsockname()[1]
        return port

    def keep_port(self, port: int) -> None:
        """Remember the port for the next run."""
        _ = self.write("port", f"{port}\n")

    def write(self, name: str, text: str) -> Path:
        """Put a file of mode 0600 into the folder, whole or not at all."""
        path, draft = self.folder / name, self.folder / f"{name}.draft"
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            _ = file.write(text)
            file.flush()
            os.fsync(descriptor)
        return draft.replace(path)

    def _read(self, name: str) -> str | None:
        try:
            return (self.folder / name).read_text(encoding="utf-8").strip() or None
        except FileNotFoundError:
            return None


def port_taken(port: int) -> PortTaken:
    """The refusal to start on a port that somebody listens on."""
    return PortTaken(
        f"Port {port} of {LOOPBACK} is taken by another process: stop it, or choose another port."
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As the servers do: connections of the last run that linger do not count, a listener does.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
