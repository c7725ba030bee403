"""watchword revoke: sessions, by their id, their refresh token or their user."""

import shutil
from pathlib import Path
from uuid import uuid4

import pytest

from tests.cli.conftest import Watchword
from tests.cli.people import is_over, log_in, make_app, make_person, refresh
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod


@pytest.mark.parametrize("way", ["session", "token", "standard input", "spent token"])
def test_a_session_ends_everywhere_at_once(watchword: Watchword, pod: Pod, way: str) -> None:
    app, user = make_app(watchword), make_person(watchword)
    api = watchword.make_client("--serves", AUDIENCE)
    login, other = (log_in(pod, app, user.name, user.password) for _ in range(2))
    presented, login = login.refresh_token, refresh(pod, app, login)
    if way != "spent token":
        presented = login.refresh_token
    command = {
        "session": ["revoke", "--session", login.session_id],
        "standard input": ["revoke", "--token", "-"],
    }.get(way, ["revoke", "--token", presented])
    said = watchword(*command, stdin=f"{presented}\n")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"session {login.session_id} is ended\n"
    assert pod.introspect(api, login.access_token) == "inactive"
    assert is_over(pod, app, login)
    assert not is_over(pod, app, other)
    again = watchword(*command, stdin=presented)
    assert (again.code, again.out) == (0, f"session {login.session_id} was over already\n")


def test_every_session_of_a_user_ends_and_a_new_one_may_begin(
    watchword: Watchword, pod: Pod
) -> None:
    app, user, other = make_app(watchword), make_person(watchword), make_person(watchword)
    logins = [log_in(pod, app, user.name, user.password) for _ in range(3)]
    kept = log_in(pod, app, other.name, other.password)
    said = watchword("revoke", "--user", user.email)
    assert (said.code, said.out, said.err) == (0, f"sessions of {user.name} ended: 3\n", "")
    assert all(is_over(pod, app, login) for login in logins)
    assert not is_over(pod, app, kept)
    assert log_in(pod, app, user.name, user.password)
    events = watchword("audit", "--limit", "8", "--json").out
    assert "revoked_by_operator" in events


def test_what_is_not_there_is_an_error(watchword: Watchword) -> None:
    session_id = str(uuid4())
    said = watchword("revoke", "--session", session_id)
    assert said.errors == [f"there is no session {session_id}"]
    assert watchword("revoke", "--user", "nobody").errors == ["there is no user nobody"]


def test_a_refresh_token_under_a_key_that_is_not_here_is_an_error(
    watchword: Watchword, pod: Pod, tmp_path: Path
) -> None:
    app, user = make_app(watchword), make_person(watchword)
    login = log_in(pod, app, user.name, user.password)
    keys = Path(watchword.environment["WATCHWORD_KEYS_DIR"])
    shutil.copy(keys / "wrap-1.key", tmp_path)
    shutil.copy(keys / "refresh-1.key", tmp_path / "refresh-2.key")
    shutil.copy(keys / "current", tmp_path)  # with its rights, of which no more are accepted
    (tmp_path / "current").write_text("wrap 1\nrefresh 2\n")
    said = watchword("revoke", "--token", login.refresh_token, KEYS_DIR=str(tmp_path))
    assert said.errors == [f"the token is under refresh-1.key: not in {tmp_path}"]
    assert not is_over(pod, app, login)
