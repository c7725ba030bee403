"""Codes under way, racing each other and what ends them: AC-7, AUTHZ-18, ATK-47, RT-17."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from service.app import App
from service.flows.authorization_code import CodeRequest
from service.flows.grant_code import AlreadyAnswered, grant_code
from service.flows.issue_code import Grant
from service.flows.manage_users import set_password
from service.flows.origin import OPERATOR
from service.flows.own_sign_ons import withdraw_consent
from service.flows.session_tokens import SessionTokens
from service.oauth.authorization_request import AuthorizationRequest, read_request, read_target
from service.oauth.client import Client
from service.oauth.errors import ConsentRequired, InvalidGrant
from service.oauth.sign_on import SignOn
from service.sql.connection import DatabaseUnavailable
from service.sql.sign_on_sessions import end_sessions_of_sign_on
from service.sql.sign_ons import end_sign_on
from tests.conftest import MakeApp, RegisteredClient
from tests.http.at_pages import COUNT_CODES, count, signed_on
from tests.http.browsing import Pkce, make_web_client, obtain_code, redeem, request_of, response_of
from tests.sessions import fetch, know_client, make_user

PKCE = Pkce()
TIMES = 200
AT_ONCE = 8
LIVING = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND user_id = $1"


@pytest.fixture
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app)


async def test_of_twenty_at_once_one_has_the_tokens(
    app: App, make_app: MakeApp, client: RegisteredClient
) -> None:
    """AC-7, ATK-47: at two pods, each request on a connection of its own; the rest is refused.

    Every one of them had all that it takes, so none of the tokens lives on.
    """
    pods, someone = (app, await make_app(app.services.settings)), await signed_on(app)
    for _ in range(5):
        code = await obtain_code(someone.browser, client, PKCE)
        answers = await asyncio.gather(
            *(redeem(pods[i % 2], client, code, PKCE) for i in range(20))
        )
        found = Counter((it.status_code, it.json().get("error")) for it in answers)
        assert found == {(200, None): 1, (400, "invalid_grant"): 19}
        assert await fetch(app, LIVING, someone.user.id) == 0


async def test_a_double_click_makes_one_code(app: App, client: RegisteredClient) -> None:
    """AUTHZ-18, ATK-71: of ten clicks at once, one goes to the client."""
    someone = await signed_on(app)
    page = await someone.browser.follow(await someone.ask(client, PKCE))
    answers = await asyncio.gather(
        *(someone.browser.submit(page, decision="allow") for _ in range(10))
    )
    assert Counter(it.status_code for it in answers) == {303: 1, 400: 9}
    assert await count(app, COUNT_CODES, client.id) == 1
    assert [response_of(it).keys() for it in answers if it.status_code == 303] == [
        {"code", "state", "iss"}
    ]


async def test_allowing_and_denying_at_once_is_one_of_the_two(
    app: App, client: RegisteredClient
) -> None:
    """AUTHZ-18."""
    someone = await signed_on(app)
    for _ in range(10):
        page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="consent"))
        answers = await asyncio.gather(
            *(someone.browser.submit(page, decision=it) for it in ("allow", "deny"))
        )
        assert sorted(it.status_code for it in answers) == [303, 400]


class World:
    """Users who are signed on and codes of theirs, at flow level."""

    def __init__(self, app: App, client: Client) -> None:
        self.app, self.client = app, client
        self.database, self.sign_ons = app.services.database, app.services.sign_ons
        pairs = list(request_of(RegisteredClient(client.id, ""), PKCE).items())
        target = read_target(pairs, client)
        self.request: AuthorizationRequest = read_request(pairs, target, client)

    async def sign_on(self) -> SignOn:
        user = await make_user(self.database)
        cookie = await self.sign_ons.begin(user, None, OPERATOR, device=None)
        assert cookie is not None
        found = await self.sign_ons.find(cookie.write(), self.client.id)
        assert found is not None
        return found

    async def grant(self, sign_on: SignOn, *, consents: bool = True) -> str:
        grant = Grant(
            request=self.request, client=self.client, sign_on=sign_on, userinfo="x", device=None
        )
        return await grant_code(self.database, grant, handle_digest=None, consents=consents)

    async def redeem(self, code: str) -> SessionTokens | None:
        with suppress(InvalidGrant):
            return await self.app.services.codes.redeem(
                CodeRequest(
                    code=code,
                    client=self.client,
                    code_verifier=PKCE.verifier,
                    redirect_uri=None,
                    resources=(),
                    origin=OPERATOR,
                )
            )
        return None


@pytest.fixture
async def world(app: App, client: RegisteredClient) -> World:
    return World(app, await know_client(app.services.database, client.id))


async def later(number: int, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do it up to 5 ms later, by the race's number; again where a lock timed out."""
    await asyncio.sleep(number * 7 % 16 * 0.00035)
    for _ in range(5):
        with suppress(DatabaseUnavailable):
            return await work()
    raise AssertionError("every try timed out")


async def many(race: Callable[[int], Awaitable[bool]]) -> None:
    """So many races, a few at a time; each side has to have come first now and then."""
    found: list[bool] = []
    for start in range(0, TIMES, AT_ONCE):
        found += await asyncio.gather(*(race(i) for i in range(start, start + AT_ONCE)))
    assert 0 < sum(found) < len(found), "no race: one side always came first"


End = Callable[[World, SignOn], Awaitable[object]]


async def sign_out(world: World, sign_on: SignOn) -> object:
    return await world.sign_ons.end(sign_on, OPERATOR)


async def new_password(world: World, sign_on: SignOn) -> object:
    return await set_password(world.database, sign_on.user_id, "another", OPERATOR)


async def withdraw(world: World, sign_on: SignOn) -> object:
    return await withdraw_consent(world.database, sign_on.user_id, world.client.id, OPERATOR)


@pytest.mark.parametrize("end", [sign_out, new_password, withdraw])
async def test_no_token_outlives_what_a_redemption_races(app: App, world: World, end: End) -> None:
    """RT-17, AC-7: signed out, another password, consent withdrawn: 200 times each."""

    async def race(number: int) -> bool:
        sign_on = await world.sign_on()
        code = await world.grant(sign_on)
        tokens, _ = await asyncio.gather(
            later(number // 16, lambda: world.redeem(code)),
            later(number, lambda: end(world, sign_on)),
        )
        assert await fetch(app, LIVING, sign_on.user_id) == 0
        assert await world.redeem(code) is None
        assert await fetch(app, LIVING, sign_on.user_id) == 0
        return tokens is not None

    await many(race)


async def test_no_code_outlives_a_consent_that_is_withdrawn(app: App, world: World) -> None:
    """RT-17, AUTHZ-17: where the consent was remembered, and the code under way."""

    async def race(number: int) -> bool:
        sign_on = await world.sign_on()
        await world.grant(sign_on)

        async def silently() -> str | None:
            with suppress(ConsentRequired):
                return await world.grant(sign_on, consents=False)
            return None

        code, _ = await asyncio.gather(
            later(number // 16, silently),
            later(number, lambda: withdraw(world, sign_on)),
        )
        if code is not None:
            assert await world.redeem(code) is None
        assert await fetch(app, LIVING, sign_on.user_id) == 0
        return code is not None

    await many(race)


async def test_a_sign_out_and_a_redemption_do_not_wait_for_each_other(
    app: App, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RT-17: where the redemption has a session to end, too, of the same sign-on."""
    sign_on = await world.sign_on()
    assert await world.redeem(await world.grant(sign_on)) is not None
    code = await world.grant(sign_on)
    monkeypatch.setattr("service.flows.begin_session.MAX_SESSIONS_PER_USER", 1)
    async with world.database.transaction() as connection:
        assert await end_sign_on(connection, sign_on.id, "signed_out")
        redemption = asyncio.create_task(world.redeem(code))
        await asyncio.sleep(0.1)
        await connection.execute("SET LOCAL lock_timeout = '20ms'")
        assert len(await end_sessions_of_sign_on(connection, sign_on.id, "signed_out")) == 1
    with suppress(DatabaseUnavailable):  # a busy machine let it wait for too long
        assert await redemption is None
    assert await fetch(app, LIVING, sign_on.user_id) == 0


async def test_a_stored_request_has_one_answer(world: World) -> None:
    """AUTHZ-18: what was answered before gives no code."""
    grant = Grant(
        request=world.request,
        client=world.client,
        sign_on=await world.sign_on(),
        userinfo="x",
        device=None,
    )
    with pytest.raises(AlreadyAnswered):
        await grant_code(world.database, grant, handle_digest=b"x" * 32, consents=True)
