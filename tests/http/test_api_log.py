"""What a request under /api leaves behind: its line in the log, its metrics. ATK-95, ATK-96."""

import io
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from uuid import uuid4

import pytest
import structlog

from service import telemetry
from service.app import App
from service.flows import prove_password
from service.http import edge, error_responses
from service.http.edge import LABELS
from tests.http.accounts import OTHER_PASSWORD, PASSWORD, Accounts, open_accounts
from tests.sessions import begin, fetch

Lines = Callable[[], list[dict]]


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The log's lines so far, written as in production."""
    written = io.BytesIO()
    logger = structlog.wrap_logger(
        structlog.BytesLogger(written),
        processors=telemetry._processors(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    for module in (edge, error_responses, prove_password):
        monkeypatch.setattr(module, "log", logger)

    def read() -> list[dict]:
        raw = written.getvalue()
        assert not re.search(rb"[\x00-\x09\x0b-\x1f]", raw)
        return [json.loads(line) for line in raw.splitlines()]

    return read


async def test_a_line_says_which_client_asked_and_how_it_went(
    accounts: Accounts, lines: Lines
) -> None:
    """LOGIN-10: what the user can't tell apart, the operator can."""
    user, browser = await accounts.user(), accounts.browser()
    web, phone = accounts.web.id, accounts.phone()
    cases = [
        (await browser.login(user.username), "/api/login", 200, web, None, None),
        (
            *(await browser.login("nobody-here"), "/api/login", 401, web),
            *("invalid_credentials", "unknown user"),
        ),
        (
            *(await browser.login(user.username, "x"), "/api/login", 401, web),
            *("invalid_credentials", "wrong password"),
        ),
        (
            *(await browser.login("x", client_id="unknown"), "/api/login", 400, None),
            *("invalid_client", "no such first-party client"),
        ),
        (await browser.me(), "/api/me", 200, web, None, None),
        (
            *(await browser.me(authorization="Bearer x"), "/api/me", 401, None),
            *("invalid_token", "no current token of a session"),
        ),
        (
            *(await phone.post("login", {}, origin="https://evil.example"), "/api/login", 403, web),
            *("access_denied", None),
        ),
        (
            *(await browser.refresh(cookie=None), "/api/refresh", 400, web),
            *("invalid_grant", "no cookie, or two"),
        ),
        (await browser.refresh(), "/api/refresh", 200, web, None, None),
        (
            *(await browser.ask("DELETE", f"sessions/{uuid4()}"), "/api/sessions/{id}", 404, web),
            *("not_found", None),
        ),
        (
            *(await browser.post("login", {}, content_type="text/plain"), "/api/login", 415, None),
            *("invalid_request", None),
        ),
        (await browser.ask("PUT", "me"), "/api/me", 405, None, "method_not_allowed", None),
    ]
    for (answer, *expected), line in zip(cases, lines(), strict=True):
        assert answer.status_code == expected[1]
        names = ("endpoint", "status", "client_id", "error", "reason")
        assert [line[name] for name in names] == expected
        assert line["address"] in (browser.address, phone.address)
        assert line["request_id"] == answer.headers["x-request-id"]


async def test_neither_log_nor_metrics_nor_trail_hold_a_secret(
    accounts: Accounts, lines: Lines
) -> None:
    """ATK-96: whatever a request holds, and wherever it stands."""
    user, browser = await accounts.user(), accounts.browser()
    await browser.login(user.username)
    await browser.login(PASSWORD, PASSWORD)
    secrets = [PASSWORD, OTHER_PASSWORD, browser.access or "", browser.refresh_token or ""]
    stranger = accounts.browser()  # whose logouts end nothing
    stranger.access = browser.access
    sent = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    for secret in secrets:
        for path in ("login", "register", "refresh", "logout", "password"):
            names = ("username", "client_id", "device", "password", "refresh_token", secret)
            for name in names:
                await stranger.post(path, {name: secret})
            await stranger.post(f"{path}?password={secret}", {})
        await stranger.ask("PATCH", "me", {"full_name": 1, "email": secret})
        await stranger.ask("DELETE", f"sessions/{secret}")
    assert (await browser.post("password", sent)).status_code == 204
    await browser.refresh()
    metrics = (await accounts.http.get("/metrics")).text
    trail = await fetch(
        accounts.app, "SELECT string_agg(audit_events::text, ' ') FROM audit_events"
    )
    seen = json.dumps(lines())
    assert len(lines()) > 100
    for secret in [*secrets, browser.access or "", browser.refresh_token or ""]:
        for text in (seen, metrics, trail):
            assert secret not in text
            assert secret[-24:] not in text


async def test_nothing_that_is_sent_forges_a_line(accounts: Accounts, lines: Lines) -> None:
    """ATK-95: one line a request."""
    poison = '\r\n\x1b[31m\x85\u2028{"event":"forged"}\\"}\n'
    browser, raw = accounts.browser(), poison.encode()
    headers = {"user_agent": raw, "origin": raw, "cookie": raw, "referer": raw}
    for name in ("username", "password", "client_id", "device", poison):
        await browser.post("login", {"username": "x", "password": "x", name: poison}, **headers)
        await browser.post("login", {"username": "x", "password": "x", name: poison})
    assert len(lines()) == 10
    assert "forged" not in json.dumps(lines())


async def test_strangers_make_no_time_series(accounts: Accounts) -> None:
    """ATK-100: ids are no labels, nor what stands in their place."""
    browser = accounts.browser().take(await begin(accounts.app, accounts.web))
    for number in range(10):
        for path in (
            f"sessions/{uuid4()}",
            f"sessions/{number}/x",
            f"sessions/x{number}",
            f"x{number}",
        ):
            await browser.ask("DELETE", path)
            await browser.get(f"{path}?x={number}")
    seen = {
        (metric.name, sample.labels["route"])
        for metric in accounts.app.services.metrics.registry.collect()
        for sample in metric.samples
        if "route" in sample.labels
    }
    assert {route for _, route in seen} <= LABELS
    assert ("watchword_http_requests", "/api/sessions/{id}") in seen


async def test_logins_are_counted_by_result(accounts: Accounts) -> None:
    user, device = await accounts.user(), accounts.browser()
    results = accounts.app.services.metrics.logins
    before = [results.labels(result)._value.get() for result in ("proven", "failed", "limited")]
    for password in (PASSWORD, *["wrong"] * 11):
        await device.login(user.username, password)
    after = [results.labels(result)._value.get() for result in ("proven", "failed", "limited")]
    assert [b - a for a, b in zip(before, after, strict=True)] == [1, 10, 1]
