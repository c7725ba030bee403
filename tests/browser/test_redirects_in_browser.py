"""Where browsers let a form lead: they hold every redirect that follows it to its form-action."""

import shutil
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import Open
from tests.browser.live import Live
from tests.browser.relying_party import RelyingParty, open_relying_party

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]


@pytest.mark.parametrize("mode", ["query", "form_post"])
def test_a_client_may_send_its_user_on_to_another_site(
    mode: str, open_tab: Open, live: Live, party: RelyingParty
) -> None:
    """AUTHZ-16: as a broker of logins does, whose callback is not where its users go."""
    tab = open_tab()
    party.onward = f"http://localhost:{urlsplit(party.url).port}/welcome"
    tab.page.goto(party.start(response_mode=mode))
    tab.sign_in(live.make_user())
    tab.press("Allow")
    tab.page.wait_for_url(party.onward)


def test_an_app_may_listen_at_any_loopback_address(open_tab: Open, live: Live) -> None:
    """AUTHZ-3, AUTHZ-16: RFC 8252 §7.3; a policy can't name an IPv6 address."""
    with open_relying_party(live.issuer, "::1") as party:
        party.client = live.make_web_client("http://[::1]/callback", "--public")
        tab = open_tab()
        tab.page.goto(party.start())
        tab.sign_in(live.make_user())
        tab.press("Allow")
        tab.page.wait_for_url(f"{party.url}/welcome")
