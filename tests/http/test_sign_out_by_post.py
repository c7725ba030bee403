"""POST /logout by another site, whose request has none of our cookies. RPL-1."""

from service.app import App
from tests.http.browsing import (
    Pkce,
    make_web_client,
    obtain_code,
    open_browser,
    redeem,
    request_of,
    response_of,
    sign_up,
)

BYE = "https://app.example/bye"


async def test_who_is_signed_on_is_seen_after_a_redirect(app: App) -> None:
    browser, pkce = open_browser(app), Pkce()
    client = await make_web_client(app, post_logout_redirect_uris=(BYE,))
    await sign_up(browser)
    tokens = (await redeem(app, client, await obtain_code(browser, client, pkce), pkce)).json()
    wish = {"post_logout_redirect_uri": BYE, "state": "a +&\r\n", "ui_locales": "se"}
    sent = {**wish, "id_token_hint": tokens["id_token"]}
    answer = await browser.http.post("/logout", data=sent)
    assert answer.status_code == 303
    location = answer.headers["location"]
    assert location.startswith("/logout?id_token_hint=")
    assert "ui_locales" not in location
    answer = await browser.get(location)
    assert answer.headers["location"] == f"{BYE}?state=a+%2B%26%0D%0A"
    silent = request_of(client, Pkce(), prompt="none")
    assert response_of(await browser.get("/authorize", **silent))["error"] == "login_required"


async def test_who_asks_without_a_proof_asks_the_user(app: App) -> None:
    browser = open_browser(app)
    await sign_up(browser)
    answer = await browser.http.post("/logout", data={"ui_locales": "se"})
    assert answer.headers["location"] == "/logout"
    page = await browser.get("/logout")
    assert "Sign out of" in page.text
