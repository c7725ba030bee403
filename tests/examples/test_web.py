"""examples/web in a real browser: Debian's Chromium, over `watchword dev`."""

import re
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.cli.development import Development, free_port

playwright = pytest.importorskip("playwright.sync_api", reason="make the environment again")
expect = playwright.expect

ROOT = Path(__file__).parents[2] / "examples/web"
CHROMIUM = shutil.which("chromium")
PASSWORD = "brittle lantern over nine hills"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]


class Files(SimpleHTTPRequestHandler):
    """The example's files, with another issuer in the page: the ports of a test are free ones."""

    issuer = "http://localhost:8000"

    def do_GET(self) -> None:
        if self.path != "/":
            super().do_GET()
            return
        page = (ROOT / "index.html").read_text()
        assert page.count("http://localhost:8000") == 2  # the issuer, and where it may connect
        body = page.replace("http://localhost:8000", self.issuer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Web:
    """The page over a server, and what a test asks that server beside it."""

    def __init__(self, server: Development, port: int) -> None:
        self.server = server
        self.url = f"http://localhost:{port}/"
        self.http = httpx.Client(
            base_url=server.issuer,
            headers={"Origin": self.url.rstrip("/"), "X-Requested-With": "test"},
        )

    def register(self) -> str:
        """A new account, all of them with the same password; its username."""
        name = f"u{uuid4().hex[:12]}"
        person = {"username": name, "email": f"{name}@example.com", "full_name": "Anna Lind"}
        body = {"client_id": "demo-web", **person, "password": PASSWORD}
        assert self.http.post("/api/register", json=body).status_code == 201
        return name

    def refreshes(self) -> dict[str, int]:
        """How many refreshes there were, by verdict."""
        found = re.findall(
            r'^watchword_refreshes_total\{verdict="(\w+)"\} ([\d.]+)',
            self.http.get("/metrics").text,
            re.MULTILINE,
        )
        return {verdict: int(float(count)) for verdict, count in found}


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder, port = tmp_path_factory.mktemp("web"), free_port()
    with Development(folder, free_port()) as server:
        origin = f"http://localhost:{port}"
        said = server.bash(f"python -m service clients change demo-web --allowed-origin {origin}")
        assert said.returncode == 0, said.stderr
        handler = type("Page", (Files,), {"issuer": server.issuer})
        address = ("127.0.0.1", port)
        with ThreadingHTTPServer(address, partial(handler, directory=str(ROOT))) as files:
            Thread(target=files.serve_forever, daemon=True).start()
            web = Web(server, port)
            yield web
            web.http.close()
            files.shutdown()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM)
        yield browser
        browser.close()


Open = Callable[..., Any]


@pytest.fixture
def open_browser(chromium: Any) -> Iterator[Open]:
    """A browser of its own, as another device is; no script fails, nothing breaks the policy."""
    contexts, faults = [], []

    def note(message: Any) -> None:
        if message.type == "error" and "Failed to load resource" not in message.text:
            faults.append(message.text)

    def open_(**options: object) -> Any:
        context = chromium.new_context(**options)
        context.set_default_timeout(8000)
        context.on("weberror", lambda error: faults.append(str(error.error)))
        context.on("console", note)
        contexts.append(context)
        return context

    yield open_
    for context in contexts:
        context.close()
    assert faults == []


def field(page: Any, label: str) -> Any:
    return page.get_by_label(label, exact=True).filter(visible=True)


def log_in(web: Web, context: Any, name: str, password: str = PASSWORD) -> Any:
    page = context.new_page()
    page.goto(web.url)
    fill_login(page, name, password)
    return page


def fill_login(page: Any, name: str, password: str = PASSWORD) -> None:
    field(page, "Username or e-mail").fill(name)
    field(page, "Password").fill(password)
    page.get_by_role("button", name="Log in").click()


def expect_account(page: Any, name: str = "Anna Lind") -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def expect_login(page: Any) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Log in")


def save_name(page: Any, name: str) -> None:
    field(page, "Full name").fill(name)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Your profile is saved.")).to_be_visible()


def test_an_account_is_made_and_no_script_could_find_a_token(web: Web, open_browser: Open) -> None:
    context = open_browser()
    page = context.new_page()
    page.goto(web.url)
    page.get_by_role("button", name="Create an account").click()
    name = f"u{uuid4().hex[:12]}"
    field(page, "Full name").fill("Bo Ek")
    field(page, "E-mail").fill(f"{name}@example.com")
    field(page, "Username").fill(name)
    field(page, "Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect_account(page, "Bo Ek")
    save_name(page, "Bo Ekström")
    stored = "[localStorage.length, sessionStorage.length, document.cookie]"
    assert page.evaluate(stored) == [0, 0, ""]
    assert page.evaluate("indexedDB.databases()") == []
    (cookie,) = context.cookies(web.server.issuer)
    assert cookie["name"] == "__Host-watchword_refresh"
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    page.reload()
    expect_account(page, "Bo Ekström")


def test_tabs_that_need_a_token_at_once_refresh_once(web: Web, open_browser: Open) -> None:
    context = open_browser()
    first = log_in(web, context, web.register())
    expect_account(first)
    before = web.refreshes()
    second = context.new_page()
    second.goto(web.url)
    expect_account(second)
    assert web.refreshes() == before  # it got the token of the first
    gate = context.new_page()
    gate.goto(f"{web.url}style.css")  # of the same origin, and without the page's script
    for page in (first, second):
        page.goto("about:blank")
    hold = "navigator.locks.request('watchword-refresh', () => new Promise((go) => (self.go = go)))"
    gate.evaluate(f"() => void {hold}")
    for page in (first, second):
        page.goto(web.url)
    gate.wait_for_function("navigator.locks.query().then(({ pending }) => pending.length === 2)")
    gate.evaluate("go()")
    for page in (first, second):
        expect_account(page)
    after = web.refreshes()
    assert after.pop("rotated") - before.pop("rotated", 0) == 1
    assert after == before
    told = sorted(page.locator("#token-source").inner_text() for page in (first, second))
    assert told == ["from a refresh", "from another tab"]


def test_a_refused_access_token_is_replaced_once_and_silently(web: Web, open_browser: Open) -> None:
    context = open_browser()
    page = log_in(web, context, web.register())
    expect_account(page)
    other = context.new_page()
    other.goto(web.url)
    expect_account(other)
    with page.expect_request("**/api/me") as asked:
        save_name(page, "Anna Lund")
    bearer = asked.value.headers["authorization"].removeprefix("Bearer ")
    revoked = web.http.post("/revoke", data={"client_id": "demo-web", "token": bearer})
    assert revoked.status_code == 200
    before = web.refreshes().get("rotated", 0)
    save_name(page, "Anna Lang")
    save_name(other, "Anna Ling")
    assert web.refreshes()["rotated"] - before == 1


def test_an_access_token_is_replaced_before_it_expires(web: Web, open_browser: Open) -> None:
    page = log_in(web, open_browser(), web.register())
    expect_account(page)
    before, statuses = web.refreshes().get("rotated", 0), []
    page.on("response", lambda answer: statuses.append(answer.status))
    save_name(page, "Anna Lund")
    assert web.refreshes().get("rotated", 0) == before
    page.evaluate("() => { const now = Date.now; Date.now = () => now() + 290_000 }")
    save_name(page, "Anna Lang")
    assert web.refreshes()["rotated"] - before == 1
    assert 401 not in statuses


def test_a_refresh_that_finds_the_server_busy_is_sent_again(web: Web, open_browser: Open) -> None:
    context = open_browser()
    page = log_in(web, context, web.register())
    expect_account(page)
    asked = []
    busy = {
        "access-control-allow-origin": web.url.rstrip("/"),
        "access-control-allow-credentials": "true",
        "access-control-expose-headers": "retry-after",
        "retry-after": "1",
    }

    def answer(route: Any) -> None:
        asked.append(route.request)
        if len(asked) == 1:
            route.fulfill(status=503, headers=busy, json={"error": "temporarily_unavailable"})
        else:
            route.continue_()

    context.route("**/api/refresh", answer)
    page.reload()
    expect_account(page)
    assert len(asked) == 2


def test_without_an_answer_nobody_is_logged_out(web: Web, open_browser: Open) -> None:
    context = open_browser()
    page = log_in(web, context, web.register())
    expect_account(page)
    context.route("**/api/refresh", lambda route: route.abort())
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("The server does not answer")
    context.unroute("**/api/refresh")
    page.get_by_role("button", name="Try again").click()
    expect_account(page)


def test_logging_out_logs_the_other_tabs_out(web: Web, open_browser: Open) -> None:
    context = open_browser()
    name = web.register()
    page = log_in(web, context, name)
    expect_account(page)
    other = context.new_page()
    other.goto(web.url)
    expect_account(other)
    page.get_by_role("button", name="Log out", exact=True).click()
    expect_login(page)
    expect_login(other)
    assert context.cookies(web.server.issuer) == []
    other.reload()
    expect_login(other)
    fill_login(other, name)
    expect_account(page)  # and a login logs them in
    expect_account(other)
    other.get_by_text("Ended sessions (1)").click()
    expect(other.locator("#ended")).to_contain_text("Logged out just now")


def test_other_sessions_are_shown_and_ended(web: Web, open_browser: Open) -> None:
    name = web.register()
    here, there, elsewhere = (log_in(web, open_browser(), name) for _ in range(3))
    for page in (here, there, elsewhere):
        expect_account(page)
    here.reload()
    expect(here.locator("#living li")).to_have_count(3)
    expect(here.locator("#living li").first).to_contain_text("this one")
    here.get_by_role("button", name="End Chrome").first.click()
    expect(here.get_by_text("The session has ended.")).to_be_visible()
    expect(here.locator("#living li")).to_have_count(2)
    field(here, "Current password").fill("not this one, certainly")
    field(here, "New password").fill("seven quiet herons wade")
    here.get_by_role("button", name="Change password").click()
    expect(here.locator("#password-current-error")).to_have_text("Current password is wrong.")
    field(here, "Current password").fill(PASSWORD)
    here.get_by_role("button", name="Change password").click()
    expect(here.get_by_text("Your password is changed")).to_be_visible()
    expect(here.locator("#living li")).to_have_count(1)
    here.get_by_text("Ended sessions (2)").click()
    expect(here.locator("#ended")).to_contain_text("Ended by you just now")
    expect(here.locator("#ended")).to_contain_text("The password was changed just now")
    for page in (there, elsewhere):
        page.get_by_role("button", name="Save").click()
        expect(page.get_by_text("Your session has ended")).to_be_visible()


def test_logging_out_everywhere_ends_all_sessions(web: Web, open_browser: Open) -> None:
    name, context = web.register(), open_browser()
    here, there = log_in(web, context, name), log_in(web, open_browser(), name)
    expect_account(here)
    expect_account(there)
    here.get_by_role("button", name="Log out everywhere").click()
    expect(here.get_by_text("You have logged out everywhere.")).to_be_visible()
    assert context.cookies(web.server.issuer) == []
    there.reload()
    expect_login(there)


def test_faults_are_said_where_they_are(web: Web, open_browser: Open) -> None:
    page, name = open_browser().new_page(), web.register()
    page.goto(web.url)
    page.get_by_role("button", name="Create an account").click()
    page.get_by_role("button", name="Create account").click()
    expect(field(page, "Full name")).to_be_focused()
    expect(page.locator("#register-email-error")).to_have_text("E-mail is missing.")
    field(page, "Full name").fill("Bo Ek")
    field(page, "E-mail").fill(f"{name}@example.org")
    field(page, "Username").fill(name)
    field(page, "Password").fill("too short")
    page.get_by_role("button", name="Create account").click()
    expect(field(page, "Password")).to_be_focused()
    expect(field(page, "Password")).to_have_accessible_description(
        re.compile("Use at least 15 characters")
    )
    field(page, "Password").fill(PASSWORD)
    page.get_by_role("button", name="Create account").click()
    expect(page.locator("#register-username-error")).to_have_text("Username is taken.")
    expect(field(page, "Username")).to_have_attribute("aria-invalid", "true")


def test_wrong_passwords_are_told_and_then_throttled(web: Web, open_browser: Open) -> None:
    name = web.register()
    page = log_in(web, open_browser(), name, "not this one, certainly")
    alert = page.get_by_role("alert")
    expect(alert).to_have_text("Wrong username or password.")
    for _ in range(25):  # those in Redis, and while it is slow those of the pod: 10 each
        with page.expect_response("**/api/login") as answer:
            page.get_by_role("button", name="Log in").click()
        expect(page.locator("#login-form")).to_have_attribute("aria-busy", "false")
        if answer.value.status == 429:
            break
    expect(alert).to_have_text(re.compile(r"^Too many attempts\. Try again in \d+ (min|sec)\w+\.$"))


def test_the_page_at_127_0_0_1_moves_to_the_site_of_its_server(
    web: Web, open_browser: Open
) -> None:
    page = open_browser().new_page()
    page.goto(web.url.replace("localhost", "127.0.0.1"))
    page.wait_for_url(web.url)
    expect_login(page)


def test_it_fits_phones_and_desks_in_both_themes(
    web: Web, open_browser: Open, tmp_path: Path
) -> None:
    page = open_browser().new_page()

    def look(name: str) -> None:
        for width, theme in product((360, 1100), ("light", "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=theme)
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            page.screenshot(path=tmp_path / f"{name}-{theme}-{width}.png", full_page=True)

    page.goto(web.url)
    expect_login(page)
    look("login")
    page.get_by_role("button", name="Create an account").click()
    page.get_by_role("button", name="Create account").click()
    look("register")
    page.get_by_role("button", name="Log in").click()
    name = web.register()
    fill_login(page, name)
    expect_account(page)
    page.get_by_role("button", name="Log out", exact=True).click()
    fill_login(page, name)
    expect_account(page)
    page.get_by_text("Ended sessions (1)").click()
    look("account")
