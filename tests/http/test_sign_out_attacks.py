"""What /logout does not do: believe forged hints, lead elsewhere. RPL-1, ATK-13, ATK-66."""

from collections.abc import AsyncIterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.app import App
from service.flows.manage_clients import revoke_client
from tests.http.account_pages import (
    Application,
    Visitor,
    allow,
    assert_page,
    hint_of,
    log_out,
    visit,
)
from tests.http.accounts import Accounts, open_accounts
from tests.http.browsing import (
    make_web_client,
    open_browser,
)

BACK = "https://app.example/signed-out"


@pytest.fixture(scope="module")
async def accounts(app: App) -> AsyncIterator[Accounts]:
    async with open_accounts(app) as opened:
        yield opened


@pytest.fixture
async def anna(accounts: Accounts) -> Visitor:
    return await visit(accounts)


@pytest.fixture
async def notebook(anna: Visitor) -> Application:
    client = await make_web_client(anna.app, post_logout_redirect_uris=(BACK,))
    return await allow(anna, client)


@pytest.mark.parametrize(
    "uri",
    [
        f"{BACK}?x=1",
        f"{BACK}/",
        f"{BACK}#",
        "https://app.example/callback",
        "https://evil.example/",
        "https://app.example.evil.example/signed-out",
        "//app.example/signed-out",
        "HTTPS://app.example/signed-out",
        "https://app.example:443/signed-out",
        "https://app.example/./signed-out",
        "https://app.example/signed%2Dout",
        "javascript:alert(1)",
        f"{BACK}\r\nset-cookie: a=b",
    ],
)
async def test_an_unregistered_uri_is_a_page(
    anna: Visitor, notebook: Application, uri: str
) -> None:
    """RPL-1: byte for byte; the proven hint still signs out."""
    answer = await log_out(anna, id_token_hint=hint_of(notebook), post_logout_redirect_uri=uri)
    assert_page(answer, "You are signed out")
    assert uri not in answer.text
    assert not await anna.is_signed_on()


def forged(application: Application, flaw: str) -> str:
    """A hint that proves nothing, or not that."""
    hint = hint_of(application)
    claims = jwt.decode(hint, options={"verify_signature": False})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    def sign(key: Any, algorithm: str) -> str:
        kid = jwt.get_unverified_header(hint)["kid"]
        return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid})

    flaws = {
        "none": sign(None, "none"),
        "HS256": sign("x" * 64, "HS256"),
        "another key": sign(key, "RS256"),
        "signature": f"{hint[:-8]}AAAAAAAA",
        "access token": application.tokens["access_token"],
        "refresh token": application.tokens["refresh_token"],
    }
    return flaws.get(flaw, flaw)


@pytest.mark.parametrize(
    "flaw",
    [
        *("none", "HS256", "another key", "signature", "access token", "refresh token"),
        *("x", "a.b.c", "....", "é", "\u202e", "a" * 3000),
    ],
)
async def test_a_hint_that_proves_nothing_signs_nobody_out(
    accounts: Accounts, anna: Visitor, notebook: Application, flaw: str
) -> None:
    """RPL-1, ATK-13: nor does it lead anywhere, also not with a client that is right."""
    hint = forged(notebook, flaw)
    for client in ({}, {"client_id": notebook.client.id}):
        sent = {"id_token_hint": hint, "post_logout_redirect_uri": BACK, **client}
        assert_page(await log_out(anna, **sent), "Sign out of")
        assert_page(await open_browser(accounts.app).get("/logout", **sent), "You are signed out")
    assert await anna.is_signed_on()
    assert await notebook.lives()


async def test_a_hint_of_another_client_proves_nothing(
    anna: Visitor, notebook: Application
) -> None:
    """RPL-1: `client_id` must be the hint's (RP-Initiated Logout §2)."""
    other = await allow(anna)
    answer = await log_out(
        anna,
        id_token_hint=hint_of(other),
        client_id=notebook.client.id,
        post_logout_redirect_uri=BACK,
    )
    assert_page(answer, "Sign out of")
    assert await anna.is_signed_on()


async def test_a_client_that_was_switched_off_leads_nowhere(
    accounts: Accounts, anna: Visitor, notebook: Application
) -> None:
    """RPL-1: to sign out is the user's right all the same."""
    services = accounts.app.services
    await revoke_client(services.database, notebook.client.id, enabled=False)
    services.clients.drop(notebook.client.id)
    sent = {"id_token_hint": hint_of(notebook), "post_logout_redirect_uri": BACK}
    assert_page(await log_out(anna, **sent), "You are signed out")
    assert_page(await log_out(anna, **sent), "You are signed out")
    assert not await anna.is_signed_on()


@pytest.mark.parametrize(
    "query",
    ["id_token_hint=a&id_token_hint=b", "state=%ff", "state=%", "client_id=a&client_id=b"],
)
async def test_what_can_be_read_in_two_ways_is_refused(anna: Visitor, query: str) -> None:
    answer = await anna.browser.get(f"/logout?{query}")
    assert answer.status_code == 400
    assert await anna.is_signed_on()


async def test_no_parameter_gets_into_a_header_or_the_page(
    anna: Visitor, notebook: Application
) -> None:
    """ATK-66, ATK-74."""
    hostile = "\r\nset-cookie: a=b\r\n\r\n<script>alert(1)</script>"
    answer = await log_out(
        anna, id_token_hint=hint_of(notebook), post_logout_redirect_uri=BACK, state=hostile
    )
    assert answer.status_code == 303
    assert "a=b" not in str(answer.headers.get_list("set-cookie"))
    assert "<" not in answer.headers["location"]
    page = await log_out(anna, client_id=hostile, post_logout_redirect_uri=hostile, state=hostile)
    assert "alert(1)" not in page.text


async def test_a_long_state_comes_back_or_is_left_out(anna: Visitor, notebook: Application) -> None:
    for length, kept in ((2048, True), (2049, False)):
        answer = await open_browser(anna.app).get(
            "/logout",
            client_id=notebook.client.id,
            post_logout_redirect_uri=BACK,
            state="s" * length,
        )
        assert (answer.headers["location"] == f"{BACK}?state={'s' * length}") == kept
