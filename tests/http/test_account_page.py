"""The account page: who sees it, the profile, and the names to sign in with. AUTHZ-16, LOGIN-4."""

from collections.abc import AsyncIterator

import pytest

from service.app import App
from service.http.page_endpoints import PAGE_ACTIONS
from tests.http.account_pages import Visitor, fault_of, faults_of, value_of, visit
from tests.http.accounts import PASSWORD, Accounts, open_accounts
from tests.http.browsing import hidden, open_browser
from tests.sessions import fetch

FORMS = ("profile", "names", "password", "sessions", "consents")
FIELDS: dict[str, dict[str, str]] = {
    "profile": {"full_name": "Mallory"},
    "names": {
        "username": "mallory",
        "email": "mallory@example.com",
        "current_password": PASSWORD,
    },
    "password": {"current_password": PASSWORD, "new_password": "three herons on a wet meadow"},
    "sessions": {"session": "all"},
    "consents": {"client": "any"},
}


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app, limits={"per_account_and_address": 4}) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


async def test_the_page_shows_who_one_is(anna: Visitor) -> None:
    """AUTHZ-16: and is nobody's to keep, to frame, or to run a script in."""
    page = await anna.page()
    assert page.status_code == 200
    assert value_of(page, "profile-full_name") == "Anna Ek"
    assert value_of(page, "names-username") == anna.username
    assert value_of(page, "names-email") == f"{anna.username}@example.com"
    assert PASSWORD not in page.text
    assert faults_of(page) == set()
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["x-frame-options"] == "DENY"
    policy = page.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self'" in policy
    assert "script-src" not in policy


async def test_who_is_not_signed_on_is_asked_to_sign_in(accounts: Accounts) -> None:
    browser = open_browser(accounts.app)
    answer = await browser.get("/account")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    csrf = hidden(await browser.get("/login"))["csrf"]
    for form, fields in FIELDS.items():
        answer = await browser.post(f"/account/{form}", csrf=csrf, **fields)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_is_taken_from_the_page_alone(
    accounts: Accounts, anna: Visitor, form: str
) -> None:
    """LOGIN-4, ATK-76: no token, another's token, another site, another browser."""
    page, other = await anna.page(), await visit(accounts)
    csrf, path, fields = hidden(page)["csrf"], f"/account/{form}", FIELDS[form]
    theirs = hidden(await other.page())["csrf"]
    for sent in (fields, {**fields, "csrf": ""}, {**fields, "csrf": theirs}):
        answer = await anna.browser.post(path, **sent)
        assert answer.status_code == 403
        assert "out of date" in answer.text
    sent = {**fields, "csrf": csrf}
    assert (await other.browser.post(path, **sent)).status_code == 403
    cookie = "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())
    for origin in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {},
        {"origin": anna.browser.origin, "sec-fetch-site": "cross-site"},
        {"origin": anna.browser.origin, "sec-fetch-site": "same-site"},
    ):
        headers = {"cookie": cookie, **origin}
        answer = await anna.browser.http.post(path, data=sent, headers=headers)
        assert answer.status_code == 403
    assert (await anna.browser.get(path)).status_code == 405
    assert (await anna.page()).text == page.text.replace(csrf, hidden(await anna.page())["csrf"])


async def test_a_session_cookie_beside_another_is_nobodys(anna: Visitor) -> None:
    """ATK-75: a cookie tossed by a sibling domain."""
    cookies = anna.browser.cookies
    double = [f"__Host-watchword_session={cookies['__Host-watchword_session']}"] * 2
    answer = await anna.browser.http.get("/account", headers={"cookie": "; ".join(double)})
    assert answer.status_code == 303


async def test_the_profile_is_saved(anna: Visitor) -> None:
    answer = await anna.send("profile", full_name="Änna <b>Ek</b>")
    assert answer.headers["location"] == "/account?done=profile_saved"
    page = await anna.browser.follow(answer)
    assert "Your profile is saved." in page.text
    assert value_of(page, "profile-full_name") == "Änna <b>Ek</b>"
    assert "<b>Ek" not in page.text


@pytest.mark.parametrize(
    ("typed", "fault"),
    [
        ("", "Full name is missing."),
        (" Anna", "Full name: use 1 to 200 characters, without spaces around them."),
        ("a" * 201, "Full name: use 1 to 200 characters, without spaces around them."),
        ("An\u202ena", "Full name: use 1 to 200 characters, without spaces around them."),
    ],
)
async def test_a_name_that_is_none_is_shown_at_its_field(
    anna: Visitor, typed: str, fault: str
) -> None:
    page = await anna.send("profile", full_name=typed)
    assert page.status_code == 400
    assert fault_of(page, "profile-full_name") == fault
    assert faults_of(page) == {"profile-full_name"}
    kept = typed.replace("\u202e", "")
    assert value_of(page, "profile-full_name") == kept
    assert value_of(await anna.page(), "profile-full_name") == "Anna Ek"


async def test_the_names_are_saved_with_the_password(accounts: Accounts, anna: Visitor) -> None:
    """ATK-76: and sign in from then on."""
    new = f"new-{anna.username}"[:32]
    fields = {"username": new, "email": f"{new}@example.com"}
    answer = await anna.send("names", **fields, current_password=PASSWORD)
    assert answer.headers["location"] == "/account?done=names_saved"
    assert value_of(await anna.page(), "names-username") == new
    renamed = Visitor(accounts.app, anna.browser, new)
    assert await (await visit(accounts, renamed)).is_signed_on()


async def test_each_fault_of_the_names_is_at_its_field(anna: Visitor) -> None:
    page = await anna.send("names", username="No Name", email="nowhere", current_password=PASSWORD)
    assert page.status_code == 400
    assert faults_of(page) == {"names-username", "names-email"}
    assert "3 to 32" in (fault_of(page, "names-username") or "")
    assert "such as" in (fault_of(page, "names-email") or "")
    assert value_of(page, "names-username") == "No Name"
    assert value_of(page, "names-email") == "nowhere"
    page = await anna.send("names", username="", email="", current_password="")
    assert faults_of(page) == {"names-username", "names-email", "names-current_password"}
    assert (value_of(page, "names-username"), value_of(page, "names-email")) == ("", "")
    assert fault_of(page, "names-current_password") == "Current password is missing."


@pytest.mark.parametrize("password", ["wrong words of mine", "a\x01b", "x" * 300])
async def test_a_wrong_password_is_shown_at_its_field(anna: Visitor, password: str) -> None:
    """ATK-76: what no password can be is as wrong as any other."""
    fields = {"username": anna.username, "email": "other@example.com"}
    page = await anna.send("names", **fields, current_password=password)
    assert page.status_code == 400
    assert faults_of(page) == {"names-current_password"}
    assert fault_of(page, "names-current_password") == "Current password is wrong."
    assert value_of(page, "names-email") == "other@example.com"
    assert password not in page.text
    assert value_of(await anna.page(), "names-email") == f"{anna.username}@example.com"


@pytest.mark.parametrize("member", ["username", "email"])
async def test_a_taken_name_is_shown_at_its_field(
    accounts: Accounts, anna: Visitor, member: str
) -> None:
    """LOGIN-10: and to who proved the password alone."""
    other = await accounts.user()
    fields = {"username": anna.username, "email": f"{anna.username}@example.com"}
    taken = {**fields, member: getattr(other, member)}
    page = await anna.send("names", **taken, current_password=PASSWORD)
    assert page.status_code == 400
    assert faults_of(page) == {f"names-{member}"}
    assert "is taken" in (fault_of(page, f"names-{member}") or "")
    assert value_of(page, f"names-{member}") == taken[member]
    page = await anna.send("names", **taken, current_password="wrong words of mine")
    assert faults_of(page) == {"names-current_password"}


async def test_attempts_at_names_are_limited(app: App) -> None:
    """LOGIN-10: a page that says what is taken must not be asked for ever."""
    async with open_accounts(app, registrations_per_address=2) as accounts:
        anna, other = await visit(accounts), await accounts.user()
        fields = {"username": other.username or "", "email": f"{anna.username}@example.com"}
        for _ in range(2):
            page = await anna.send("names", **fields, current_password=PASSWORD)
            assert faults_of(page) == {"names-username"}
        page = await anna.send("names", **fields, current_password=PASSWORD)
        assert (page.status_code, page.headers["retry-after"].isdigit()) == (429, True)
        assert "That was too often" in page.text


async def test_guesses_at_the_password_are_limited(anna: Visitor) -> None:
    """ATK-76, RATE-3: by names and password forms together, and then the right one is no way in."""
    names = {"username": anna.username, "email": f"{anna.username}@example.com"}
    for form, fields in (("names", names), ("password", {"new_password": "four kites at sea"})) * 2:
        page = await anna.send(form, **fields, current_password="wrong words of mine")
        assert page.status_code == 400
    for form, fields in (("names", names), ("password", {"new_password": "four kites at sea"})):
        page = await anna.send(form, **fields, current_password=PASSWORD)
        assert page.status_code == 429
        assert int(page.headers["retry-after"]) > 0
    assert await anna.is_signed_on()


async def test_deeds_are_written_down_as_the_users(anna: Visitor, accounts: Accounts) -> None:
    await anna.send("profile", full_name="Anna Ekström")
    query = """
        SELECT detail->>'actor' = 'user:' || user_id FROM audit_events
        JOIN users ON users.id = user_id
        WHERE username = $1 AND event = 'profile_changed'
    """
    assert await fetch(accounts.app, query, anna.username) is True


async def test_a_notice_is_one_of_ours(anna: Visitor) -> None:
    """ATK-74: the address chooses among our sentences, and adds none."""
    page = await anna.browser.get("/account", done="<script>alert(1)</script>")
    assert page.status_code == 200
    assert "alert(1)" not in page.text
    assert 'role="status"' not in page.text


async def test_what_is_sent_twice_is_refused(anna: Visitor) -> None:
    csrf = hidden(await anna.page())["csrf"]
    cookie = "; ".join(f"{name}={it}" for name, it in anna.browser.cookies.items())
    answer = await anna.browser.http.post(
        "/account/profile",
        content=f"csrf={csrf}&full_name=A&full_name=B",
        headers={
            "cookie": cookie,
            "origin": anna.browser.origin,
            "content-type": "application/x-www-form-urlencoded",
        },
    )
    assert answer.status_code == 400
    assert value_of(await anna.page(), "profile-full_name") == "Anna Ek"


def test_every_form_of_the_page_is_tried() -> None:
    assert {f"/account/{form}" for form in FORMS} | {"/account"} == {
        path for path in PAGE_ACTIONS if path.startswith("/account")
    }
