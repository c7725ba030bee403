"""What ends a code before it is redeemed, and what ends its tokens after: AC-7, RT-17."""

from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import reenable_client, revoke_client
from service.flows.manage_users import delete, disable, end_everywhere, set_password
from service.flows.origin import OPERATOR
from service.flows.own_sign_ons import withdraw_consent
from tests.conftest import MakeApp, RegisteredClient
from tests.http.at_pages import Visitor, signed_on, tokens_of
from tests.http.browsing import Pkce, make_web_client, obtain_code, redeem
from tests.http.refusals import assert_refused
from tests.sessions import claims_of, execute, fetch_session, new_life, present

PKCE = Pkce()


@pytest.fixture
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


@pytest.fixture
async def someone(app: App) -> Visitor:
    return await signed_on(app)


@pytest.fixture
async def code(someone: Visitor, client: RegisteredClient) -> str:
    return await obtain_code(someone.browser, client, PKCE)


async def is_active(http: httpx.AsyncClient, client: RegisteredClient, token: str) -> bool:
    answer = await http.post("/introspect", data={"token": token}, auth=client.auth)
    return answer.json()["active"]


async def test_a_code_that_comes_again_ends_what_it_began(
    app: App, http: httpx.AsyncClient, client: RegisteredClient, code: str
) -> None:
    """AC-7, ATK-47: one of the two who had it stole it; also after it expired."""
    tokens = await tokens_of(app, client, code, PKCE)
    newer = (await present(http, client, tokens["refresh_token"])).json()
    assert await is_active(http, client, newer["access_token"])
    late = "UPDATE authorization_codes SET expires_at = clock_timestamp() WHERE client_id = $1"
    await execute(app, late, client.id)
    assert_refused(await redeem(app, client, code, PKCE), "invalid_grant")
    for each in (tokens, newer):
        assert not await is_active(http, client, each["access_token"])
        assert_refused(await present(http, client, each["refresh_token"]), "invalid_grant")
    session = await fetch_session(app, claims_of(tokens["access_token"])["sid"])
    assert session["revoked_reason"] == "code_reused"


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "A" * 43},
        {"code_verifier": ""},
        {"redirect_uri": "https://evil.example/"},
        {"resource": "https://other.example"},
    ],
)
async def test_a_replay_that_proves_nothing_ends_nothing(
    app: App, http: httpx.AsyncClient, client: RegisteredClient, code: str, wrong: dict[str, str]
) -> None:
    """AC-7: else whoever sees a code could sign its user out."""
    tokens = await tokens_of(app, client, code, PKCE)
    changes = {"code_verifier": PKCE.verifier, **wrong}
    for _ in range(6):
        answer = await redeem(app, client, code, None, **changes)
        assert_refused(answer, "invalid_target" if "resource" in wrong else "invalid_grant")
    assert_refused(await redeem(app, await make_web_client(app), code, PKCE), "invalid_grant")
    bad = RegisteredClient(client.id, "wrong")
    assert_refused(await redeem(app, bad, code, PKCE), "invalid_client", 401)
    assert await is_active(http, client, tokens["access_token"])
    assert (await present(http, client, tokens["refresh_token"])).status_code == 200


End = Callable[[Visitor, RegisteredClient], Awaitable[Any]]


async def sign_out(someone: Visitor, _: RegisteredClient) -> Any:
    page = await someone.browser.get("/logout")
    return await someone.browser.submit(page, decision="sign_out")


async def new_password(someone: Visitor, _: RegisteredClient) -> Any:
    return await set_password(someone.app.services.database, someone.user.id, "another", OPERATOR)


async def disabled(someone: Visitor, _: RegisteredClient) -> Any:
    return await disable(someone.app.services.database, someone.user.id, OPERATOR)


async def deleted(someone: Visitor, _: RegisteredClient) -> Any:
    return await delete(someone.app.services.database, someone.user.id, OPERATOR)


async def everywhere(someone: Visitor, _: RegisteredClient) -> Any:
    database = someone.app.services.database
    return await end_everywhere(database, someone.user.id, "logged_out", OPERATOR)


async def another_life(someone: Visitor, _: RegisteredClient) -> Any:
    return await new_life(someone.app)


async def client_revoked(someone: Visitor, client: RegisteredClient) -> Any:
    database = someone.app.services.database
    await revoke_client(database, client.id, enabled=False)
    return await reenable_client(database, client.id)


async def withdrawn(someone: Visitor, client: RegisteredClient) -> Any:
    database = someone.app.services.database
    return await withdraw_consent(database, someone.user.id, client.id, OPERATOR)


ENDS: tuple[End, ...] = (
    *(sign_out, new_password, disabled, deleted, everywhere, client_revoked, withdrawn),
)


@pytest.mark.parametrize("end", [*ENDS, another_life])
async def test_no_code_outlives_what_ends_sessions(
    app: App, someone: Visitor, client: RegisteredClient, code: str, end: End
) -> None:
    """RT-17, AC-6: signed out, another password, disabled, erased, revoked, writes lost."""
    await end(someone, client)
    assert_refused(await redeem(app, client, code, PKCE), "invalid_grant")
    query = "SELECT session_id IS NULL FROM authorization_codes WHERE client_id = $1"
    async with app.services.database.connection() as connection:
        rows = await connection.fetch(query, client.id)
    assert [row[0] for row in rows] == [True]


@pytest.mark.parametrize("end", ENDS)
async def test_what_ends_sessions_ends_those_of_codes(
    app: App,
    http: httpx.AsyncClient,
    someone: Visitor,
    client: RegisteredClient,
    code: str,
    end: End,
) -> None:
    """RT-17."""
    tokens = await tokens_of(app, client, code, PKCE)
    await end(someone, client)
    assert_refused(await present(http, client, tokens["refresh_token"]), "invalid_grant")
    assert not await is_active(http, client, tokens["access_token"])


async def test_signing_out_leaves_what_was_granted_for_later(
    app: App, http: httpx.AsyncClient, someone: Visitor, client: RegisteredClient
) -> None:
    """RT-17: a session with offline_access outlives its sign-on, until consent is withdrawn."""
    code = await obtain_code(someone.browser, client, PKCE, scope="openid offline_access")
    tokens = await tokens_of(app, client, code, PKCE)
    await sign_out(someone, client)
    answer = await present(http, client, tokens["refresh_token"])
    assert answer.status_code == 200
    services = app.services
    assert await withdraw_consent(services.database, someone.user.id, client.id, OPERATOR) == 1
    answer = await present(http, client, answer.json()["refresh_token"])
    assert_refused(answer, "invalid_grant")


async def test_a_withdrawn_consent_is_asked_for_again(
    app: App, someone: Visitor, client: RegisteredClient, code: str
) -> None:
    """RT-17, AUTHZ-17."""
    await withdraw_consent(app.services.database, someone.user.id, client.id, OPERATOR)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    assert page.request.url.path == "/consent"


async def test_a_code_is_redeemed_at_any_pod_and_spent_for_all(
    app: App, client: RegisteredClient, code: str, make_app: MakeApp
) -> None:
    """AC-7."""
    other = await make_app(app.services.settings)
    assert (await redeem(other, client, code, PKCE)).status_code == 200
    assert_refused(await redeem(app, client, code, PKCE), "invalid_grant")
