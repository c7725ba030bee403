"""Every page in a real browser, at three widths, in both themes: all fits, and axe is content.

Where PAGES_PICTURES names a folder, pictures of them all are taken to it: look at them.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from service.pages.brand import Brand
from service.pages.render import Pages
from tests.pages.samples import HOSTILE, NONCE, PAGES

playwright = pytest.importorskip("playwright.sync_api", reason="make the environment again")

CHROMIUM, NPM = shutil.which("chromium"), shutil.which("npm")
SITE = "http://localhost:8000"
SIZES = ((320, 640), (768, 1024), (1280, 800))
THEMES = ("light", "dark")
# AUTHZ-16; the nonce is the form_post page's.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; "
    f"script-src 'nonce-{NONCE}'; frame-ancestors 'none'; base-uri 'none'"
)
BRANDS = {
    "watchword": Brand(privacy="https://example.com/privacy", help="mailto:help@example.com"),
    "navy": Brand(name="Nordhavn", accent="#14213d", background="#fbf7f0"),
    "orange": Brand(name="Kiosk", accent="#d9480f"),
}
# What sticks out of the page, and what is wider than the box around it.
OVERFLOWS = """() => {
  const room = document.documentElement.clientWidth;
  const shown = document.querySelectorAll("body *:not(.unseen, .unseen *, .skip)");
  const out = [...shown].filter((each) => {
    const box = each.getBoundingClientRect();
    return box.width && (box.right > room + 0.5 || box.left < -0.5);
  });
  const wide = document.documentElement.scrollWidth > room ? [document.documentElement] : [];
  return [...wide, ...out].map((each) => each.outerHTML.slice(0, 120));
}"""
AXE = """async () => {
  const found = await axe.run({
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  });
  return found.violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`);
}"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, as npm has it."""
    if NPM is None:
        pytest.skip("npm is not installed")
    folder = tmp_path_factory.mktemp("axe") / "axe"
    shutil.copytree(Path(__file__).parent / "axe", folder)
    command = [NPM, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
    said = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=120
    )
    assert said.returncode == 0, said.stderr
    return (folder / "node_modules/axe-core/axe.min.js").read_text()


def take_picture(page: Any, name: str) -> None:
    if folder := os.environ.get("PAGES_PICTURES"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


class Site:
    """Serves one page with its files and their headers; `asked` is all else that was asked for."""

    def __init__(self, name: str, brand: Brand) -> None:
        pages = Pages(brand)
        self.body = pages.render({**PAGES, **HOSTILE}[name])
        self.assets = {SITE + asset.path: asset for asset in (pages.style, pages.logo)}
        self.posted: list[tuple[str, str]] = []
        self.asked: list[str] = []

    def answer(self, route: Any) -> None:
        url = route.request.url
        if asset := self.assets.get(url):
            headers = {"Content-Security-Policy": asset.policy}
            route.fulfill(body=asset.body, content_type=asset.media_type, headers=headers)
        elif url == f"{SITE}/page":
            headers = {"Content-Security-Policy": POLICY}
            route.fulfill(body=self.body, content_type="text/html; charset=utf-8", headers=headers)
        elif route.request.method == "POST":
            self.posted.append((url, route.request.post_data))
            route.fulfill(body="<!doctype html><title>there</title>", content_type="text/html")
        else:
            self.asked.append(url)
            route.abort()


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Open]:
    """A tab at such a site; nothing breaks the policy."""
    contexts, sites, faults = [], [], []

    def note(message: Any) -> None:
        if message.type in {"error", "warning"}:
            faults.append(message.text)

    def open_(name: str, brand: Brand, **options: object) -> Any:
        context = chromium.new_context(reduced_motion="reduce", **options)
        context.set_default_timeout(8000)
        contexts.append(context)
        site = Site(name, brand)
        sites.append(site)
        context.route("**/*", site.answer)
        context.on("console", note)
        page = context.new_page()
        page.site = site
        page.goto(f"{SITE}/page")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert faults == []
    assert [site.asked for site in sites if site.asked] == []


def each_look(page: Any) -> Iterator[str]:
    """The page at each width and in each theme, one after another."""
    for (width, height), theme in product(SIZES, THEMES):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=theme)
        yield f"{width}-{theme}"


@pytest.mark.parametrize("name", [*PAGES, *HOSTILE])
def test_nothing_overflows_without_javascript(name: str, open_page: Open) -> None:
    """ATK-74: names that were made to break the page don't."""
    page = open_page(name, BRANDS["watchword"], java_script_enabled=False)
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    for look in each_look(page):
        take_picture(page, f"{name}-{look}")
        assert page.evaluate(OVERFLOWS) == [], look


@pytest.mark.parametrize("name", [name for name in PAGES if name != "form_post"])
def test_axe_finds_nothing_to_complain_of(name: str, open_page: Open, axe: str) -> None:
    page = open_page(name, BRANDS["watchword"])
    page.evaluate(axe)
    for details in page.locator("details").all():
        details.locator("summary").first.click()
    for look in each_look(page):
        assert page.evaluate(AXE) == [], look


@pytest.mark.parametrize("brand", BRANDS)
@pytest.mark.parametrize("name", ["sign_in_wrong", "consent", "account"])
def test_every_accent_can_be_read(brand: str, name: str, open_page: Open, axe: str) -> None:
    page = open_page(name, BRANDS[brand])
    page.evaluate(axe)
    for look in each_look(page):
        take_picture(page, f"{name}-{brand}-{look}")
        assert page.evaluate(AXE) == [], look


@pytest.mark.parametrize("name", ["sign_in_wrong", "consent", "account", "hostile_account"])
def test_it_fits_where_people_write_from_right_to_left(name: str, open_page: Open) -> None:
    page = open_page(name, BRANDS["watchword"], java_script_enabled=False)
    page.evaluate("document.documentElement.dir = 'rtl'")
    for look in each_look(page):
        take_picture(page, f"{name}-rtl-{look}")
        assert page.evaluate(OVERFLOWS) == [], look


def test_what_is_wrong_has_the_focus(open_page: Open) -> None:
    summary = open_page("register_faults", BRANDS["watchword"]).get_by_role("alert")
    playwright.expect(summary).to_be_focused()
    password = open_page("sign_in_wrong", BRANDS["watchword"]).locator("#password")
    playwright.expect(password).to_be_focused()


def test_the_choices_of_the_consent_page_are_of_one_size(open_page: Open) -> None:
    """AUTHZ-17: refusing is as near as allowing."""
    page = open_page("consent", BRANDS["watchword"], java_script_enabled=False)
    for _ in each_look(page):
        deny, allow = (box.bounding_box() for box in page.locator(".choice button").all())
        assert (deny["y"], deny["width"], deny["height"]) == (
            allow["y"],
            allow["width"],
            allow["height"],
        )


@pytest.mark.parametrize("scripts", [True, False])
def test_a_form_post_goes_by_itself_or_by_its_button(scripts: bool, open_page: Open) -> None:
    """AUTHZ-15."""
    page = open_page("form_post", BRANDS["watchword"], java_script_enabled=scripts)
    if not scripts:
        assert page.site.posted == []
        page.get_by_role("button", name="Continue").click()
    playwright.expect(page).to_have_title("there")
    body = "code=wwc_8s7&state=a+b%26c&iss=https%3A%2F%2Fauth.example.com"
    assert page.site.posted == [("https://notes.example.com/callback", body)]
