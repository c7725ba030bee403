"""Crashes, orphans and frozen servers: no process is left, and no data is lost."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from service.embedded import processes
from service.embedded.errors import EmbeddedServerError
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from tests.embedded.asking import FAST, ask, say, wait_until

ROOT = Path(__file__).parents[2]


def run_parent(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis, last_words: str = "", *, without: str = ""
) -> subprocess.Popen[str]:
    """Another process that starts both servers, in a thread that ends, then does `last_words`."""
    postgres.stop()
    redis.stop()
    script = f"""
import os, shutil, signal, sys, threading
from pathlib import Path
which = shutil.which
shutil.which = lambda name: None if name == {without!r} else which(name)
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
postgres = EmbeddedPostgres(Path({str(postgres.home.folder)!r}), settings={FAST!r})
redis = EmbeddedRedis(Path({str(redis.home.folder)!r}))
thread = threading.Thread(target=lambda: (postgres.start(), redis.start()))
thread.start()
thread.join()
postgres.create_database("kept")
{last_words}
print(postgres.pid, redis.pid, flush=True)
if {without!r}: os._exit(0)
sys.stdin.read()
"""
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_crash_leaves_no_process_and_loses_no_data(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    _ = ask(postgres, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('watch')")
    assert say(redis, "SET word watch") == "+OK"
    assert len(postgres.pids) > 3
    segment = (postgres.work_folder / "postmaster.pid").read_text().split("\n")[6].split()[1]
    for server in (postgres, redis):
        server.kill()
        assert server.pids == []
        with pytest.raises(EmbeddedServerError, match="does not run"):
            _ = server.pid
    segments = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    assert segment not in [line.split()[1] for line in segments]
    postgres.start()
    redis.start()
    assert ask(postgres, "SELECT word FROM kept") == "watch"
    assert say(redis, "GET word") == "$5\r\nwatch"


def test_a_server_that_crashed_by_itself_starts_again(redis: EmbeddedRedis) -> None:
    first = redis.pid
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: redis.pids == [])
    redis.start()
    assert redis.pid != first
    assert say(redis, "PING") == "+PONG"


def test_a_frozen_server_answers_only_after_the_thaw(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    postgres.freeze()
    redis.freeze()
    states = [Path(f"/proc/{pid}/stat").read_text() for pid in postgres.pids + redis.pids]
    assert {state.rpartition(")")[2].split()[0] for state in states} == {"T"}
    with pytest.raises(TimeoutError):
        _ = say(redis, "PING", seconds=0.1)
    postgres.thaw()
    redis.thaw()
    assert ask(postgres, "SELECT 1") == "1"
    assert say(redis, "PING") == "+PONG"
    for server in (postgres, redis):
        server.freeze()
        server.stop()
        assert server.pids == []


@pytest.mark.parametrize("last_words", ["", "postgres.freeze(); redis.freeze()"])
def test_a_parent_killed_outright_takes_its_servers_along(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis, last_words: str
) -> None:
    with run_parent(postgres, redis, last_words) as parent:
        assert parent.stdout is not None
        pids = [int(word) for word in parent.stdout.readline().split()]
        assert pids[0] in postgres.pids
        assert pids[1] in redis.pids
        parent.kill()
    wait_until(lambda: postgres.pids == redis.pids == [])
    postgres.start()
    redis.start()
    assert ask(postgres, "SELECT current_database()", "kept") == "kept"
    assert say(redis, "PING") == "+PONG"


def test_orphans_are_stopped_before_the_next_start(
    postgres: EmbeddedPostgres, redis: EmbeddedRedis
) -> None:
    with run_parent(postgres, redis, without="setpriv") as parent:
        assert parent.stdout is not None
        orphans = [int(word) for word in parent.stdout.readline().split()]
    assert set(orphans) < {*postgres.pids, *redis.pids}
    postgres.start()
    redis.start()
    assert not set(orphans) & {*postgres.pids, *redis.pids}
    assert ask(postgres, "SELECT current_database()", "kept") == "kept"
    assert say(redis, "PING") == "+PONG"
    last_start = (
        (postgres.home.folder / "postgres.log").read_text().split("starting PostgreSQL")[-1]
    )
    assert "database system was shut down" in last_start  # not: interrupted


def test_a_stale_pid_file_that_names_a_stranger_is_no_obstacle(postgres: EmbeddedPostgres) -> None:
    pid_file = postgres.work_folder / "postmaster.pid"
    old = pid_file.read_text().split("\n")
    postgres.kill()
    _ = pid_file.write_text("\n".join([str(os.getpid()), *old[1:]]))
    postgres.start()
    assert ask(postgres, "SELECT 1") == "1"


def test_a_start_in_another_thread_outlives_that_thread(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path / "redis")
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    assert say(server, "PING") == "+PONG"
    server.stop()


def test_root_without_user_namespaces_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(processes.shutil, "which", lambda _name: "/bin/false")
    monkeypatch.setattr(processes, "unprivileged", processes.unprivileged.__wrapped__)
    with pytest.raises(EmbeddedServerError, match="Run as an ordinary user"):
        _ = processes.unprivileged()
