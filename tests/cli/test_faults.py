"""What is expected to go wrong with any command: one clear line, no traceback, no secret."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from service.flows import manage_clients
from tests.cli.conftest import Said, Watchword
from tests.cli.pods import ROOT
from tests.conftest import AUDIENCE

# Each command that works on PostgreSQL.
COMMANDS = [
    ("clients", "create", "abc", "--audience", AUDIENCE),
    ("clients", "list", "--json"),
    ("clients", "show", "abc"),
    ("clients", "rotate-secret", "abc"),
    ("clients", "disable", "abc"),
    ("clients", "enable", "abc"),
    ("revoke", "--client", "abc"),
    ("revoke", "--token", "x"),
    ("audit",),
    ("purge",),
    ("recover", "--sessions", "keep"),
]
ids = [" ".join(command[:2]) for command in COMMANDS]

AWAY = "postgresql://watchword:hunter2-of-the-database@127.0.0.1:1/watchword"


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_postgresql_away(watchword: Watchword, command: tuple[str, ...]) -> None:
    (error,) = watchword(*command, DATABASE_URL=AWAY).errors
    assert error.startswith("PostgreSQL is away: ConnectionRefusedError (")
    assert error.endswith("): check WATCHWORD_DATABASE_URL")
    assert "hunter2" not in error


@pytest.mark.parametrize("command", COMMANDS, ids=ids)
def test_a_database_without_a_schema(
    watchword: Watchword, unmigrated: str, command: tuple[str, ...]
) -> None:
    (error,) = watchword(*command, DATABASE_URL=unmigrated).errors
    assert error.startswith("the schema lacks 0001_first_schema.expand.sql")
    assert error.endswith("run 'watchword migrate'")


@pytest.mark.parametrize("command", [*COMMANDS, ("migrate",), ("doctor",), ("serve",)], ids=str)
def test_settings_that_can_not_be_used(watchword: Watchword, command: tuple[str, ...]) -> None:
    password = urlsplit(watchword.environment["WATCHWORD_DATABASE_URL"]).password
    said = watchword(
        *command, ISSUER="", DATABASE_URL=f"mysql://{password}", REDIS_URL="redis://h:x", LISTN="x"
    )
    assert [error.split()[0] for error in said.errors] == [
        "WATCHWORD_LISTN",
        "WATCHWORD_ISSUER",
        "WATCHWORD_DATABASE_URL",
        "WATCHWORD_REDIS_URL",
    ]
    assert password
    assert password not in said.err


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("{server}/absent", 'database "absent" does not exist'),
        ("postgresql://watchword:hunter2@{host}/watchword", "password authentication failed"),
        ("postgresql://absent:hunter2@{host}/watchword", "password authentication failed"),
        ("postgresql://watchword:hunter2@{host}/x?sslmode=odd", "sslmode"),
        ("postgresql://watchword:hunter2@{host}/x?sslmode=require", "SSL"),
    ],
)
def test_an_address_that_postgresql_refuses(watchword: Watchword, url: str, said: str) -> None:
    server, _, _ = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")
    url = url.format(server=server, host=server.rpartition("@")[2])
    for command in (("clients", "list"), ("audit",)):
        (error,) = watchword(*command, DATABASE_URL=url).errors
        assert said in error
        assert "hunter2" not in error
    (error,) = watchword("migrate", DATABASE_URL=url).errors
    assert "hunter2" not in error


def test_migrating_a_server_that_is_away(watchword: Watchword) -> None:
    (error,) = watchword("migrate", DATABASE_URL=AWAY).errors
    assert error.startswith("no connection to PostgreSQL: ")
    assert "hunter2" not in error


@pytest.mark.parametrize("command", [("revoke", "--token", "x"), ("recover", "--sessions", "end")])
def test_master_keys_that_are_not_there(
    watchword: Watchword, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (error,) = watchword(*command, KEYS_DIR=str(tmp_path / "no")).errors
    assert error.startswith(f"the keys folder {tmp_path}/no is not there: set WATCHWORD_KEYS_DIR")
    (tmp_path / "current").write_text("wrap 1\nrefresh 1")
    (tmp_path / "current").chmod(0o644)
    (error,) = watchword(*command, KEYS_DIR=str(tmp_path)).errors
    assert error == f"{tmp_path}/current can be read by everybody: chmod o= {tmp_path}/current"


def test_master_keys_of_another_deployment(watchword: Watchword, tmp_path: Path) -> None:
    watchword("keys", "init", KEYS_DIR=str(tmp_path))
    (error,) = watchword("revoke", "--token", "x", KEYS_DIR=str(tmp_path)).errors
    assert error.startswith("the signing key ")
    assert "does not unwrap with wrap-1.key" in error


def child(watchword: Watchword, *command: str, **settings: str) -> Said:
    """The same as a process of its own."""
    changed = {f"WATCHWORD_{name}": value for name, value in settings.items()}
    result = subprocess.run(
        [sys.executable, "-m", "service", *command],
        cwd=ROOT,
        env={**watchword.environment, **changed},
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    return Said(result.returncode, result.stdout, result.stderr)


def test_a_process_says_the_same(watchword: Watchword, unmigrated: str) -> None:
    for settings in ({"DATABASE_URL": AWAY}, {"DATABASE_URL": unmigrated}, {"ISSUER": "x"}):
        here = watchword("clients", "list", **settings)
        assert child(watchword, "clients", "list", **settings) == here
        assert len(here.errors) == 1


def test_a_process_prints_a_secret_on_standard_output_alone(watchword: Watchword) -> None:
    said = child(watchword, "clients", "create", "child", "--audience", AUDIENCE)
    assert said.code == 0
    assert said.out.count("wws_") == 1
    assert "wws_" not in said.err


def test_a_defect_keeps_its_traceback(
    watchword: Watchword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(manage_clients, "lock_client")
    with pytest.raises(NameError):
        watchword("clients", "rotate-secret", "abc")
