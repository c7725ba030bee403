"""watchword doctor: what keeps sessions from going on, or from ending, and who may register."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from service.embedded.postgres import EmbeddedPostgres
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from tests.cli.conftest import Watchword
from tests.cli.people import log_in, make_app, make_person
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


def test_a_former_refresh_key_can_go_when_no_session_needs_it(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """DESIGN §5: until then sessions go on under it."""
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    keys = Path(watchword.environment["WATCHWORD_KEYS_DIR"])
    for path in keys.iterdir():
        shutil.copy(path, tmp_path)
    shutil.copy(keys / "refresh-1.key", tmp_path / "refresh-7.key")

    def said_of_it() -> list[str]:
        found = findings(watchword, KEYS_DIR=str(tmp_path))
        return [text for _, _, text in found if "refresh-7.key" in text]

    assert said_of_it() == []  # the next one, which no pod has named yet
    former = "INSERT INTO refresh_keys VALUES (7, '2024-07-01')"
    sql(postgres, former, database=database)
    assert said_of_it() == ["no living session needs refresh-7.key: it can go"]
    person = make_person(watchword)
    login = log_in(pod, make_app(watchword), person.name, person.password)
    old = uuid7(int(datetime(2024, 6, 1, tzinfo=UTC).timestamp() * 1000), b"x" * RANDOM_BYTES)
    sql(
        postgres,
        "UPDATE sessions SET id = $2, expires_at = '2099-01-02 03:04:05Z' WHERE id = $1"
        " RETURNING id",
        UUID(login.session_id),
        old,
        database=database,
    )
    assert said_of_it() == ["sessions need refresh-7.key until 2099-01-02 03:04 UTC at the latest"]
    sql(postgres, "DELETE FROM sessions WHERE id = $1 RETURNING id", old, database=database)
    assert said_of_it() == ["no living session needs refresh-7.key: it can go"]
    sql(postgres, "DELETE FROM refresh_keys WHERE id = 7", database=database)


def test_a_pod_says_under_which_refresh_key_it_begins_sessions(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres
) -> None:
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    fresh = "SELECT named_at > now() - interval '15 seconds' FROM refresh_keys WHERE id = 1"
    assert sql(postgres, fresh, database=database) is True
