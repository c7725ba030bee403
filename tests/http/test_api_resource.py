"""POST /api/refresh with `resource`: a token for another of the session's audiences."""

import pytest

from tests.conftest import AUDIENCE
from tests.http.accounts import Accounts, assert_refused, open_accounts, register_web
from tests.sessions import begin, claims_of

pytestmark = pytest.mark.anyio
BILLING = "https://billing.example"


@pytest.fixture
async def accounts(app):
    async with open_accounts(app) as opened:
        yield opened


async def test_a_page_gets_a_token_for_each_of_its_apis(accounts: Accounts) -> None:
    """RFC 8707 §2.2: one audience a token, among those of the session; nothing else is spent."""
    web = await register_web(accounts.app, audiences=(AUDIENCE, BILLING))
    browser = accounts.browser(web).take(await begin(accounts.app, web))
    for members, audience in (({}, AUDIENCE), ({"resource": BILLING}, BILLING)):
        answer = browser.keep(await browser.post("refresh", {**browser.shown(), **members}))
        assert answer.status_code == 200, answer.text
        assert claims_of(answer.json()["access_token"])["aud"] == audience
    refused = await browser.post("refresh", {**browser.shown(), "resource": "https://evil.example"})
    assert_refused(refused, "invalid_target")
    assert "set-cookie" not in refused.headers
    assert (await browser.refresh()).status_code == 200
