"""Child processes that die with their parent, and the family of processes that one server is.

Every command here (S603) is a list of our own words; no shell reads what a caller gives.
"""

import functools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from service.embedded.errors import EmbeddedServerError

# Not the caller's: its PGOPTIONS would reach the server, and its secrets do not belong there.
ENVIRONMENT: Mapping[str, str] = {"PATH": os.defpath, "LC_ALL": "C", "PGCLIENTENCODING": "UTF8"}

# The parent may die before setpriv has asked for the signal, which then never comes.
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'

_TOOL_SECONDS = 120.0


def leashed(command: Sequence[str], death_signal: signal.Signals) -> list[str]:
    """The command, sent `death_signal` by the kernel when this process dies, even by SIGKILL.

    Without setpriv (util-linux) the command as it is: the next start then finds its orphans.
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None or Path(setpriv).resolve().name == "busybox":
        return list(command)
    name = death_signal.name.removeprefix("SIG")
    guard = ["/bin/sh", "-c", _UNLESS_ORPHANED, str(os.getpid())]
    return [setpriv, "--pdeathsig", name, *guard, *command]


@functools.cache
def unprivileged() -> tuple[str, ...]:
    """The prefix that makes us a user PostgreSQL accepts: empty when we are one."""
    # It refuses root; initdb also a number that has no name, as containers run under.
    users = {user.pw_uid: user for user in pwd.getpwall() if user.pw_uid != 0}
    if os.geteuid() in users:
        return ()
    unshare = shutil.which("unshare")
    if unshare is not None and users:
        user = users[min(users)]
        mapping = f"--map-user={user.pw_uid}", f"--map-group={user.pw_gid}"
        prefix = (unshare, "--user", *mapping)  # another number for us, the same rights as before
        probe = subprocess.run([*prefix, "true"], check=False, capture_output=True)  # noqa: S603
        if probe.returncode == 0:
            return prefix
    msg = (
        "PostgreSQL does not run as root, nor as a user without a name, and this system refuses "
        "`unshare --user`, which would make us another. Run as an ordinary user, or set "
        "WATCHWORD_DATABASE_URL to a server that runs already."
    )
    raise EmbeddedServerError(msg)


def run_tool(
    command: Sequence[str], *, text: str = "", environment: Mapping[str, str] | None = None
) -> None:
    """Run one of a server's own tools to its end, with `text` on its standard input."""
    name = Path(command[0]).name
    try:
        result = subprocess.run(  # noqa: S603
            [*unprivileged(), *leashed(command, signal.SIGKILL)],
            check=False,
            input=text,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_TOOL_SECONDS,
            env={**ENVIRONMENT, **(environment or {})},
            umask=0o077,
            start_new_session=True,
        )
    except subprocess.TimeoutExpired:
        msg = f"{name} was not done after {_TOOL_SECONDS:.0f} seconds."
        raise EmbeddedServerError(msg) from None
    if result.returncode != 0:
        said = " ".join((result.stderr or result.stdout).split("\n")[-4:]).strip()
        msg = f"{name} failed: {said}"
        raise EmbeddedServerError(msg)


def spawn(command: Sequence[str], *, folder: Path, log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a server in a session of its own, where the terminal's Ctrl-C does not reach it."""

    def popen() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            umask=0o077,
            start_new_session=True,
        )

    return _spawner(os.getpid()).submit(popen).result()


@functools.cache
def _spawner(_process: int) -> ThreadPoolExecutor:
    # The death signal is tied to the THREAD that forked. A worker thread of the caller's may end
    # long before the process does, and would take the server with it; this one never does.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-spawner")


@dataclass(frozen=True)
class Family:
    """All processes of one server, orphans too: those named as its programs, in its folder."""

    folder: Path
    programs: frozenset[str]
    _guards: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def pids(self) -> list[int]:
        """Who is alive; a zombie is not."""
        entries = [entry for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
        return [int(entry.name) for entry in entries if self._is_member(entry)]

    def _is_member(self, entry: Path) -> bool:
        try:
            folder = str((entry / "cwd").readlink()).removesuffix(" (deleted)")
        except OSError:
            return False  # gone, a zombie, or another user's
        return folder == str(self.folder) and _name_and_state(int(entry.name))[0] in self.programs

    def freeze(self) -> None:
        """Stop every process where it stands, until `thaw`."""
        for _ in range(2):  # again when all stand: the parent may have forked while we looked
            while awake := [pid for pid in self.pids() if _name_and_state(pid)[1] not in "TXZ"]:
                signal_all(awake, signal.SIGSTOP)
                time.sleep(0.001)
        # A frozen process does not hear the death signal: a guard at a pipe of ours kills it.
        kill_at_end_of_file = ["/bin/sh", "-c", 'read _ || kill -9 "$@"', "sh"]
        guard = subprocess.Popen(  # noqa: S603
            [*kill_at_end_of_file, *map(str, self.pids())],
            env=ENVIRONMENT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._guards.append(guard)

    def thaw(self) -> None:
        """Let the frozen go on."""
        signal_all(self.pids(), signal.SIGCONT)
        while self._guards:
            _ = self._guards.pop().communicate(b"\n")

    def kill(self, *, seconds: float = 20.0) -> None:
        """SIGKILL every process, and return when none is left."""
        seen: set[int] = set()

        def all_gone() -> bool:
            pids = self.pids()
            signal_all(pids, signal.SIGKILL)
            seen.update(pids)
            return all(map(_is_gone, seen))

        if not _wait_until(all_gone, seconds):
            msg = f"Processes {self.pids()} in {self.folder} outlive SIGKILL."
            raise EmbeddedServerError(msg)
        self.thaw()

    def end(self, leader: int | None, stop_signal: signal.Signals, *, seconds: float) -> None:
        """Ask the leader to stop in good order; whoever is left after `seconds` is killed."""
        pids = self.pids()
        signal_all(pids, signal.SIGCONT)
        if leader is not None and leader in pids:
            signal_all([leader], stop_signal)
            _ = _wait_until(lambda: all(map(_is_gone, pids)), seconds)
        self.kill()


def signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    """Signal each process that is still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _name_and_state(pid: int) -> tuple[str, str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", "X"
    before, _, after = text.rpartition(")")
    return before.partition("(")[2], after.split()[0]


def _is_gone(pid: int) -> bool:
    # A zombie with threads that still end holds its sockets: its port is not free yet.
    if _name_and_state(pid)[1] not in "XZ":
        return False
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except OSError:
        return True


def _wait_until(statement: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not (holds := statement()) and time.monotonic() < deadline:
        time.sleep(0.005)
    return holds
