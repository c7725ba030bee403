"""The authorization code flow, from the client's request to its tokens: RFC 6749 §4.1."""

import jwt
import pytest

from service.app import App
from tests.http.browsing import (
    CALLBACK,
    Browser,
    Pkce,
    make_web_client,
    open_browser,
    redeem,
    request_of,
    response_of,
    sign_up,
)


@pytest.fixture
def browser(app: App) -> Browser:
    return open_browser(app)


async def test_from_registration_to_tokens(app: App, browser: Browser) -> None:
    """AC-10, AUTHZ-6, AUTHZ-17, TOK-8, IDT-1."""
    client, pkce = await make_web_client(app), Pkce()
    page = await browser.follow(await browser.get("/authorize", **request_of(client, pkce)))
    assert page.status_code == 200
    assert "Notebook" in page.text
    register_link = page.text.partition('href="/register')[2].partition('"')[0]
    page = await browser.get("/register" + register_link.replace("&amp;", "&"))
    person = await sign_up(browser, page)
    page = await browser.follow(await browser.get("/authorize", **request_of(client, pkce)))
    assert "Notebook asks" in page.text.replace("<bdi>", "").replace("</bdi>", "")
    answer = await browser.follow(await browser.submit(page, decision="allow"))
    assert answer.headers["location"].startswith(CALLBACK + "?code=wwc_")
    response = response_of(answer)
    assert response.keys() == {"code", "state", "iss"}
    assert (response["state"], response["iss"]) == ("a state +%é", app.services.issuer)
    tokens = (await redeem(app, client, response["code"], pkce)).json()
    assert tokens.keys() == {
        *("access_token", "token_type", "expires_in", "scope", "refresh_token", "id_token")
    }
    keys = (await browser.get("/.well-known/jwks.json")).json()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(tokens["id_token"])["kid"]]
    claims = jwt.decode(tokens["id_token"], key, algorithms=["RS256"], audience=client.id)
    assert (claims["nonce"], claims["iss"]) == ("a nonce", app.services.issuer)
    bearer = {"authorization": f"Bearer {tokens['access_token']}"}
    about = (await browser.http.get("/userinfo", headers=bearer)).json()
    assert about == {
        "sub": claims["sub"],
        "name": "Ada Lovelace",
        "preferred_username": person.username,
        "email": person.email,
        "email_verified": False,
    }
