"""POST /api/register: the rules for passwords are PW-1 to PW-3."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from service.app import App
from tests.http.accounts import (
    PASSWORD,
    Accounts,
    Device,
    assert_refused,
    open_accounts,
)
from tests.sessions import execute, fetch, make_public


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


def person(**members: Any) -> dict[str, Any]:
    """Somebody who is not here yet; None leaves a member out."""
    name = f"ben-{secrets.token_hex(6)}"
    known = {
        "username": name,
        "email": f"{name}@example.com",
        "full_name": "Ben Åkesson",
        "password": PASSWORD,
    }
    return {key: value for key, value in {**known, **members}.items() if value is not None}


async def test_who_registers_is_told_of_themselves_and_gets_no_token(accounts: Accounts) -> None:
    """201; a login follows, or none."""
    sent = person(avatar_url="https://pictures.example/ben.png?size=64")
    answer = await accounts.browser().post("register", sent)
    assert answer.status_code == 201
    shown = answer.json()
    assert UUID(shown.pop("id")).version == 7
    assert shown.pop("created_at").endswith("Z")
    del sent["password"]
    assert shown == {**sent, "roles": []}
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert not {"set-cookie", "location", "www-authenticate"} & set(answer.headers)
    assert (await accounts.browser().login(sent["username"])).status_code == 200


async def test_the_picture_may_be_left_out_and_a_phone_may_register(accounts: Accounts) -> None:
    """No token is handed out, so no delivery is asked for."""
    sent = person(client_id=accounts.native.id)
    answer = await accounts.phone().post("register", sent)
    assert (answer.status_code, answer.json()["avatar_url"]) == (201, None)
    answer = await accounts.phone().post("register", person(avatar_url=None, device=None))
    assert answer.status_code == 201


BAD_MEMBERS = {
    "username": [None, "", "ab", "a" * 33, "Anna", "an na", "an@na", "änna", "anna\n", 5, ["anna"]],
    "email": [
        *(None, "", "anna", "@example.com", "anna@", "anna@example", "a@b@example.com", "a b@c.de"),
        *(".a@example.com", "a.@example.com", "a..b@example.com", "anna@-.", "anna@example.com\n"),
        *("a" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "ä@example.com", 5, {"a": 1}),
    ],
    "full_name": [
        None,
        "",
        " Ben",
        "Ben ",
        "B\u202een",
        "B\ten",
        "B\x7fen",
        "B\u200ben",
        "x" * 201,
    ],
    "avatar_url": [
        *("", "http://a.example/x", "javascript:alert(1)", "data:image/png;base64,", "//a.example"),
        *(
            "https://",
            "https:///x",
            "https://u@a.example/",
            "https://a.example/ x",
            "https://ä.example",
        ),
        *('https://a.example/"x', "https://a.example:99999/", "https://a.example/\n", 5, []),
        "https://a.example/" + "x" * 2000,
    ],
    "password": [
        None,
        "",
        "fourteen signs",
        5,
        True,
        {},
        "x" * 257,
        "a tab\tin many words",
        "\ud83d",
    ],
}


@pytest.mark.parametrize("member", BAD_MEMBERS)
async def test_what_is_wrong_is_said_by_its_member(accounts: Accounts, member: str) -> None:
    """ATK-99, PW-1, PW-2: 400, and nothing is hashed."""
    hashed = accounts.hasher.hashed
    for value in BAD_MEMBERS[member]:
        body = person(**{member: value})
        raw = None
        if value == "\ud83d":
            raw = str(person(**{member: "?"})).replace("'", '"').replace("?", "\\ud83d").encode()
        answer = await accounts.browser().post("register", body, content=raw)
        assert_refused(answer, "invalid_request", fields={member})
    assert accounts.hasher.hashed == hashed


async def test_every_fault_is_named_at_once(accounts: Accounts) -> None:
    answer = await accounts.browser().post("register", {"avatar_url": 1, "age": 7})
    faults = {"username", "email", "full_name", "password", "avatar_url", "age"}
    assert_refused(answer, "invalid_request", fields=faults)
    assert answer.json()["fields"]["username"] == "is missing"


@pytest.mark.parametrize(
    "member", ["roles", "id", "disabled_at", "password_hash", "credential_version", "is_admin"]
)
async def test_nobody_gives_themselves_roles(accounts: Accounts, member: str) -> None:
    """Mass assignment: a member that nobody asked for is refused, and nobody is made."""
    sent = person(**{member: ["admin"]})
    assert_refused(
        await accounts.browser().post("register", sent), "invalid_request", fields={member}
    )
    query = "SELECT count(*) FROM users WHERE username = $1"
    assert await fetch(accounts.app, query, sent["username"]) == 0


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "Password Password",
        "qwertyuiopasdfgh",
        "aaaaaaaaaaaaaaaa",
        "123456789012345678",
        "watchword-2026-!!",
    ],
)
async def test_a_password_that_is_tried_first_is_refused(accounts: Accounts, password: str) -> None:
    """PW-3: by a sentence that says why."""
    answer = await accounts.browser().post("register", person(password=password))
    assert_refused(answer, "invalid_request", fields={"password"})
    assert len(answer.json()["fields"]["password"].split()) > 5


async def test_a_password_made_of_ones_own_name_is_refused(accounts: Accounts) -> None:
    """PW-3: username, e-mail address and full name, and what is made of them."""
    name = f"quentinella{secrets.token_hex(4)}"
    for password in (f"{name}!!1", f"{name[::-1]}", name * 2, f"{name.upper()}"):
        answer = await accounts.browser().post("register", person(username=name, password=password))
        assert_refused(answer, "invalid_request", fields={"password"})
    sent = person(full_name="Maximiliane Sonnenschein", password="maximilianesonnenschein7")
    answer = await accounts.browser().post("register", sent)
    assert_refused(answer, "invalid_request", fields={"password"})


@pytest.mark.parametrize(
    "password",
    [
        "fifteen signs !",
        "🦊🐢🦉🐙🐳🦔🐝🦋" * 8,
        " ends with a space ",
        "ﬂowers in my oﬃce",
        "x7" + "ö9k" * 84,
    ],
    ids=["15", "64 emoji", "spaces", "ligatures", "254"],
)
async def test_any_long_text_is_a_password(accounts: Accounts, password: str) -> None:
    """PW-1, PW-2, ATK-77: spaces are kept at the ends, nothing is cut off."""
    sent = person(password=password)
    answer = await accounts.browser().post("register", sent)
    assert answer.status_code == 201, answer.text
    browser = accounts.browser()
    assert (await browser.login(sent["username"], password)).status_code == 200
    for other in (password[:-1], password.strip() + "\N{NO-BREAK SPACE}."):
        assert (await accounts.browser().login(sent["username"], other)).status_code == 401


async def test_a_password_grows_by_nfkc_before_it_is_measured(accounts: Accounts) -> None:
    """PW-2: U+FDFA becomes 18 characters, so that 15 of them are 270."""
    sent = person(password="\ufdfa" * 15)
    assert_refused(
        await accounts.browser().post("register", sent), "invalid_request", fields={"password"}
    )


async def test_a_name_or_address_is_taken_once_whatever_its_case(accounts: Accounts) -> None:
    """409, by member."""
    sent = person()
    assert (await accounts.browser().post("register", sent)).status_code == 201
    again = person(username=sent["username"])
    answer = await accounts.browser().post("register", again)
    assert_refused(answer, "username_taken", 409, fields={"username"})
    for email in (sent["email"], sent["email"].upper(), sent["email"].title()):
        answer = await accounts.browser().post("register", person(email=email))
        assert_refused(answer, "email_taken", 409, fields={"email"})
    answer = await accounts.browser().post("register", person())
    assert answer.status_code == 201
    # A name from before the rule that has capitals, by another hand.
    query = "UPDATE users SET username = upper(username) WHERE username = $1"
    await execute(accounts.app, query, sent["username"])
    answer = await accounts.browser().post("register", again)
    assert_refused(answer, "username_taken", 409, fields={"username"})


async def test_of_many_who_register_one_name_at_once_one_gets_it(accounts: Accounts) -> None:
    name = person()["username"]
    sent = [person(username=name) for _ in range(8)]
    answers = await asyncio.gather(*(accounts.browser().post("register", one) for one in sent))
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409, 503}  # 503: it waited too long for the winner
    assert {a.json()["error"] for a in answers if a.status_code == 409} <= {"username_taken"}


async def test_where_registration_is_closed_nobody_registers(accounts: Accounts) -> None:
    async with open_accounts(accounts.app, registration="closed") as closed:
        answer = await closed.browser().post("register", person())
        assert_refused(answer, "access_denied", 403)
        assert closed.hasher.hashed == 0
        for refused in ({}, {"roles": []}):  # whatever else is wrong
            assert_refused(await closed.browser().post("register", refused), "access_denied", 403)


async def test_an_address_registers_so_many_an_hour(accounts: Accounts) -> None:
    """The 409s tell who has an account, so they are limited; before any hash."""
    async with open_accounts(accounts.app, registrations_per_address=3) as limited:
        browser, sent = limited.browser(), person()
        assert_refused(await browser.post("register", {}), "invalid_request", fields={
            "username", "email", "full_name", "password",
        })  # fmt: skip
        statuses = [(await browser.post("register", sent)).status_code for _ in range(3)]
        assert (statuses, limited.hasher.hashed) == ([201, 409, 409], 3)
        answer = await browser.post("register", person())
        assert_refused(answer, "temporarily_unavailable", 429)
        assert limited.hasher.hashed == 3
        assert (await limited.browser().post("register", person())).status_code == 201


async def test_only_an_app_of_ours_registers_people(accounts: Accounts) -> None:
    """LOGIN-6: never a third party's; nor where none is named and none is set."""
    third = await make_public(accounts.app)
    for client_id in (third.id, "nobody-here", "x", "'", accounts.web.id.upper()):
        answer = await accounts.browser().post("register", person(client_id=client_id))
        assert_refused(answer, "invalid_client")
    async with open_accounts(accounts.app) as opened:
        foreign: Device = opened.browser()
        foreign.origin = "https://evil.example"
        assert_refused(await foreign.post("register", person()), "access_denied", 403)
