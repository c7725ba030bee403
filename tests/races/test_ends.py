"""What ends sessions, racing what makes their tokens: an acknowledged end is final. RT-15, ATK-52.

At flow level, a thousand times each; the delays make either side come first.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import pytest

from service.app import App
from service.flows.begin_session import begin_session
from service.flows.client_credentials import utc_now
from service.flows.introspect import INACTIVE, introspect
from service.flows.manage_users import (
    change_password,
    disable,
    end_everywhere,
    set_password,
    set_roles,
)
from service.flows.origin import OPERATOR
from service.flows.refresh_token import RefreshRequest
from service.flows.revoke_refresh import revoke_refresh
from service.flows.session_tokens import SessionTokens
from service.oauth.client import Client
from service.oauth.errors import InvalidGrant
from service.oauth.user import KnownUser
from service.sql.connection import Database, DatabaseUnavailable
from tests.sessions import fetch, know_client, make_public, make_user

TIMES = 1000
AT_ONCE = 8
_TRIES = 5
LIVING = "SELECT count(*) FROM sessions WHERE revoked_at IS NULL AND user_id = $1"


async def many(race: Callable[[int], Awaitable[Any]], times: int) -> list[Any]:
    """What came of so many races, a few of them at a time."""
    found: list[Any] = []
    for start in range(0, times, AT_ONCE):
        found += await asyncio.gather(*(race(i) for i in range(start, start + AT_ONCE)))
    return found


async def later(number: int, work: Callable[[], Awaitable[Any]]) -> Any:
    """Do it up to 3 ms later, by the race's number.

    Again where a lock timed out, as on a busy machine: nothing was committed then.
    """
    await asyncio.sleep(number * 7 % 16 * 0.0002)
    for _ in range(_TRIES):
        with suppress(DatabaseUnavailable):
            return await work()
    raise AssertionError("every try timed out")


@pytest.fixture
async def client(app: App) -> Client:
    """A public client that may refresh."""
    return await know_client(app.services.database, (await make_public(app)).id)


async def test_no_token_outlives_a_revocation_that_a_refresh_races(
    app: App, client: Client
) -> None:
    """RT-15, ATK-52: whatever was issued before it returned is void, and nothing is after it."""
    services = app.services
    grant, database = services.refresh_tokens, services.database
    issuer, users = services.session_issuer, [await make_user(database) for _ in range(AT_ONCE)]

    async def refresh_on(token: str, issued: list[SessionTokens]) -> None:
        for _ in range(2):
            request = RefreshRequest(token=token, client=client, origin=OPERATOR)
            issued.append(await grant.refresh(request))
            token = issued[-1].refresh_token

    async def ask(token: str) -> dict[str, Any]:
        live, keyring = services.live_tokens, services.keyring
        return await introspect(token, client, live, keyring, services.issuer, utc_now())

    async def race(number: int) -> int:
        user = users[number % AT_ONCE]
        begun = await begin_session(database, issuer, user, client, OPERATOR, device=None)
        assert begun is not None
        issued, first = [begun], begun.refresh_token
        refreshing = asyncio.create_task(refresh_on(first, issued))
        tokens = issuer.refresh_tokens
        assert await later(
            number,
            lambda: revoke_refresh(first, database, tokens, OPERATOR, client_id=client.id),
        )
        (refused,) = await asyncio.gather(refreshing, return_exceptions=True)
        assert refused is None or isinstance(refused, InvalidGrant), refused
        newest = issued[-1].refresh_token
        with pytest.raises(InvalidGrant):
            await grant.refresh(RefreshRequest(token=newest, client=client, origin=OPERATOR))
        answers = await asyncio.gather(*(ask(it.access_token) for it in issued))
        assert answers == [INACTIVE] * len(issued)
        return len(issued)

    issued = await many(race, TIMES)
    assert len(set(issued)) > 1, "no race: one side always came first"


Ending = Callable[[Database, KnownUser, UUID], Awaitable[object]]


async def by_operator(database: Database, user: KnownUser, _: UUID) -> object:
    return await set_password(database, user.id, "another", OPERATOR)


async def by_user(database: Database, user: KnownUser, spared: UUID) -> object:
    return await change_password(
        database, user.id, "another", OPERATOR, version=user.credential_version, spared=spared
    )


async def by_disabling(database: Database, user: KnownUser, _: UUID) -> object:
    return await disable(database, user.id, OPERATOR)


async def everywhere(database: Database, user: KnownUser, _: UUID) -> object:
    return await end_everywhere(database, user.id, "logged_out", OPERATOR)


@pytest.fixture
def unsigned(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The claims of the tokens that are made, which no test here needs signed."""
    claims: list[dict[str, Any]] = []

    def keep(_signer: object, _typ: str, made: dict[str, Any]) -> str:
        claims.append(made)
        return made["jti"]

    monkeypatch.setattr("service.flows.session_tokens.sign", keep)
    return claims


@pytest.mark.parametrize("end", [by_operator, by_user, by_disabling, everywhere])
async def test_no_login_with_the_old_password_survives_its_change(
    app: App, client: Client, unsigned: list[dict[str, Any]], end: Ending
) -> None:
    """RT-17, ATK-52: of a thousand logins that race the end of all sessions, none lives on."""
    database, issuer = app.services.database, app.services.session_issuer

    async def login(user: KnownUser) -> SessionTokens | None:
        return await begin_session(database, issuer, user, client, OPERATOR, device=None)

    async def race(number: int) -> bool:
        user = await make_user(database)
        before = await login(user)
        assert before is not None
        tokens, _ = await asyncio.gather(
            later(number // 16, lambda: login(user)),
            later(number, lambda: end(database, user, before.session_id)),
        )
        # Only who changes the own password stays, where that was done.
        assert await fetch(app, LIVING, user.id) == (end is by_user)
        assert await login(user) is None
        return tokens is not None

    begun = await many(race, TIMES // 4)
    assert 0 < sum(begun) < len(begun), "no race: one side always came first"


async def test_no_session_keeps_roles_that_a_change_took_while_it_began(
    app: App, client: Client, unsigned: list[dict[str, Any]]
) -> None:
    """DIST-7: what says the old roles has an older claims version, and so is stale."""
    database, issuer = app.services.database, app.services.session_issuer

    async def race(number: int) -> int:
        user = await make_user(database)
        tokens, _ = await asyncio.gather(
            later(
                number // 16,
                lambda: begin_session(database, issuer, user, client, OPERATOR, device=None),
            ),
            later(number, lambda: set_roles(database, user.id, ("new",), OPERATOR)),
        )
        async with database.connection() as connection:
            row = await connection.fetchrow(
                "SELECT roles, claims_version FROM sessions WHERE id = $1", tokens.session_id
            )
        assert row is not None
        (said,) = (it for it in unsigned if it["sid"] == str(tokens.session_id))
        unsigned.remove(said)
        assert row["roles"] == ["new"]
        assert said["cv"] < row["claims_version"] or said.get("roles") == ("new",)
        return row["claims_version"]

    versions = await many(race, TIMES)
    assert set(versions) == {0, 1}, "no race: one side always came first"
