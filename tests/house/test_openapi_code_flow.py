"""docs/reference/openapi.yaml: the authorization code flow, UserInfo and sign-out keep to it."""

from collections.abc import AsyncIterator

import pytest

from service.app import App
from tests.house.test_openapi import check
from tests.http.account_pages import Visitor, allow, visit
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import (
    Pkce,
    make_web_client,
    obtain_code,
    open_browser,
    redeem,
    request_of,
)

BACK = "https://app.example/signed-out"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


async def test_an_authorization_is_as_described(anna: Visitor) -> None:
    client, browser = await make_web_client(anna.app), anna.browser
    asked = request_of(client, Pkce())
    answers = {
        303: await browser.get("/authorize", **asked),
        400: await browser.get("/authorize", client_id="nobody"),
        405: await browser.http.delete("/authorize"),
    }
    for status, answer in answers.items():
        assert answer.status_code == status
        check("/authorize", "get", answer)
    posted = {
        303: await browser.post("/authorize", **asked),
        400: await browser.post("/authorize", client_id="nobody"),
        413: await browser.post("/authorize", **asked, x="y" * 70_000),
    }
    for status, answer in posted.items():
        assert answer.status_code == status
        check("/authorize", "post", answer)
    await allow(anna, client)
    answer = await browser.get("/authorize", **asked, response_mode="form_post")
    assert answer.status_code == 200
    check("/authorize", "get", answer)


async def test_the_tokens_of_a_code_are_as_described(anna: Visitor) -> None:
    client, pkce = await make_web_client(anna.app), Pkce()
    code = await obtain_code(anna.browser, client, pkce)
    for status in (200, 400):
        answer = await redeem(anna.app, client, code, pkce)
        assert answer.status_code == status
        check("/token", "post", answer)


async def test_user_info_is_as_described(accounts: Accounts, anna: Visitor) -> None:
    tokens = {
        200: (await allow(anna)).tokens["access_token"],
        401: "nonsense",
        403: (await allow(anna, scope="orders:read")).tokens["access_token"],
    }
    for method in ("get", "post"):
        for status, token in tokens.items():
            headers = {"authorization": f"Bearer {token}"}
            answer = await accounts.http.request(method, "/userinfo", headers=headers)
            assert answer.status_code == status
            check("/userinfo", method, answer)
        wrong = await accounts.http.request("DELETE", "/userinfo")
        assert wrong.status_code == 405
        check("/userinfo", method, wrong)


async def test_a_sign_out_is_as_described(anna: Visitor) -> None:
    client = await make_web_client(anna.app, post_logout_redirect_uris=(BACK,))
    hint = (await allow(anna, client)).tokens["id_token"]
    sent = {"id_token_hint": hint, "post_logout_redirect_uri": BACK}
    answers = [
        ("post", 303, await anna.browser.post("/logout", **sent)),
        ("post", 403, await anna.browser.post("/logout", decision="sign_out")),
        ("post", 413, await anna.browser.post("/logout", state="s" * 70_000)),
        ("get", 400, await anna.browser.get("/logout?state=a&state=b")),
        ("get", 200, await anna.browser.get("/logout")),
        ("get", 303, await anna.browser.get("/logout", **sent)),
        ("get", 200, await open_browser(anna.app).get("/logout")),
    ]
    for method, status, answer in answers:
        assert answer.status_code == status
        check("/logout", method, answer)
