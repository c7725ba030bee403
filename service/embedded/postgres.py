"""PostgreSQL as a child process, and streaming standbys of it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

from service.embedded.binaries import find_postgres
from service.embedded.errors import EmbeddedServerError
from service.embedded.home import LOOPBACK
from service.embedded.processes import leashed, run_tool, unprivileged
from service.embedded.server import EmbeddedServer

USER = "watchword"
DATABASE = "watchword"

# Counted from 0.
_SHARED_MEMORY_LINE = 6
_STATUS_LINE = 7

_SETTINGS: Mapping[str, str] = {
    "shared_buffers": "32MB",
    "max_connections": "200",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "wal_keep_size": "64MB",  # what a standby may lag behind, frozen or stopped
    "max_wal_size": "256MB",
    "hot_standby": "on",
    "recovery_init_sync_method": "syncfs",  # after a crash; file by file it takes seconds
    # Inside the cluster: /dev/shm is small in containers, and a killed server leaves files there.
    "dynamic_shared_memory_type": "mmap",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
}


class EmbeddedPostgres(EmbeddedServer):
    """A cluster in `data_dir`, on 127.0.0.1 only, with the superuser and database `watchword`.

    `settings` go before ours. `port` None means the one of the last run or any free one. With a
    `primary`, which must run, the first start copies that one and then follows it.
    """

    log_name: ClassVar[str] = "postgres.log"
    stop_signal: ClassVar[signal.Signals] = signal.SIGINT  # fast shutdown

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int | None = None,
        bin_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        primary: "EmbeddedPostgres | None" = None,
    ) -> None:
        super().__init__(data_dir, port=port, programs=frozenset({"postgres"}))
        if bin_dir is None:
            bin_dir = primary.bin_dir if primary is not None else find_postgres()
        # A standby with a lower max_connections than its primary's refuses to start.
        defaults = primary.settings if primary is not None else _SETTINGS
        self.bin_dir: Path = bin_dir
        self.settings: Mapping[str, str] = {**defaults, **(settings or {})}
        self._primary: EmbeddedPostgres | None = primary

    def url(self, database: str = DATABASE) -> str:
        """The address of a database, password included: for drivers, not for logs."""
        return f"postgresql://{USER}:{self.password}@{LOOPBACK}:{self.port}/{quote(database, '')}"

    def create_database(self, name: str) -> None:
        """Create a database, unless it is there."""
        script = (
            "SELECT format('CREATE DATABASE %I', :'name')"
            " WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \\gexec\n"
        )
        options = ["-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"name={name}", "-d", "postgres"]
        self.run_client("psql", options, text=script)

    def standby(
        self, data_dir: Path, *, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> "EmbeddedPostgres":
        """Start a cluster that follows this one: a copy of its data, roles and settings."""
        follower = EmbeddedPostgres(data_dir, port=port, settings=settings, primary=self)
        cluster = follower.work_folder
        if cluster.exists() and not (cluster / "standby.signal").exists():
            msg = f"{follower.home.folder} holds a cluster that is no standby: remove it first."
            raise EmbeddedServerError(msg)
        follower.start()
        return follower

    def promote(self) -> None:
        """Make a standby a primary, and return when it takes writes."""
        run_tool([self._tool("pg_ctl"), "promote", "-D", str(self.work_folder), "-w", "-s"])

    def run_client(self, tool: str, options: list[str], *, text: str = "") -> None:
        """Run one of PostgreSQL's client programs on this server, as the superuser."""
        address = ["-h", LOOPBACK, "-p", str(self.port), "-U", USER, "-w"]
        # In the environment, which only our user can read: a command line is everybody's.
        run_tool(
            [self._tool(tool), *address, *options],
            text=text,
            environment={"PGPASSWORD": self.password},
        )

    def kill(self) -> None:
        # "key id" of a System V segment. The kernel has few and keeps them after a SIGKILL, for
        # ever when nobody starts this cluster again.
        segments = self._pid_file_line(_SHARED_MEMORY_LINE).split()[1:] if self.home.is_open else []
        super().kill()
        if segments and (ipcrm := shutil.which("ipcrm")) is not None:
            _ = subprocess.run([ipcrm, "-m", *segments], check=False, capture_output=True)  # noqa: S603

    @property
    def _pid_file(self) -> Path:
        return self.work_folder / "postmaster.pid"

    def _prepare(self) -> None:
        if (self.work_folder / "PG_VERSION").exists():
            return
        # A name of its own: the tools of a run that was killed may still write to its draft.
        for old in self.home.folder.glob("draft-*"):
            shutil.rmtree(old, ignore_errors=True)
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=self.home.folder))
        if self._primary is None:
            self._make_cluster(draft)
        else:
            self._copy_cluster(self._primary, draft)
        if self.settings.get("fsync") != "off":
            os.sync()  # once for all files: the tools, file by file, take seconds
        # Last: a run that is killed before this line leaves no half-made cluster behind.
        _ = draft.rename(self.work_folder)

    def _make_cluster(self, folder: Path) -> None:
        _ = self.home.make_password()
        options = ["--auth=scram-sha-256", f"--username={USER}", "--encoding=UTF8", "--locale=C"]
        password_file = f"--pwfile={self.home.folder / 'password'}"
        run_tool([self._tool("initdb"), "-D", str(folder), *options, password_file, "--no-sync"])
        # Single-user mode: the database is there before anybody can connect, and needs no server.
        single = [self._tool("postgres"), "--single", "-F", "-D", str(folder), "postgres"]
        run_tool(single, text=f"CREATE DATABASE {DATABASE}\n")

    def _copy_cluster(self, primary: "EmbeddedPostgres", folder: Path) -> None:
        self.home.keep_password(primary.password)
        options = ["--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
        primary.run_client("pg_basebackup", ["-D", str(folder), *options])

    def _command(self) -> list[str]:
        # Whole at every start, so that it is ours on a copied cluster as well.
        fixed = {
            "port": str(self.port),
            "listen_addresses": LOOPBACK,
            "unix_socket_directories": "",
        }
        lines = [
            f"{name} = {_quoted(value)}\n" for name, value in {**self.settings, **fixed}.items()
        ]
        configuration = self.home.write("postgresql.conf", "".join(lines))
        _ = configuration.replace(self.work_folder / "postgresql.conf")
        # SIGQUIT, not SIGINT: it waits neither for a busy backend nor for a standby that is gone.
        server = [self._tool("postgres"), "-D", str(self.work_folder)]
        return [*unprivileged(), *leashed(server, signal.SIGQUIT)]

    def _is_ready(self) -> bool:
        # The file is this server's: start() removed every older one.
        return self._pid_file_line(_STATUS_LINE).strip() == "ready"

    def _pid_file_line(self, number: int) -> str:
        try:
            lines = self._pid_file.read_text().split("\n")
        except FileNotFoundError:
            return ""
        return lines[number] if number < len(lines) else ""

    def _tool(self, name: str) -> str:
        return str(self.bin_dir / name)


def _quoted(value: str) -> str:
    if "\n" in value:
        msg = "A PostgreSQL setting must fit on one line."
        raise EmbeddedServerError(msg)
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
