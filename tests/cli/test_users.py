"""watchword users: what the operator does to a user, every pod does from then on."""

import json
from typing import Any

import pytest

from service.embedded.postgres import EmbeddedPostgres
from tests.cli.conftest import Watchword
from tests.cli.people import (
    describe,
    is_over,
    is_refused,
    log_in,
    make_app,
    make_person,
    refresh,
)
from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod, sql, until

PASSWORD = "four tired horses read "


def query(watchword: Watchword, postgres: EmbeddedPostgres, query: str, *args: object) -> Any:
    """A value of the command line's database."""
    database = watchword.environment["WATCHWORD_DATABASE_URL"].rpartition("/")[2]
    return sql(postgres, query, *args, database=database)


def listed(watchword: Watchword) -> dict[str, dict[str, Any]]:
    lines = watchword("users", "list", "--json").out.splitlines()
    return {row["id"]: row for row in map(json.loads, lines)}


def test_a_generated_password_is_shown_once_and_logs_in(watchword: Watchword, pod: Pod) -> None:
    app = make_app(watchword)
    name = make_person(watchword).name + "-2"
    said = watchword("users", "create", *describe(name), "--generate", "--role", "a", "--role", "b")
    assert said.err == "The password is shown this once; the database keeps a hash.\n"
    (first, user_id), (second, password) = (line.split() for line in said.out.splitlines())
    assert (first, second) == ("user_id", "password")
    claims = log_in(pod, app, name, password).claims
    assert (claims["sub"], claims["roles"]) == (user_id, ["a", "b"])
    for command in (["users", "list"], ["users", "list", "--json"], ["audit", "--json"]):
        assert password not in watchword(*command).out


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\nand more\n"])
def test_a_password_is_the_first_line_of_standard_input(
    watchword: Watchword, pod: Pod, end: str
) -> None:
    app, user = make_app(watchword), make_person(watchword)
    said = watchword("users", "set-password", user.name, "--password-stdin", stdin=PASSWORD + end)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{user.name} has another password; sessions ended: 0\n"
    assert log_in(pod, app, user.name, PASSWORD)
    assert is_refused(pod, app, user.name, PASSWORD.strip())  # spaces are part of it


def test_a_password_is_asked_for_twice_on_a_terminal(
    watchword: Watchword, pod: Pod, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, user = make_app(watchword), make_person(watchword)
    monkeypatch.setattr("service.cli.passwords.has_terminal", lambda: True)
    typed = f"{PASSWORD}\nanother one here\n{PASSWORD}\n{PASSWORD}\n"
    said = watchword("users", "set-password", user.name, stdin=typed)
    assert said.code == 0
    assert PASSWORD not in said.out + said.err
    assert "do not match" in said.err
    assert log_in(pod, app, user.name, PASSWORD)
    assert watchword("users", "set-password", user.name, stdin="").code == 1  # Ctrl-D


def test_without_a_terminal_it_must_be_said_where_the_password_comes_from(
    watchword: Watchword,
) -> None:
    for command in (["set-password", "x"], ["create", *describe("someone")]):
        said = watchword("users", *command, stdin=PASSWORD)
        assert said.code == 2
        assert said.err.endswith("no terminal to ask on: use --password-stdin or --generate\n")
        assert watchword("users", *command, "--generate", "--password-stdin").code == 2


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "Use at least 15 characters"),
        ("", "Use at least 15 characters"),
        ("Grace.Hopper.1906!!", "This is made from your name"),
        ("passwordpassword", "Many people use this password"),
        ("x" * 5000, "Use at most 256 characters."),
        (b"\xff" * 20, "Leave out the character that is broken"),
    ],
    ids=["short", "empty", "name", "common", "long", "binary"],
)
def test_a_password_is_checked_as_at_registration(
    watchword: Watchword, password: str | bytes, said: str
) -> None:
    user = make_person(watchword)
    for command in (["set-password", user.email], ["create", *describe(f"{user.name}-2")]):
        (error,) = watchword("users", *command, "--password-stdin", stdin=password).errors
        assert error.startswith(said)
    assert sum(row["username"].startswith(user.name) for row in listed(watchword).values()) == 1


def test_every_reason_against_a_user_is_named(watchword: Watchword) -> None:
    wrong = ["--email", "nobody", "--full-name", " ", "--avatar-url", "http://x", "--role", "a b"]
    errors = watchword("users", "create", "No One", *wrong, "--generate").errors
    members = ["username", "email", "full_name", "avatar_url", "roles"]
    assert [error.partition(":")[0] for error in errors] == members


def test_a_name_that_is_taken_is_refused(watchword: Watchword) -> None:
    user = make_person(watchword)
    create = ["users", "create", *describe(f"{user.name}-2"), "--generate"]
    assert watchword(*create, "--email", user.email.upper()).errors == ["that email is taken"]
    again = ["users", "create", *describe(user.name), "--generate"]
    assert watchword(*again, "--email", "x@example.com").errors == ["that username is taken"]


def test_the_list_has_every_user_by_name(watchword: Watchword) -> None:
    user = make_person(watchword, "--avatar-url", "https://x.example/a.png", "--role", "admin")
    row = listed(watchword)[user.id]
    assert row.pop("created_at").endswith("+00:00")
    assert row == {
        "id": user.id,
        "username": user.name,
        "email": user.email,
        "full_name": "Grace Hopper",
        "roles": ["admin"],
        "enabled": True,
        "avatar_url": "https://x.example/a.png",
        "administrator": False,
        "disabled_at": None,
    }
    heading, *lines = watchword("users", "list").out.splitlines()
    assert heading.split() == ["id", "username", "email", "full_name", "roles", "enabled"]
    names = [line.split()[1] for line in lines]
    assert names == sorted(names)


def test_an_empty_list_says_so(watchword: Watchword, empty_database: str) -> None:
    watchword("migrate", DATABASE_URL=empty_database)
    said = watchword("users", "list", DATABASE_URL=empty_database)
    assert said.out == "no users; make one with 'watchword users create'\n"
    assert watchword("users", "list", "--json", DATABASE_URL=empty_database).out == ""


def test_a_disabled_user_has_nothing_at_once_and_may_begin_anew(
    watchword: Watchword, pod: Pod
) -> None:
    app, user = make_app(watchword), make_person(watchword)
    api = watchword.make_client("--serves", AUDIENCE)
    logins = [log_in(pod, app, user.name, user.password) for _ in range(2)]
    assert pod.introspect(api, logins[0].access_token) == "active"
    said = watchword("users", "disable", user.name)
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{user.name} is disabled; sessions ended: 2\n"
    assert pod.introspect(api, logins[0].access_token) == "inactive"
    assert all(is_over(pod, app, login) for login in logins)
    assert is_refused(pod, app, user.name, user.password)
    assert listed(watchword)[user.id]["enabled"] is False
    assert watchword("users", "enable", user.id).out == f"{user.name} is enabled\n"
    assert log_in(pod, app, user.email, user.password)
    assert is_over(pod, app, logins[0])


def test_another_password_ends_every_session(watchword: Watchword, pod: Pod) -> None:
    app, user = make_app(watchword), make_person(watchword)
    login = log_in(pod, app, user.name, user.password)
    said = watchword("users", "set-password", user.email.upper(), "--generate")
    shown, done = said.out.splitlines()
    assert done == f"{user.name} has another password; sessions ended: 1"
    assert is_over(pod, app, login)
    assert is_refused(pod, app, user.name, user.password)
    assert log_in(pod, app, user.name, shown.removeprefix("password  "))


def test_roles_reach_the_tokens_at_the_next_refresh(watchword: Watchword, pod: Pod) -> None:
    app, user = make_app(watchword), make_person(watchword, "--role", "clerk")
    api = watchword.make_client("--serves", AUDIENCE)
    login = log_in(pod, app, user.name, user.password)
    assert pod.introspect(api, login.access_token) == "active"
    said = watchword("users", "set-roles", user.name, "admin", "clerk", "admin")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"roles of {user.name}: admin clerk; sessions that will refresh: 1\n"
    until(lambda: pod.introspect(api, login.access_token) == "inactive")
    login = refresh(pod, app, login)
    assert login.claims["roles"] == ["admin", "clerk"]
    assert pod.introspect(api, login.access_token) == "active"
    assert watchword("users", "set-roles", user.name).out.startswith(f"roles of {user.name}: none;")
    assert "roles" not in refresh(pod, app, login).claims
    (error,) = watchword("users", "set-roles", user.name, "a b").errors
    assert error.startswith("at most 32 roles")


def test_who_administers_is_said_and_written_down(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres
) -> None:
    """ATK-105: a mark on the user, which a token needs beside that of its client."""
    user, issuer = make_person(watchword), watchword.environment["WATCHWORD_ISSUER"]
    app = f"console-{user.name[2:]}"
    made = watchword("clients", "create", app, "--first-party", "--administrator")
    assert (made.code, made.err) == (0, "")
    login = log_in(pod, app, user.name, user.password)
    assert (login.claims["aud"], login.claims["scope"]) == (f"{issuer}/admin", "watchword:admin")

    def status() -> int:
        headers = {"Authorization": f"Bearer {login.access_token}"}
        return pod.http.get("/admin/users", headers=headers).status_code

    assert status() == 403
    said = watchword("users", "set-administrator", user.name, "on")
    assert (said.code, said.out, said.err) == (0, f"{user.name} is an administrator\n", "")
    assert listed(watchword)[user.id]["administrator"] is True
    assert status() == 200
    said = watchword("users", "set-administrator", user.email, "off")
    assert (said.code, said.out, said.err) == (0, f"{user.name} administers nothing\n", "")
    assert listed(watchword)[user.id]["administrator"] is False
    assert status() == 403
    assert refresh(pod, app, login)  # no session ends
    written = "SELECT jsonb_agg(detail ORDER BY id) FROM audit_events WHERE user_id = $1"
    written += " AND event = 'administrator_changed'"
    assert json.loads(query(watchword, postgres, written, user.id)) == [
        {"on": on, "actor": "operator"} for on in (True, False)
    ]
    assert watchword("users", "set-administrator", user.name, "yes").code == 2
    assert watchword("users", "set-administrator", "nobody", "on").errors == [
        "there is no user nobody"
    ]


def test_a_deleted_user_leaves_an_id_and_nothing_personal(
    watchword: Watchword, pod: Pod, postgres: EmbeddedPostgres
) -> None:
    app, user = make_app(watchword), make_person(watchword)
    login = log_in(pod, app, user.name, user.password)
    count = "SELECT count(*) FROM audit_events WHERE user_id = $1"
    personal = f"{count} AND (address IS NOT NULL OR detail ? 'device')"
    assert query(watchword, postgres, personal, user.id) == 1
    events = query(watchword, postgres, count, user.id)
    said = watchword("users", "delete", user.name, "--yes")
    assert (said.code, said.err) == (0, "")
    assert said.out == f"{user.id} is erased; sessions ended: 1\n"
    assert is_over(pod, app, login)
    assert is_refused(pod, app, user.name, user.password)
    row = query(watchword, postgres, "SELECT to_jsonb(users) FROM users WHERE id = $1", user.id)
    kept = {name for name, value in json.loads(row).items() if value not in (None, [], False)}
    assert kept == {"id", "credential_version", "created_at", "disabled_at", "deleted_at"}
    device = "SELECT count(*) FROM sessions WHERE user_id = $1 AND device IS NOT NULL"
    assert query(watchword, postgres, device, user.id) == 0
    assert query(watchword, postgres, personal, user.id) == 0
    assert query(watchword, postgres, count, user.id) == events + 2  # the deletion, the token after
    assert user.id not in listed(watchword)
    for name in (user.name, user.id):
        assert watchword("users", "delete", name, "--yes").errors == [f"there is no user {name}"]
    again = watchword("users", "create", *describe(user.name), "--generate")
    assert again.out.split()[1] != user.id


def test_deleting_asks_first(watchword: Watchword, monkeypatch: pytest.MonkeyPatch) -> None:
    user = make_person(watchword)
    assert watchword("users", "delete", user.name, stdin="y\n").code == 2  # nobody to ask
    monkeypatch.setattr("service.cli.users.has_terminal", lambda: True)
    said = watchword("users", "delete", user.name, stdin="n\n")
    assert (said.code, said.out) == (1, "")
    assert f"Erase {user.name} for good?" in said.err
    assert user.id in listed(watchword)
    assert watchword("users", "delete", user.name, stdin="y\n").code == 0
    assert user.id not in listed(watchword)


COMMANDS = (
    ["disable"],
    ["enable"],
    ["set-password", "--generate"],
    ["set-roles"],
    ["delete", "--yes"],
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_a_user_that_is_not_there_is_an_error(watchword: Watchword, command: list[str]) -> None:
    for name in ("nobody", "nobody@example.com", "018f4e5a-7c1b-7d2e-8f3a-4b5c6d7e8f90"):
        assert watchword("users", *command, name).errors == [f"there is no user {name}"]


@pytest.mark.parametrize("name", ["", "\x1b[31m", "\udcff", "x" * 5000])
def test_what_can_be_no_name_is_a_usage_error(watchword: Watchword, name: str) -> None:
    for command in COMMANDS:
        said = watchword("users", *command, name)
        assert said.code == 2
        assert said.err.endswith("name a user by username, e-mail address or user id\n")
        assert "\x1b" not in said.err
