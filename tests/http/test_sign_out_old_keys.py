"""Hints at sign-out that keys from before have signed. RPL-1."""

from collections.abc import AsyncIterator

import jwt
import pytest

from service.app import App
from service.flows.kill_key import kill_key
from service.flows.load_keys import load_keys
from service.flows.origin import OPERATOR
from service.flows.rotate_keys import rotate_keys
from service.sql.signing_keys import remove_signing_key
from tests.conftest import MakeApp, MakeSettings
from tests.http.account_pages import Application, Visitor, allow, visit
from tests.http.accounts import open_accounts
from tests.http.browsing import Pkce, make_web_client, request_of, response_of

BACK = "https://app.example/signed-out"


@pytest.fixture
async def anna(make_app: MakeApp, make_settings: MakeSettings) -> AsyncIterator[Visitor]:
    """At a pod whose keys are this test's own."""
    app = await make_app(await make_settings())
    async with open_accounts(app) as accounts:
        yield await visit(accounts)


async def remove(app: App, hint: str) -> str:
    """Let the key of the hint make room for the next and be published no more; its id."""
    services, kid = app.services, jwt.get_unverified_header(hint)["kid"]
    await rotate_keys(services.database, services.settings.key_times, now=True)
    async with services.database.connection() as connection:
        await remove_signing_key(connection, kid)
    await load_keys(services.database, services.keyring)
    assert kid not in services.keyring.key_set("token").jwks.decode()
    return kid


async def at_notebook(anna: Visitor) -> Application:
    return await allow(anna, await make_web_client(anna.app, post_logout_redirect_uris=(BACK,)))


async def test_a_key_that_was_removed_in_its_time_still_proves(anna: Visitor) -> None:
    """RPL-1: an application may keep its ID Token for longer than keys are published."""
    notebook = await at_notebook(anna)
    hint = notebook.tokens["id_token"]
    await remove(anna.app, hint)
    sent = {"id_token_hint": hint, "post_logout_redirect_uri": BACK}
    head, body, signature = hint.split(".")
    wrong = {**sent, "id_token_hint": f"{head}.{body}.{signature[:-8]}AAAAAAAA"}
    page = await anna.browser.get("/logout", **wrong)
    assert (page.status_code, await anna.is_signed_on()) == (200, True)
    answer = await anna.browser.get("/logout", **sent)
    assert (answer.status_code, answer.headers["location"]) == (303, BACK)
    assert not await anna.is_signed_on()
    asked = await anna.browser.get(
        "/authorize", **request_of(notebook.client, Pkce(), prompt="none", id_token_hint=hint)
    )
    assert response_of(asked)["error"] == "login_required"


async def test_a_key_that_was_killed_proves_nothing(anna: Visitor) -> None:
    """RPL-1: whoever stole it writes hints for anybody."""
    hint = (await at_notebook(anna)).tokens["id_token"]
    services = anna.app.services
    kid = await remove(anna.app, hint)
    await kill_key(services.database, kid, OPERATOR)
    await load_keys(services.database, services.keyring)
    sent = {"id_token_hint": hint, "post_logout_redirect_uri": BACK}
    page = await anna.browser.get("/logout", **sent)
    assert (page.status_code, "Sign out of" in page.text) == (200, True)
    assert await anna.is_signed_on()
