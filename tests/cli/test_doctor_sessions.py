"""watchword doctor: what keeps sessions from going on, or from ending, and who may register."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Watchword
from tests.cli.people import make_app
from tests.faults.failover_support import Pod, sql


def findings(watchword: Watchword, **settings: str) -> list[tuple[str, str, str]]:
    lines = watchword("doctor", "--json", **settings).out.splitlines()
    return [(row["level"], row["subject"], row["finding"]) for row in map(json.loads, lines)]


@pytest.fixture
def another_pod(watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres) -> Iterator[str]:
    """A living pod that has a refresh key of its own."""
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    sql(
        postgres,
        "INSERT INTO instances (id, name, release, schema_number, wrap_key_ids, refresh_key_ids)"
        " VALUES (gen_random_uuid(), 'another:1', '1', 1, '{1}', '{2,3}')",
        database=database,
    )
    yield "another:1"
    sql(postgres, "DELETE FROM instances WHERE name = 'another:1'", database=database)


def test_refresh_keys_that_not_every_pod_has(
    watchword: Watchword, pod: Pod, another_pod: str
) -> None:
    master = [text for _, subject, text in findings(watchword) if subject == "master keys"]
    _, lacks_current, *uneven = master
    assert lacks_current == f"the pod {another_pod} lacks the refresh key 1: roll it out first"
    # Beside this pod there may be some that ended less than a minute ago.
    lacking = f":{pod.process.pid} lacks the refresh keys 2, 3 that other pods hold: give"
    assert [lacking in text for text in uneven].count(True) == 1
    levels = [level for level, subject, _ in findings(watchword) if subject == "master keys"]
    assert levels == ["ok", "fault", *["warning"] * len(uneven)]


def test_a_current_refresh_key_that_no_pod_has(
    watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    keys = Path(watchword.environment["WATCHWORD_KEYS_DIR"])
    for path in keys.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(keys / "refresh-1.key", tmp_path / "refresh-2.key")
    (tmp_path / "current").write_text("wrap 1\nrefresh 2\n")
    said = watchword("doctor", KEYS_DIR=str(tmp_path))
    assert said.code == 1
    assert f":{pod.process.pid} lacks the refresh key 2: roll it out first" in said.out


def test_a_client_in_shadow_mode_is_named(watchword: Watchword) -> None:
    app = make_app(watchword)
    watchword("clients", "shadow", app, "on")
    (found,) = (row for row in findings(watchword) if app in row[2])
    assert found[:2] == ("warning", "shadow mode")
    assert found[2].endswith(f" UTC; 'watchword clients shadow {app} off' ends that")
    watchword("clients", "shadow", app, "off")
    assert not any(app in text for _, _, text in findings(watchword))


@pytest.mark.parametrize(
    ("registration", "said"),
    [
        ("open", "open: anybody may make an account"),
        ("closed", "closed: 'watchword users create' makes accounts"),
    ],
)
def test_whether_anybody_may_register_is_said(
    watchword: Watchword, registration: str, said: str
) -> None:
    assert ("ok", "registration", said) in findings(watchword, REGISTRATION=registration)
