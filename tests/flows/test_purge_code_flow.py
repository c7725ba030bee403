"""What is left of sign-ons, requests, codes and consents: nothing, in time, and of the erased."""

from datetime import timedelta
from unittest.mock import AsyncMock

import pytest

from service.app import App
from service.flows.manage_users import delete
from service.flows.origin import OPERATOR
from service.flows.purge import purge
from tests.conftest import MakeApp, MakeSettings
from tests.http.at_pages import signed_on, visitor
from tests.http.browsing import Pkce, hidden, make_web_client, obtain_code, redeem, request_of
from tests.sessions import execute, fetch

PKCE = Pkce()
COUNT = {
    "sign_ons": "SELECT count(*) FROM sign_ons",
    "authorization_requests": "SELECT count(*) FROM authorization_requests",
    "authorization_codes": "SELECT count(*) FROM authorization_codes",
}
_EARLIER = "SET expires_at = expires_at - $1::interval"
AGE = {name: f"UPDATE {name} {_EARLIER}" for name in COUNT}


@pytest.fixture
async def own(
    make_app: MakeApp, make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> App:
    """A pod whose database nobody else purges or fills, nor the pod itself."""
    monkeypatch.setattr("service.background.purge", AsyncMock())
    return await make_app(await make_settings())


async def purged(app: App) -> dict[str, int]:
    counts = await purge(app.services.database, audit_retention=timedelta(days=90))
    return {name: counts[name] for name in COUNT}


async def left(app: App) -> dict[str, int]:
    return {name: await fetch(app, query) for name, query in COUNT.items()}


async def age(app: App, name: str, **time: float) -> None:
    await execute(app, AGE[name], timedelta(**time))


async def test_each_goes_when_it_matters_no_more(own: App) -> None:
    """AUTHZ-18, AC-7: requests and unspent codes when they are over, all else later."""
    client, someone = await make_web_client(own), await signed_on(own)
    spent = await obtain_code(someone.browser, client, PKCE)
    assert (await redeem(own, client, spent, PKCE)).status_code == 200
    await obtain_code(someone.browser, client, PKCE)  # nobody comes for this one
    await visitor(own).get("/authorize", **request_of(client, PKCE))
    begun = await left(own)
    assert begun == {"sign_ons": 1, "authorization_requests": 2, "authorization_codes": 2}
    nothing = dict.fromkeys(COUNT, 0)
    assert await purged(own) == nothing
    await age(own, "authorization_requests", minutes=31)
    await age(own, "authorization_codes", minutes=2)
    assert await purged(own) == {**nothing, "authorization_requests": 2, "authorization_codes": 1}
    # The spent one is known again for a day, to end what a thief began with it.
    answer = await redeem(own, client, spent, PKCE)
    assert answer.json()["error"] == "invalid_grant"
    query = "SELECT revoked_reason FROM sessions WHERE user_id = $1"
    assert await fetch(own, query, someone.user.id) == "code_reused"
    await age(own, "authorization_codes", days=1)
    assert await purged(own) == {**nothing, "authorization_codes": 1}
    lifetime = own.services.settings.sign_on_absolute
    await execute(own, AGE["sign_ons"], lifetime + timedelta(days=29, hours=23))
    assert await purged(own) == nothing
    await age(own, "sign_ons", hours=2)
    assert await purged(own) == {**nothing, "sign_ons": 1}


async def test_many_go_in_one_purge(own: App) -> None:
    """In batches, and nothing is left of a flood."""
    client = await make_web_client(own)
    flood = """
        INSERT INTO authorization_requests (handle_digest, client_id, parameters, expires_at)
        SELECT sha256(number::text::bytea), $1, '[]', clock_timestamp() - interval '1 s'
        FROM generate_series(1, 1700) AS number
    """
    await execute(own, flood, client.id)
    assert (await purged(own))["authorization_requests"] == 1700
    assert (await left(own))["authorization_requests"] == 0


async def test_nothing_of_a_person_is_left_after_erasure(own: App) -> None:
    """Sign-ons and consents go; a spent code has kept no device; the codes of others stay."""
    client, someone, other = await make_web_client(own), await signed_on(own), await signed_on(own)
    for each in (someone, other):
        each.browser.http.headers["user-agent"] = "Mozilla/5.0 (X11; Linux) Firefox/140.0"
        code = await obtain_code(each.browser, client, PKCE)
        assert (await redeem(own, client, code, PKCE)).status_code == 200
    page = await someone.browser.follow(await someone.ask(client, PKCE, prompt="consent"))
    await delete(own.services.database, someone.user.id, OPERATOR)
    for query in (
        "SELECT count(*) FROM sign_ons WHERE user_id = $1",
        "SELECT count(*) FROM consents WHERE user_id = $1",
        "SELECT count(device) FROM authorization_codes WHERE user_id = $1",
        "SELECT count(device) FROM sessions WHERE user_id = $1",
    ):
        assert await fetch(own, query, someone.user.id) == 0
    assert await fetch(own, "SELECT count(*) FROM consents WHERE user_id = $1", other.user.id) == 1
    answer = await someone.browser.post("/consent", **hidden(page), decision="allow")
    assert answer.status_code == 403
