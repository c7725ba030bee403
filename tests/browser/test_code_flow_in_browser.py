"""The code flow in Debian's Chromium: a pod, a relying party at another site, and people.

The pictures stay in PAGES_PICTURES where that names a folder: look at them.
"""

import shutil
import time
from uuid import uuid4

import pytest

from tests.browser.conftest import Open, Tab
from tests.browser.live import PASSWORD, Live
from tests.browser.relying_party import Login, RelyingParty

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
    pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"]),
]

NEW_PASSWORD = "seven quiet herons wade"


def new_name() -> str:
    return f"u{uuid4().hex[:12]}"


def log_in(tab: Tab, party: RelyingParty, name: str) -> Login:
    """Sign in at the client's request and allow it."""
    tab.page.goto(party.start())
    tab.sign_in(name)
    tab.press("Allow")
    tab.page.wait_for_url("**/welcome")
    return party.logins[-1]


def test_from_registration_to_signing_out_everywhere(
    scripts: bool, open_tab: Open, party: RelyingParty
) -> None:
    """AUTHZ-16, AUTHZ-17, LOGIN-3."""
    tab, name = open_tab(scripts=scripts), new_name()
    tab.page.goto(party.start())
    tab.is_at("Sign in")
    tab.look("1-sign-in")
    tab.page.get_by_role("link", name="Create an account").click()
    tab.look("2-register")
    tab.register(name)
    tab.is_at("Allow access")
    tab.look("3-consent")
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    (login,) = party.logins
    assert (login.about["preferred_username"], login.about["email"]) == (
        name,
        f"{name}@example.com",
    )
    assert set(login.tokens["scope"].split()) >= {"openid", "offline_access", "orders:read"}
    refreshed = party.refresh(login)
    assert refreshed.status_code == 200, refreshed.text
    login = Login({**login.tokens, **refreshed.json()}, login.claims, login.about)
    tab.page.goto(f"{party.issuer}/account")
    tab.look("4-account")
    sessions = tab.page.locator("form[action$='/account/sessions'] > ul > li")
    assert [it.locator(".hint").inner_text().partition(" · ")[0] for it in sessions.all()] == [
        "Watchword",
        "Notebook",
    ]
    change_password(tab)
    assert party.is_dead(login)
    tab.page.goto(party.start())  # the sign-on goes on; an address on the device is always asked
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    assert not party.is_dead(party.logins[-1])
    sign_out_everywhere(tab, party, party.logins[-1])


def change_password(tab: Tab) -> None:
    within = "form[action$='/account/password']"
    tab.field("Current password", within).fill(PASSWORD)
    tab.field("New password", within).fill(NEW_PASSWORD)
    tab.press("Change password")
    assert tab.page.get_by_role("status").inner_text().startswith("Your password is changed.")
    tab.look("5-password-changed")


def sign_out_everywhere(tab: Tab, party: RelyingParty, login: Login) -> None:
    tab.page.goto(f"{party.issuer}/account")
    tab.press("Sign out everywhere")
    tab.is_at("Signed out")
    tab.look("6-signed-out")
    assert party.is_dead(login)
    tab.page.goto(party.start(prompt="none"))
    assert party.answers[-1][1]["error"] == "login_required"
    tab.page.goto(f"{party.issuer}/account")
    tab.is_at("Sign in")


def test_the_client_signs_its_user_out(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """RPL-1."""
    tab, name = open_tab(scripts=scripts), live.make_user()
    login = log_in(tab, party, name)
    tab.page.goto(party.end_session(post_logout_redirect_uri=f"{party.url}/bye", state="ö +&"))
    tab.is_at("Sign out")  # nothing proves whose wish it is
    tab.look("1-asked")
    tab.press("Cancel")
    tab.is_at("Your account")
    hint = login.tokens["id_token"]
    tab.page.goto(
        party.end_session(
            id_token_hint=hint, post_logout_redirect_uri=f"{party.url}/bye", state="ö +&"
        )
    )
    assert tab.page.url == f"{party.url}/bye?state=%C3%B6+%2B%26"
    tab.page.goto(party.start(prompt="none"))
    assert party.answers[-1][1]["error"] == "login_required"
    tab.page.goto(party.end_session())
    tab.is_at("Signed out")


def test_a_user_who_does_not_allow_it(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-8, AUTHZ-18."""
    tab = open_tab(scripts=scripts)
    tab.page.goto(party.start())
    tab.sign_in(live.make_user())
    tab.press("Cancel")
    tab.page.wait_for_url(f"{party.url}/refused?error=access_denied")
    assert party.logins == []
    tab.page.go_back()
    tab.is_at("This sign-in is over")
    tab.look("1-over")
    tab.expected.append(400)


def test_the_answer_comes_as_a_form(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-15."""
    tab = open_tab(scripts=scripts)
    tab.page.goto(party.start(response_mode="form_post"))
    tab.sign_in(live.make_user())
    tab.press("Allow")
    if not scripts:
        tab.is_at("One moment")
        tab.look("1-form-post")
        tab.press("Continue")
    tab.page.wait_for_url(f"{party.url}/welcome")
    silent = party.start(response_mode="form_post", prompt="none", scope="openid")
    tab.page.goto(silent, wait_until="commit")  # the form goes before all is loaded
    if not scripts:
        tab.press("Continue")
    tab.page.wait_for_url(f"{party.url}/**")
    assert [method for method, _ in party.answers] == ["POST", "POST"]
    assert party.answers[0][1].keys() == {"code", "state", "iss"}
    assert party.answers[1][1]["error"] == "consent_required"


def test_going_back_after_a_code_gives_no_other(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-18."""
    tab = open_tab(scripts=scripts)
    log_in(tab, party, live.make_user())
    for _ in range(2):  # to the consent page, and to that of the password
        tab.page.go_back()
        tab.is_at("This sign-in is over")
        tab.expected.append(400)
    assert len(party.answers) == 1


def test_the_client_wants_the_password_once_more(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-10, LOGIN-2."""
    tab, name = open_tab(scripts=scripts), live.make_user()
    first = log_in(tab, party, name)
    tab.page.goto(party.start(prompt="login"))
    tab.is_at("Confirm that it's you")
    tab.look("1-again")
    tab.field("Password").fill("not this one, certainly")
    tab.press("Confirm")
    assert tab.page.get_by_role("alert").inner_text() == "Wrong password."
    tab.expected.append(401)
    tab.look("2-wrong")
    time.sleep(max(0, first.claims["auth_time"] + 1.05 - time.time()))  # auth_time is in seconds
    tab.field("Password").fill(PASSWORD)
    tab.press("Confirm")
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    second = party.logins[-1]
    assert second.claims["sub"] == first.claims["sub"]
    assert second.claims["auth_time"] > first.claims["auth_time"]


def test_somebody_else_at_the_same_browser(
    scripts: bool, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """LOGIN-2, AUTHZ-17."""
    tab, names = open_tab(scripts=scripts), [live.make_user(), live.make_user(), live.make_user()]
    first = log_in(tab, party, names[0])
    tab.page.goto(party.start())
    tab.is_at("Allow access")
    assert names[0] in tab.page.locator("main").inner_text()
    tab.press("Not you?")
    tab.is_at("Sign in")
    tab.look("1-somebody-else")
    tab.sign_in(names[1])
    tab.is_at("Allow access")
    assert names[1] in tab.page.locator("main").inner_text()
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    tab.page.goto(party.start(prompt="login"))
    tab.press("Use another account")
    tab.sign_in(names[2])
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    assert [it.about["preferred_username"] for it in party.logins] == names
    assert party.is_dead(first) is False
    tab.page.goto(f"{party.issuer}/account")
    assert names[2] in tab.page.locator("main").inner_text()
    assert names[1] not in tab.page.content()
