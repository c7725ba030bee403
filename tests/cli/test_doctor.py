"""watchword doctor: what is wrong is named, with what to do; exit 1 on a fault."""

import json
import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from service.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import NEWER, Watchword
from tests.faults.failover_support import Pod, sql, until


def findings(watchword: Watchword, **settings: str) -> dict[str, tuple[str, str]]:
    """Level and text of each subject; exit 1 exactly when one is a fault."""
    said = watchword("doctor", "--json", **settings)
    rows = [json.loads(line) for line in said.out.splitlines()]
    assert said.err == ""
    assert said.code == int("fault" in {row["level"] for row in rows})
    found = {row["subject"]: (row["level"], row["finding"]) for row in rows}
    assert len(found) == len(rows)
    return found


def faults(watchword: Watchword, **settings: str) -> dict[str, str]:
    found = findings(watchword, **settings)
    return {subject: text for subject, (level, text) in found.items() if level == "fault"}


def test_a_healthy_pod_has_no_fault(watchword: Watchword, pod: Pod) -> None:
    until(lambda: findings(watchword)["redis"][0] == "ok")
    found = findings(watchword)
    assert {subject: level for subject, (level, _) in found.items()} == {
        "issuer": "warning",  # a loopback URL
        "schema": "ok",
        "postgresql": "ok",
        "master keys": "ok",
        "signing keys": "ok",
        "pods": "ok",
        "registration": "ok",
        "redis": "ok",
    }
    assert f":{pod.process.pid} (" in found["pods"][1]
    table = watchword("doctor").out.splitlines()
    assert table[0].split() == ["level", "subject", "finding"]
    assert len(table) == len(found) + 1


def test_postgresql_away(watchword: Watchword) -> None:
    found = faults(watchword, DATABASE_URL="postgresql://watchword:hunter2@127.0.0.1:1/watchword")
    assert found.keys() == {"postgresql"}
    assert "Connect call failed" in found["postgresql"]
    assert found["postgresql"].endswith(": check WATCHWORD_DATABASE_URL")
    assert "hunter2" not in found["postgresql"]


def test_no_schema(watchword: Watchword, unmigrated: str) -> None:
    found = faults(watchword, DATABASE_URL=unmigrated)
    assert found.keys() == {"schema"}
    assert "watchword migrate" in found["schema"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE schema_migrations SET checksum = 'edited'", "other files were applied"),
        (NEWER, "newer release"),
    ],
)
def test_a_schema_of_another_release(
    watchword: Watchword, postgres: EmbeddedPostgres, empty_database: str, change: str, said: str
) -> None:
    watchword("migrate", DATABASE_URL=empty_database)
    sql(postgres, change, database=empty_database.rpartition("/")[2])
    found = faults(watchword, DATABASE_URL=empty_database)
    assert found.keys() == {"schema"}
    assert said in found["schema"]


def test_a_database_that_no_pod_has_served(watchword: Watchword, empty_database: str) -> None:
    watchword("migrate", DATABASE_URL=empty_database)
    found = findings(watchword, DATABASE_URL=empty_database, REDIS_PREFIX=uuid4().hex)
    assert found["feed"] == ("warning", "not begun: the first 'watchword serve' begins it")
    assert found["signing keys"] == (
        "warning",
        "none so far: the first 'watchword serve' makes them",
    )


def test_a_wrong_master_key(watchword: Watchword, tmp_path: Path) -> None:
    watchword("keys", "init", KEYS_DIR=str(tmp_path))
    found = faults(watchword, KEYS_DIR=str(tmp_path))
    assert found.keys() == {"signing keys"}
    assert "does not unwrap with wrap-1.key" in found["signing keys"]
    for name in ("wrap-1.key", "refresh-1.key"):
        assert (tmp_path / name).read_text().strip() not in found["signing keys"]


def test_no_master_keys(watchword: Watchword, tmp_path: Path) -> None:
    found = faults(watchword, KEYS_DIR=str(tmp_path))
    assert found == {
        "master keys": f"{tmp_path}/current is not there: make the first master keys with "
        "'watchword keys init'"
    }


def test_a_pod_that_lacks_the_current_master_key(
    watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    keys = Path(watchword.environment["WATCHWORD_KEYS_DIR"])
    for path in keys.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(keys / "wrap-1.key", tmp_path / "wrap-2.key")
    (tmp_path / "current").write_text("wrap 2\nrefresh 1\n")
    said = watchword("doctor", KEYS_DIR=str(tmp_path))
    assert said.code == 1
    assert f":{pod.process.pid} lacks the wrap key 2: roll it out first" in said.out


def test_redis_away(watchword: Watchword) -> None:
    found = faults(watchword, REDIS_URL="redis://default:hunter2@127.0.0.1:1/0")
    assert found.keys() == {"redis"}
    assert found["redis"].endswith(": check WATCHWORD_REDIS_URL")
    assert "hunter2" not in found["redis"]


def test_redis_with_a_wrong_password(watchword: Watchword) -> None:
    port = watchword.environment["WATCHWORD_REDIS_URL"].rpartition(":")[2]
    found = faults(watchword, REDIS_URL=f"redis://default:hunter2@127.0.0.1:{port}")
    assert found.keys() == {"redis"}
    assert "hunter2" not in found["redis"]


def test_no_heartbeat(watchword: Watchword) -> None:
    found = findings(watchword, REDIS_PREFIX=uuid4().hex)
    assert found["redis"] == ("warning", "no heartbeat yet: a running pod writes one a second")
