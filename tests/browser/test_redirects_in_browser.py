"""Where browsers let a form lead: they hold every redirect that follows it to its form-action."""

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.browser.conftest import Open
from tests.browser.live import PASSWORD, Live
from tests.browser.relying_party import RelyingParty, open_relying_party

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]


@contextmanager
def open_app(live: Live) -> Iterator[RelyingParty]:
    """A relying party at the IPv6 loopback address, where there is one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with open_relying_party(live.issuer, "::1") as party:
        yield party


def test_a_client_may_send_its_user_on_to_another_site(
    open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-16: as a broker of logins does, whose callback is not where its users go."""
    party.onward = f"http://localhost:{urlsplit(party.url).port}/welcome"
    tab = open_tab()
    for _ in range(2):  # after a password and a consent, then after a consent alone
        tab.page.goto(party.start())
        if not party.logins:
            tab.sign_in(live.make_user())
        tab.press("Allow")
        tab.page.wait_for_url(party.onward)


def test_a_client_that_needs_no_consent_may_too(
    open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-16: the form with the password leads there by itself."""
    party.client = live.make_web_client(party.callback, "--consent", "skip")
    party.onward = f"http://localhost:{urlsplit(party.url).port}/welcome"
    tab, name = open_tab(), f"u{uuid4().hex[:12]}"
    scope = "openid profile orders:read"  # offline_access would be asked for
    tab.page.goto(party.start(scope=scope))
    tab.page.get_by_role("link", name="Create an account").click()
    tab.register(name)
    tab.page.wait_for_url(party.onward)
    tab.page.goto(party.start(scope=scope, prompt="login"))
    tab.field("Password").fill(PASSWORD)
    tab.press("Confirm")
    tab.page.wait_for_url(party.onward)
    assert [it.about["preferred_username"] for it in party.logins] == [name, name]


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_an_app_may_listen_at_any_loopback_address(mode: str, open_tab: Open, live: Live) -> None:
    """AUTHZ-3, AUTHZ-15, AUTHZ-16: RFC 8252 §7.3; a policy can't name an IPv6 address."""
    with open_app(live) as party:
        party.client = live.make_web_client("http://[::1]/callback", "--public")
        tab = open_tab(beside=party)
        tab.page.goto(party.start(response_mode=mode))
        tab.sign_in(live.make_user())
        tab.press("Allow")
        tab.page.wait_for_url(f"{party.url}/welcome")


def test_a_client_may_ask_by_a_form_of_its_own_site(
    open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-1: our cookies don't come with it, so that it is asked again without the form."""
    tab, name = open_tab(), live.make_user()
    for _ in range(2):  # nobody is signed on, then somebody is
        tab.page.goto(party.by_form(party.start()))
        tab.press("Send")
        if not party.logins:
            tab.sign_in(name)
        tab.press("Allow")
        tab.page.wait_for_url(f"{party.url}/welcome")
    assert [it.about["preferred_username"] for it in party.logins] == [name, name]


def test_a_client_may_sign_its_user_out_by_a_form_of_its_own_site(
    open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """RPL-1: for all that our cookies don't come with it."""
    tab = open_tab()
    tab.page.goto(party.start())
    tab.sign_in(live.make_user())
    tab.press("Allow")
    tab.page.wait_for_url(f"{party.url}/welcome")
    wish = {"post_logout_redirect_uri": f"{party.url}/bye", "state": "ö +&"}
    tab.page.goto(party.by_form(party.end_session(**wish)))
    tab.press("Send")
    tab.is_at("Sign out")  # nothing proves whose wish it is
    hint = party.logins[-1].tokens["id_token"]
    tab.page.goto(party.by_form(party.end_session(id_token_hint=hint, **wish)))
    tab.press("Send")
    tab.page.wait_for_url(f"{party.url}/bye?state=%C3%B6+%2B%26")
    tab.page.goto(party.start(prompt="none"))
    assert party.answers[-1][1]["error"] == "login_required"
