"""watchword migrate, purge, recover, audit, keys and settings."""

import json
import stat
from pathlib import Path

import pytest

from migrations.files import latest, load
from service.embedded.postgres import EmbeddedPostgres
from service.keys import master_keys
from tests.cli.conftest import Watchword
from tests.cli.people import log_in, make_app, make_person
from tests.faults.failover_support import Pod, sql

FILES = [migration.file for migration in load()]


class TestMigrate:
    """watchword migrate."""

    def test_a_dry_run_says_what_it_would_do_and_does_nothing(
        self, watchword: Watchword, postgres: EmbeddedPostgres, empty_database: str
    ) -> None:
        said = watchword("migrate", "--dry-run", DATABASE_URL=empty_database)
        assert (said.code, said.err) == (0, "")
        assert said.out.splitlines() == [f"would apply {file}" for file in FILES]
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        assert sql(postgres, tables, database=empty_database.rpartition("/")[2]) == 0

    def test_a_schema_is_made_once(self, watchword: Watchword, empty_database: str) -> None:
        said = watchword("migrate", DATABASE_URL=empty_database)
        assert (said.code, said.err) == (0, "")
        assert said.out.splitlines() == [f"applied {file}" for file in FILES]
        again = watchword("migrate", DATABASE_URL=empty_database)
        assert again.out == f"nothing to apply: the schema is at {latest():04d}\n"

    def test_the_owner_s_address_is_used_and_the_service_s_role_given_its_rights(
        self, watchword: Watchword, postgres: EmbeddedPostgres, empty_database: str
    ) -> None:
        sql(postgres, """CREATE ROLE "the app" LOGIN PASSWORD 'x'""")
        name = empty_database.rpartition("/")[2]
        app = f"postgresql://the%20app:x@127.0.0.1:{postgres.port}/{name}"
        owner = {"MIGRATE_DATABASE_URL": empty_database}
        assert watchword("migrate", DATABASE_URL=app, **owner).code == 0
        assert watchword("clients", "list", DATABASE_URL=app).out.startswith("no clients")


def test_purge_says_how_much_it_deleted(
    watchword: Watchword, postgres: EmbeddedPostgres, pod: Pod
) -> None:
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    app, user = make_app(watchword), make_person(watchword)
    for _ in range(2):
        log_in(pod, app, user.name, user.password)
    expire = "UPDATE sessions SET expires_at = now() - interval '31 days' WHERE user_id = $1"
    sql(postgres, expire, user.id, database=database)
    sql(
        postgres,
        "UPDATE audit_events SET at = at - interval '91 days';"
        "INSERT INTO instances (id, name, release, schema_number, wrap_key_ids, refresh_key_ids,"
        "                       last_seen_at)"
        " VALUES (gen_random_uuid(), 'gone', '0', 1, '{1}', '{1}', now() - interval '2 hours')",
        database=database,
    )
    said = watchword("purge")
    assert (said.code, said.err) == (0, "")
    counts = dict(part.split(": ") for part in said.out.strip().split(", "))
    names = [
        *("revocations", "feed entries", "sessions", "sign ons", "authorization requests"),
        *("authorization codes", "audit events", "instances", "receipts"),
    ]
    assert list(counts) == names
    assert int(counts["sessions"]) == 2
    assert int(counts["audit events"]) >= 1
    assert int(counts["instances"]) == 1
    nothing = (
        "sessions: 0, sign ons: 0, authorization requests: 0, authorization codes: 0, "
        "audit events: 0, instances: 0, receipts: 0\n"
    )
    assert watchword("purge").out.endswith(nothing)


@pytest.mark.parametrize("sessions", ["keep", "end"])
def test_recover_does_nothing_when_nothing_is_lost(
    watchword: Watchword, pod: Pod, sessions: str
) -> None:
    client = watchword.make_client()
    token = pod.token(client)
    said = watchword("recover", "--sessions", sessions)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("nothing to recover")
    assert pod.introspect(client, token) == "active"


def test_recover_does_nothing_before_the_first_pod(
    watchword: Watchword, empty_database: str
) -> None:
    watchword("migrate", DATABASE_URL=empty_database)
    said = watchword("recover", "--sessions", "keep", DATABASE_URL=empty_database)
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("nothing to recover")
    assert watchword("recover").code == 2  # the operator has to say what becomes of sessions


def test_the_audit_trail_has_the_newest_first(watchword: Watchword) -> None:
    client_id, _ = watchword.make_client()
    watchword("clients", "rotate-secret", client_id, "--overlap-hours", "1")
    watchword("clients", "disable", client_id)
    watchword("clients", "enable", client_id)
    lines = watchword("audit", "--limit", "4", "--json").out.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == [
        "client_enabled",
        "client_disabled",
        "client_secret_rotated",
        "client_created",
    ]
    assert {event["client"] for event in events} == {client_id}
    assert {event["detail"]["actor"] for event in events} == {"operator"}
    heading, *rows = watchword("audit", "--limit", "4").out.splitlines()
    assert heading.split() == ["at", "event", "client", "address", "request", "detail"]
    assert [row.split()[1] for row in rows] == [event["event"] for event in events]
    for limit in ("0", "-1", "x", "9" * 30):
        assert watchword("audit", "--limit", limit).code == 2


def test_the_audit_trail_says_whose_session_it_was(watchword: Watchword, pod: Pod) -> None:
    app, user = make_app(watchword), make_person(watchword)
    session_id = log_in(pod, app, user.name, user.password).session_id
    (line,) = watchword("audit", "--limit", "1", "--json").out.splitlines()
    event = json.loads(line)
    assert (event["event"], event["user"], event["session"]) == (
        "session_begun",
        user.id,
        session_id,
    )
    assert event["generation"] is None
    heading, *_ = watchword("audit", "--limit", "1").out.splitlines()
    names = ["at", "event", "client", "user", "session", "address", "request", "detail"]
    assert heading.split() == names


def test_an_empty_trail_and_an_empty_list_say_so(watchword: Watchword, empty_database: str) -> None:
    watchword("migrate", DATABASE_URL=empty_database)
    assert watchword("audit", DATABASE_URL=empty_database).out == "no audit events\n"
    assert watchword("audit", "--json", DATABASE_URL=empty_database).out == ""
    assert watchword("clients", "list", DATABASE_URL=empty_database).out.startswith("no clients; ")


class TestKeys:
    """watchword keys init."""

    def test_keys_are_made_once_for_their_owner_alone(
        self, watchword: Watchword, tmp_path: Path
    ) -> None:
        folder = tmp_path / "a" / "keys"
        said = watchword("keys", "init", KEYS_DIR=str(folder))
        assert (said.code, said.err) == (0, "")
        files = {path.name: path.read_text() for path in folder.iterdir()}
        assert files.keys() == {"wrap-1.key", "refresh-1.key", "current"}
        assert [stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()] == [0o600] * 3
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name in ("wrap-1.key", "refresh-1.key"):
            assert files[name].strip() not in said.out
        again = watchword("keys", "init", "--dir", str(folder))
        assert again.out == f"{folder} has master keys already; nothing was changed\n"
        assert {path.name: path.read_text() for path in folder.iterdir()} == files

    def test_half_a_folder_is_an_error_that_names_what_lacks(
        self, watchword: Watchword, tmp_path: Path
    ) -> None:
        watchword("keys", "init", KEYS_DIR=str(tmp_path))
        (tmp_path / "current").unlink()
        (error,) = watchword("keys", "init", KEYS_DIR=str(tmp_path)).errors
        assert error.startswith(f"{tmp_path}/current is not there")

    @pytest.mark.parametrize("written", [0, 1, 2])
    def test_an_interrupted_run_leaves_no_half_a_folder(
        self,
        watchword: Watchword,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        written: int,
    ) -> None:
        write = master_keys._write

        def interrupted(path: Path, text: str) -> None:
            if len(list(tmp_path.iterdir())) == written:
                path.touch()
                raise KeyboardInterrupt
            write(path, text)

        monkeypatch.setattr(master_keys, "_write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            master_keys.create_master_keys(tmp_path)
        assert list(tmp_path.iterdir()) == []
        monkeypatch.undo()
        assert master_keys.create_master_keys(tmp_path)

    def test_two_runs_at_once_make_one_set(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write = master_keys._write

        def overtaken(path: Path, text: str) -> None:
            monkeypatch.setattr(master_keys, "_write", write)
            assert master_keys.create_master_keys(tmp_path)
            write(path, text)

        monkeypatch.setattr(master_keys, "_write", overtaken)
        assert not master_keys.create_master_keys(tmp_path)
        assert master_keys.read_master_keys(tmp_path)

    def test_a_folder_that_can_not_be_made_is_an_error(self, watchword: Watchword) -> None:
        (error,) = watchword("keys", "init", "--dir", "/proc/no/keys").errors
        assert error.startswith("/proc/no/keys: ")


def test_every_command_says_what_it_does(watchword: Watchword) -> None:
    said = watchword("--help")
    assert said.code == 0
    for name in ("dev", "serve", "migrate", "clients", "users", "revoke", "doctor", "settings"):
        assert watchword(name, "-h").out.startswith(f"Usage: main {name}")
    assert watchword("--version").out.startswith("watchword, version ")
