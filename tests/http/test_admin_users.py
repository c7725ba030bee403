"""/admin/users: what an administrator does to a user is seen where the user logs in."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from service.app import App
from service.oauth.user import User
from tests.http.accounts import OTHER_PASSWORD, PASSWORD, Accounts, Device, open_accounts
from tests.http.administrators import (
    UNKNOWN_ID,
    Administrator,
    assert_admin_refusal,
    make_administrator,
)
from tests.sessions import fetch

SHOWN = {
    *("id", "username", "email", "full_name", "avatar_url", "roles", "created_at"),
    *("administrator", "disabled_at"),
}


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    limits = {"per_account_and_address": 10**6, "per_address": 10**6}
    async with open_accounts(app, limits=limits) as opened:
        yield opened


@pytest.fixture(scope="module")
async def administrator(accounts: Accounts) -> Administrator:
    return await make_administrator(accounts.app, accounts.http)


@pytest.fixture
async def anna(accounts: Accounts) -> User:
    return await accounts.user()


@pytest.fixture
async def phone(accounts: Accounts, anna: User) -> Device:
    """Where Anna is logged in."""
    phone = accounts.phone()
    assert (await phone.login(anna.username)).status_code == 200
    return phone


def describe(**members: Any) -> dict[str, Any]:
    """A new user's members."""
    name = f"u-{uuid4().hex[:12]}"
    known = {"username": name, "email": f"{name}@example.com", "full_name": "Grace Hopper"}
    return {**known, "password": PASSWORD, **members}


async def events(administrator: Administrator, user_id: object) -> list[tuple[str, str]]:
    """The audit events about a user by whom this administrator is, the oldest first."""
    found = (await administrator.get("audit", user_id=str(user_id))).json()["events"]
    return [
        (it["event"], it["request_id"])
        for it in reversed(found)
        if it["detail"].get("actor") == administrator.actor
    ]


async def test_a_new_user_logs_in(accounts: Accounts, administrator: Administrator) -> None:
    members = describe(roles=["a", "b", "a"], avatar_url="https://x.example/a.png")
    answer = await administrator.ask("POST", "users", members)
    assert answer.status_code == 201
    made = answer.json()
    assert made.keys() == SHOWN
    assert (made["roles"], made["administrator"], made["disabled_at"]) == (["a", "b"], False, None)
    assert (await administrator.get(f"users/{made['id']}")).json() == made
    assert (await accounts.phone().login(members["username"])).status_code == 200
    assert [it for it, _ in await events(administrator, made["id"])] == ["user_created"]
    assert PASSWORD not in answer.text
    administers = await administrator.ask("POST", "users", describe(administrator=True))
    assert administers.json()["administrator"] is True


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"username": "A B"}, {"username"}),
        ({"username": None}, {"username"}),
        ({"email": "x"}, {"email"}),
        ({"full_name": ""}, {"full_name"}),
        ({"avatar_url": "javascript:alert(1)"}, {"avatar_url"}),
        ({"roles": "admin"}, {"roles"}),
        ({"roles": ["a b"]}, {"roles"}),
        ({"roles": ["\0"]}, {"roles"}),
        ({"roles": [f"r{n}" for n in range(33)]}, {"roles"}),
        ({"administrator": "on"}, {"administrator"}),
        ({"password": "short"}, {"password"}),
        ({"password": "password1234"}, {"password"}),
        ({"password": None}, {"password"}),
        ({"password_hash": "x"}, {"password_hash"}),
        ({"id": UNKNOWN_ID}, {"id"}),
        ({"disabled_at": None}, {"disabled_at"}),
        ({"username": "A", "email": "B", "roles": 1}, {"username", "email", "roles"}),
    ],
)
async def test_what_no_user_can_be_is_refused_by_its_member(
    accounts: Accounts,
    administrator: Administrator,
    anna: User,
    changes: dict[str, Any],
    fields: set[str],
) -> None:
    """ATK-97, ATK-99, PW-3: 400, for a new user and for one that is there; nothing is hashed."""
    before = accounts.hasher.hashed
    answer = await administrator.ask("POST", "users", describe(**changes))
    assert_admin_refusal(answer, "invalid_request", 400, fields=fields)
    assert accounts.hasher.hashed == before
    answer = await administrator.ask("PATCH", f"users/{anna.id}", changes)
    assert_admin_refusal(answer, "invalid_request", 400, fields=fields)
    assert await events(administrator, anna.id) == []


async def test_names_are_taken_once(administrator: Administrator, anna: User) -> None:
    """Whatever their case."""
    other = (await administrator.ask("POST", "users", describe())).json()["id"]
    for member, value in (("username", anna.username), ("email", str(anna.email).upper())):
        answer = await administrator.ask("POST", "users", describe(**{member: value}))
        assert_admin_refusal(answer, f"{member}_taken", 409, fields={member})
        answer = await administrator.ask("PATCH", f"users/{other}", {member: value})
        assert_admin_refusal(answer, f"{member}_taken", 409, fields={member})


async def test_a_change_changes_what_it_names(
    administrator: Administrator, anna: User, phone: Device
) -> None:
    """DIST-7: what tokens say has changed, so they are refreshed; nobody is logged out."""
    before = (await administrator.get(f"users/{anna.id}")).json()
    changes = {"full_name": "Anna E.", "avatar_url": "https://x.example/b.png"}
    answer = await administrator.ask("PATCH", f"users/{anna.id}", changes)
    assert (answer.status_code, answer.json()) == (200, before | changes)
    assert (await phone.me()).json()["full_name"] == "Anna E."
    roles = {"roles": ["clerk"], "avatar_url": None}
    answer = await administrator.ask("PATCH", f"users/{anna.id}", roles)
    assert answer.json() == before | changes | roles
    assert (await phone.me()).status_code == 401
    assert (await phone.refresh()).status_code == 200
    assert (await phone.me()).json()["roles"] == ["clerk"]
    email = {"email": f"{uuid4().hex}@example.com"}
    await administrator.ask("PATCH", f"users/{anna.id}", email)
    assert (await phone.me()).status_code == 401
    written = [it for it, _ in await events(administrator, anna.id)]
    assert written == ["profile_changed", "roles_changed", "profile_changed", "profile_changed"]
    answer = await administrator.ask("PATCH", f"users/{anna.id}", {})
    assert answer.json() == before | changes | roles | email
    assert len(await events(administrator, anna.id)) == len(written)


async def test_who_administers_is_changed_and_written_down(
    administrator: Administrator, anna: User, phone: Device
) -> None:
    """ATK-105: no session ends for it."""
    for on in (True, False):
        answer = await administrator.ask("PATCH", f"users/{anna.id}", {"administrator": on})
        assert answer.json()["administrator"] is on
        assert (await phone.me()).status_code == 200
    query = "SELECT array_agg(detail -> 'on' ORDER BY id) FROM audit_events WHERE user_id = $1"
    query += " AND event = 'administrator_changed'"
    assert await fetch(administrator.app, query, anna.id) == [True, False]


@pytest.mark.parametrize("verb", ["disable", "revoke"])
async def test_a_users_sessions_end_everywhere(
    accounts: Accounts, administrator: Administrator, anna: User, phone: Device, verb: str
) -> None:
    """DIST-10: the access token too, and verifiers hear of it."""
    answer = await administrator.post(f"users/{anna.id}/{verb}")
    assert answer.status_code == 200
    assert (await phone.me()).status_code == 401
    assert (await phone.refresh()).status_code == 400
    (session,) = (await administrator.get("sessions", user_id=str(anna.id))).json()["sessions"]
    facts = (await administrator.get("revocations", subject=session["id"])).json()["revocations"]
    reason = "user_disabled" if verb == "disable" else "revoked_by_administrator"
    assert [(it["kind"], it["reason"], it["actor"]) for it in facts] == [
        ("sid", reason, administrator.actor)
    ]
    status = (await phone.login(anna.username)).status_code
    if verb == "revoke":
        assert (answer.json(), status) == ({"sessions_ended": 1}, 200)
        return
    assert (answer.json()["disabled_at"] is not None, status) == (True, 401)
    answer = await administrator.post(f"users/{anna.id}/enable")
    assert answer.json()["disabled_at"] is None
    assert (await phone.login(anna.username)).status_code == 200


async def test_a_disabled_user_is_shown_and_changed(
    administrator: Administrator, anna: User
) -> None:
    await administrator.post(f"users/{anna.id}/disable")
    answer = await administrator.ask("PATCH", f"users/{anna.id}", {"full_name": "Anna E."})
    assert (answer.status_code, answer.json()["full_name"]) == (200, "Anna E.")


async def test_a_password_that_was_set_replaces_the_one_before(
    accounts: Accounts, administrator: Administrator, anna: User, phone: Device
) -> None:
    """PW-3: by the rules of a registration; every session ends."""
    path = f"users/{anna.id}/password"
    for password in ("short", "password1234", str(anna.username) * 2, None, 1, "x" * 5000):
        answer = await administrator.ask("PUT", path, {"password": password})
        assert_admin_refusal(answer, "invalid_request", 400, fields={"password"})
    answer = await administrator.ask("PUT", path, {"password": OTHER_PASSWORD})
    assert (answer.status_code, answer.json()) == (200, {"sessions_ended": 1})
    assert (await phone.refresh()).status_code == 400
    assert (await phone.login(anna.username)).status_code == 401
    assert (await phone.login(anna.username, OTHER_PASSWORD)).status_code == 200
    assert ("password_changed", answer.headers["x-request-id"]) in await events(
        administrator, anna.id
    )


async def test_a_deleted_user_is_gone(
    accounts: Accounts, administrator: Administrator, anna: User, phone: Device
) -> None:
    """The id stays taken, the names do not."""
    answer = await administrator.ask("DELETE", f"users/{anna.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert (await phone.me()).status_code == 401
    assert (await administrator.get("users", username=anna.username)).json()["users"] == []
    for method, verb, members in EACH_ON_ONE:
        answer = await administrator.ask(method, f"users/{anna.id}{verb}", members)
        assert_admin_refusal(answer, "not_found", 404)
    again = describe(username=anna.username, email=anna.email)
    assert (await administrator.ask("POST", "users", again)).status_code == 201


EACH_ON_ONE = [
    ("GET", "", None),
    ("PATCH", "", {"full_name": "Eve"}),
    ("DELETE", "", None),
    *(("POST", f"/{verb}", None) for verb in ("disable", "enable", "revoke")),
    ("PUT", "/password", {"password": OTHER_PASSWORD}),
]


@pytest.mark.parametrize(
    "spell",
    [UNKNOWN_ID, UNKNOWN_ID.upper(), UNKNOWN_ID.replace("-", ""), "x", "%00", "' OR 1=1--", "1"],
)
async def test_an_unknown_user_is_not_found(administrator: Administrator, spell: str) -> None:
    """ATK-105: one answer, whatever the id's form."""
    for method, verb, members in EACH_ON_ONE:
        answer = await administrator.ask(method, f"users/{spell}{verb}", members)
        assert_admin_refusal(answer, "not_found", 404)
        assert answer.json()["error_description"] == "there is no such user"


async def test_users_are_found_by_what_they_are(
    accounts: Accounts, administrator: Administrator
) -> None:
    role = f"r-{uuid4().hex[:12]}"
    made = [
        (await administrator.ask("POST", "users", describe(roles=[role, "x"]))).json()
        for _ in range(3)
    ]
    first, second, third = [it["id"] for it in made]
    await administrator.post(f"users/{second}/disable")
    await administrator.ask("PATCH", f"users/{third}", {"administrator": True})
    for filters, wanted in (
        ({"role": role}, [first, second, third]),
        ({"role": role, "disabled": "true"}, [second]),
        ({"role": role, "disabled": "false"}, [first, third]),
        ({"role": role, "administrator": "true"}, [third]),
        ({"role": role, "administrator": "false"}, [first, second]),
        ({"username": made[0]["username"].upper()}, [first]),
        ({"email": made[1]["email"].upper()}, [second]),
        ({"email": made[1]["email"], "username": made[0]["username"]}, []),
        ({"username": "%"}, []),
        ({"role": role[:-1]}, []),
    ):
        found = await administrator.walk("users", "users", **filters, limit=1)
        assert [it["id"] for it in found] == wanted, filters
