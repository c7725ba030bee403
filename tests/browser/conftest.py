"""Debian's Chromium at a real pod; nothing that it sees may break a policy or leave the two."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.browser.live import PASSWORD, Live, open_live
from tests.browser.relying_party import RelyingParty, open_relying_party
from tests.pages.test_in_browser import AXE, axe  # noqa: F401 (the fixture)

playwright = pytest.importorskip("playwright.sync_api", reason="make the environment again")

CHROMIUM = shutil.which("chromium")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    with open_live(tmp_path_factory.mktemp("live")) as site:
        yield site


@pytest.fixture(scope="module")
def one_party(live: Live) -> Iterator[RelyingParty]:
    with open_relying_party(live.issuer) as party:
        party.client = live.make_web_client(
            party.callback, "--post-logout-redirect-uri", f"{party.url}/bye"
        )
        yield party


@pytest.fixture
def party(one_party: RelyingParty) -> Iterator[RelyingParty]:
    """The relying party as it was at first: it knows nobody."""
    client, onward = one_party.client, one_party.onward
    yield one_party
    one_party.client, one_party.onward = client, onward
    one_party.answers.clear()
    one_party.logins.clear()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@dataclass
class Tab:
    """One tab of a browser of its own, and what is done at the hosted pages with it.

    `refusals` are the statuses from 400 on that it met, `expected` those that it had to meet.
    """

    page: Any
    pictures: Path
    axe: str | None
    refusals: list[int] = field(default_factory=list)
    expected: list[int] = field(default_factory=list)

    def look(self, name: str) -> None:
        """Take a picture of the page, and let axe judge it where scripts can run."""
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)
        if self.axe:
            self.page.evaluate(self.axe)
            assert self.page.evaluate(AXE) == [], name

    def field(self, label: str, within: str = "main") -> Any:
        return self.page.locator(within).get_by_label(label, exact=True)

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).click()

    def is_at(self, title: str) -> None:
        """Wait for the hosted page of this title."""
        playwright.expect(self.page).to_have_title(re.compile(f"^{title} · "))

    def register(self, name: str) -> None:
        """Fill in the page to register and send it."""
        self.field("Full name").fill("Ada Lovelace")
        self.field("E-mail").fill(f"{name}@example.com")
        self.field("Username").fill(name)
        self.field("Password").fill(PASSWORD)
        self.press("Create account")

    def sign_in(self, name: str, password: str = PASSWORD) -> None:
        """Fill in the page to sign in and send it."""
        self.field("Username or e-mail").fill(name)
        self.field("Password").fill(password)
        self.press("Sign in")


Open = Callable[..., Tab]


@pytest.fixture
def open_tab(
    request: pytest.FixtureRequest,
    chromium: Any,
    live: Live,
    party: RelyingParty,
    axe: str,  # noqa: F811 (the fixture)
    tmp_path: Path,
) -> Iterator[Open]:
    """Opens a tab of a new browser, with or without scripts.

    In the end nothing was asked of another host, nothing was refused but what was expected to be,
    and the console had nothing to complain of: what breaks a policy is told there.
    """
    folder = Path(os.environ.get("PAGES_PICTURES", tmp_path))
    tabs, faults, asked = list[Tab](), [], set[str]()
    ours = {urlsplit(url).netloc for url in (live.issuer, party.url)}

    def note(message: Any) -> None:
        refused = message.text.startswith("Failed to load resource: the server responded with")
        if message.type in {"error", "warning"} and not refused:
            faults.append(message.text)

    def open_(*, scripts: bool = True, beside: RelyingParty = party) -> Tab:
        ours.update(urlsplit(url).netloc for url in (beside.url, beside.onward))
        context = chromium.new_context(reduced_motion="reduce", java_script_enabled=scripts)
        context.set_default_timeout(8000)
        pictures = folder / re.sub(r"\W+", "-", request.node.name)
        pictures.mkdir(parents=True, exist_ok=True)
        tab = Tab(context.new_page(), pictures, axe if scripts else None)
        context.on("console", note)
        context.on("request", lambda it: asked.add(urlsplit(it.url).netloc))
        context.on("response", lambda it: tab.refusals.extend([it.status] * (it.status >= 400)))
        tabs.append(tab)
        return tab

    yield open_
    for tab in tabs:
        tab.page.context.close()
    assert faults == []
    assert [tab.refusals for tab in tabs] == [tab.expected for tab in tabs]
    assert asked - ours == set()
