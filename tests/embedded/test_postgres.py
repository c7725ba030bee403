"""What is PostgreSQL's own: databases, settings, standbys."""

from pathlib import Path

import pytest

from service.embedded.errors import EmbeddedServerError
from service.embedded.postgres import EmbeddedPostgres
from tests.embedded.asking import FAST, ask, wait_until

DEBIAN = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


def test_a_cluster_is_utf8_and_asks_everybody_for_a_password(postgres: EmbeddedPostgres) -> None:
    assert ask(postgres, "SHOW server_encoding") == "UTF8"
    assert ask(postgres, "SELECT DISTINCT datcollate FROM pg_database") == "C"
    assert ask(postgres, "SELECT DISTINCT auth_method FROM pg_hba_file_rules") == "scram-sha-256"
    assert ask(postgres, "SHOW unix_socket_directories") == ""


def test_settings_of_the_caller_go_first(postgres: EmbeddedPostgres) -> None:
    postgres.stop()
    odd = r"it's a \ 'line'"
    settings = {**FAST, "cluster_name": odd, "max_connections": "17", "listen_addresses": "*"}
    with EmbeddedPostgres(postgres.home.folder, settings=settings) as server:
        assert ask(server, "SHOW cluster_name") == odd
        assert ask(server, "SHOW max_connections") == "17"
        assert ask(server, "SHOW listen_addresses") == "127.0.0.1"


def test_databases_are_created_once_whatever_their_names(postgres: EmbeddedPostgres) -> None:
    for name in ("plain", 'a "quoted" name', "a 'quoted' name", "plain"):
        postgres.create_database(name)
        assert ask(postgres, "SELECT current_database()", name) == name
    assert postgres.url('a "quoted" name').endswith("/a%20%22quoted%22%20name")


@pytest.mark.slow
@pytest.mark.parametrize("bin_dir", [None, *DEBIAN], ids=str)
def test_a_promoted_standby_has_its_primarys_data(tmp_path: Path, bin_dir: Path | None) -> None:
    settings = {**FAST, "max_connections": "210"}
    primary = EmbeddedPostgres(tmp_path / "primary", bin_dir=bin_dir, settings=settings)
    with primary:
        _ = ask(primary, "CREATE TABLE before AS SELECT 1")
        with primary.standby(tmp_path / "standby") as standby:
            assert ask(standby, "SELECT pg_is_in_recovery()") == "t"
            _ = ask(primary, "CREATE TABLE after AS SELECT 2 AS two")
            position = ask(primary, "SELECT pg_current_wal_flush_lsn()")
            behind = f"SELECT pg_last_wal_replay_lsn() < '{position}'"
            wait_until(lambda: ask(standby, behind) == "f")
            primary.kill()
            standby.promote()
            _ = ask(standby, "INSERT INTO after VALUES (3)")
            assert ask(standby, "SELECT sum(two) FROM after, before") == "5"
            standby.stop()
            standby.start()
            assert ask(standby, "SELECT pg_is_in_recovery()") == "f"


def test_a_folder_with_a_cluster_of_its_own_becomes_no_standby(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(EmbeddedServerError, match="no standby"):
        _ = postgres.standby(postgres.home.folder)
