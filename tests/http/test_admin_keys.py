"""/admin/keys: the signing keys of a pod of the module's own, which may kill them."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from service.app import App, open_app
from service.flows import load_keys
from service.sql.connection import DatabaseUnavailable
from tests.conftest import MakeSettings, http_to, until
from tests.house.test_openapi import check
from tests.http.administrators import Administrator, assert_admin_refusal, make_administrator
from tests.keys.pem import damaged_pem, pem
from tests.sessions import execute, fetch

SHOWN = {"kid", "purpose", "alg", "state", "since", "next", "next_at", "wrap_key_id", "lacking"}


@pytest.fixture(scope="module")
async def app(make_settings: MakeSettings) -> AsyncIterator[App]:
    async with AsyncExitStack() as stack:
        app = await stack.enter_async_context(open_app(await make_settings(), "0.0.0-test"))
        await until(lambda: app.services.readiness.ready)
        yield app


@pytest.fixture(scope="module")
async def own_http(app: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http_to(app) as http:
        yield http


@pytest.fixture
async def administrator(app: App, own_http: httpx.AsyncClient) -> Administrator:
    """With a new token, of the key that signs now: that of the one before may be dead."""
    await app.services.keeper.tick()  # reads what the test before did to the keys
    return await make_administrator(app, own_http)


async def keys_of(administrator: Administrator, purpose: str = "token") -> dict[str, str]:
    """The states of the keys, by key id."""
    listed = (await administrator.get("keys")).json()["keys"]
    return {it["kid"]: it["state"] for it in listed if it["purpose"] == purpose}


async def kid_of(administrator: Administrator, state: str, purpose: str = "token") -> str:
    """The key in that state, which the pod makes within its next ticks."""
    for _ in range(500):
        found = [kid for kid, it in (await keys_of(administrator, purpose)).items() if it == state]
        if found:
            return found[0]
        await administrator.app.services.keeper.tick()
    raise AssertionError(f"no key is {state}")


async def last_actor(administrator: Administrator, event: str) -> Any:
    (found,) = (await administrator.get("audit", event=event, limit=1)).json()["events"]
    assert found["address"] == "127.0.0.1"
    return found["detail"]["actor"]


async def test_keys_are_listed_with_what_comes_next(administrator: Administrator) -> None:
    """JWKS-4: of a private half nothing is shown."""
    await kid_of(administrator, "pending")
    answer = await administrator.get("keys")
    assert set(answer.json()) == {"keys"}
    keys = answer.json()["keys"]
    assert [it["purpose"] for it in keys[:2]] == ["token", "token"]
    assert keys[-1]["purpose"] == "feed"
    assert [(it["state"], it["next"]) for it in keys[:2]] == [
        ("active", "retires"),
        ("pending", "signs"),
    ]
    assert all(it.keys() == SHOWN for it in keys)
    assert keys[0]["next_at"] == keys[1]["next_at"]
    one = await administrator.get(f"keys/{keys[0]['kid']}")
    assert one.json().keys() == SHOWN | {"public_jwk"}
    jwks = (await administrator.http.get("/.well-known/jwks.json")).json()["keys"]
    assert one.json()["public_jwk"]["n"] in [it["n"] for it in jwks]
    for text in (answer.text, one.text):
        assert "private" not in text
        assert '"d"' not in text


async def test_a_rotation_waits_for_the_verifiers_or_does_not(administrator: Administrator) -> None:
    """JWKS-4: the key that signed until then retires."""
    active = await kid_of(administrator, "active")
    pending = await kid_of(administrator, "pending")
    answer = await administrator.post("keys/rotate")
    assert answer.status_code == 200
    check("/admin/keys/rotate", "post", answer)
    shown = answer.json()
    assert (shown["kid"], shown["replaces"], shown["lacking"]) == (pending, active, [])
    assert shown["signs_at"].endswith("Z")
    assert shown["not_sooner_because"] == [
        "no verifier reports, so nobody knows who has fetched it"
    ]
    assert (await keys_of(administrator))[active] == "active"
    assert await last_actor(administrator, "key_rotation_asked") == administrator.actor
    answer = await administrator.post("keys/rotate", now=True, purpose="token")
    assert (answer.json()["kid"], answer.json()["not_sooner_because"]) == (pending, [])
    states = await keys_of(administrator)
    assert (states[active], states[pending]) == ("retiring", "active")
    assert await last_actor(administrator, "key_rotated_at_once") == administrator.actor
    assert (await administrator.get("clients")).status_code == 200  # its token is still good


async def test_each_algorithm_rotates_by_itself(administrator: Administrator) -> None:
    """Nobody asked for ES256 so far, so that there is no key of it."""
    await kid_of(administrator, "pending")
    before = await keys_of(administrator)
    answer = await administrator.post("keys/rotate", alg="ES256", now=True)
    assert_admin_refusal(answer, "temporarily_unavailable", 503)
    assert await keys_of(administrator) == before


async def test_without_a_pending_key_one_asks_again(administrator: Administrator) -> None:
    pending = await kid_of(administrator, "pending")
    query = "UPDATE signing_keys SET state = $2 WHERE kid = $1"
    await execute(administrator.app, query, pending, "removed")
    answer = await administrator.post("keys/rotate", now=True)
    assert_admin_refusal(answer, "temporarily_unavailable", 503)
    check("/admin/keys/rotate", "post", answer)
    assert answer.headers["retry-after"] == "15"
    await execute(administrator.app, query, pending, "pending")


@pytest.mark.parametrize("purpose", ["token", "feed"])
async def test_a_killed_key_is_dead_at_once(
    administrator: Administrator, app: App, own_http: httpx.AsyncClient, purpose: str
) -> None:
    """JWKS-4, DIST-2: its tokens are void, the next one signs, and the feed says so."""
    active = await kid_of(administrator, "active", purpose)
    pending = await kid_of(administrator, "pending", purpose)
    answer = await administrator.post(f"keys/{active}/kill", wait=0)
    assert answer.status_code == 200, answer.text
    check("/admin/keys/{id}/kill", "post", answer)
    seen = answer.json().pop("seen_by")
    assert (seen["seen"], seen["of"]) == (0, 0)
    assert {name: answer.json()[name] for name in ("kid", "purpose", "killed", "successor")} == {
        "kid": active,
        "purpose": purpose,
        "killed": True,
        "successor": pending,
    }
    if purpose == "token":
        assert_admin_refusal(await administrator.get("keys"), "invalid_token", 401)
    again = await make_administrator(app, own_http)
    assert active not in await keys_of(again, purpose)
    (fact,) = (await again.get("revocations", kind="kid", subject=active)).json()["revocations"]
    assert (fact["actor"], fact["published"], fact["expires_at"]) == (
        administrator.actor,
        True,
        None,
    )
    answer = await again.post(f"keys/{active}/kill")
    assert (answer.json()["killed"], "seen_by" in answer.json()) == (False, False)
    assert await last_actor(again, "key_killed") == administrator.actor
    jwks = (await own_http.get("/.well-known/jwks.json")).text
    assert active not in jwks


async def test_a_killed_key_is_dead_also_when_the_next_can_t_be_read(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The death is committed: what is read again after it comes with the next tick."""
    active = await kid_of(administrator, "active")
    await kid_of(administrator, "pending")

    async def fail(*_: object) -> None:
        raise DatabaseUnavailable("PostgreSQL is away")

    monkeypatch.setattr("service.http.admin_keys.load_keys", fail)
    answer = await administrator.post(f"keys/{active}/kill")
    assert (answer.status_code, answer.json()["killed"]) == (200, True)
    assert_admin_refusal(await administrator.get("keys"), "invalid_token", 401)


async def test_the_news_of_a_death_wait_for_no_new_key(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DIST-6: a long RSA key takes seconds to make, hardware a minute."""
    active = await kid_of(administrator, "active")
    await kid_of(administrator, "pending")
    may_go_on, generate = threading.Event(), load_keys._generate

    def wait(*arguments: Any) -> Any:
        may_go_on.wait(20)
        return generate(*arguments)

    monkeypatch.setattr(load_keys, "_generate", wait)
    number = "SELECT number FROM revocations WHERE kind = 'kid' AND subject = $1"
    try:
        async with asyncio.timeout(5):
            assert (await administrator.post(f"keys/{active}/kill")).json()["killed"]
            while await fetch(administrator.app, number, active) is None:
                await administrator.app.services.keeper.tick()
    finally:
        may_go_on.set()


async def test_an_unknown_key_is_not_found(administrator: Administrator) -> None:
    """ATK-105: one answer, whatever the id's form."""
    for kid in ("unknown", "%00", "' OR 1=1--", "é", "x" * 200):
        for method, path in (("GET", f"keys/{kid}"), ("POST", f"keys/{kid}/kill")):
            answer = await administrator.ask(method, path)
            assert_admin_refusal(answer, "not_found", 404)
            assert answer.json()["error_description"] == "there is no such key"


async def test_a_key_from_elsewhere_is_the_pending_one(administrator: Administrator) -> None:
    """And never comes in twice; nothing of it is said again."""
    before = await kid_of(administrator, "pending")
    private = pem(rsa.generate_private_key(65537, 2048)).decode()
    answer = await administrator.post("keys", private_key=private)
    assert answer.status_code == 201, answer.text
    check("/admin/keys", "post", answer)
    kid = answer.json()["kid"]
    assert (answer.json()["state"], answer.json()["purpose"]) == ("pending", "token")
    assert await kid_of(administrator, "pending") == kid != before
    assert await last_actor(administrator, "key_imported") == administrator.actor
    assert private.splitlines()[1] not in answer.text
    answer = await administrator.post("keys", private_key=private, purpose="token")
    assert_admin_refusal(answer, "invalid_request", 400, fields={"private_key"})


@pytest.mark.parametrize(
    "private_key",
    ["", "x", damaged_pem().decode(), 1, "\0", "é"],
)
async def test_what_is_no_fit_key_is_refused(
    administrator: Administrator, private_key: object
) -> None:
    """JWKS-2: and not said again."""
    answer = await administrator.ask("POST", "keys", {"private_key": private_key})
    assert_admin_refusal(answer, "invalid_request", 400, fields={"private_key"})
    small = pem(rsa.generate_private_key(65537, 1024)).decode()  # noqa: S505 (to be refused)
    answer = await administrator.post("keys", private_key=small)
    assert_admin_refusal(answer, "invalid_request", 400, fields={"private_key"})
    assert small.splitlines()[1] not in answer.text


async def test_a_bad_member_is_named(administrator: Administrator) -> None:
    query = "SELECT count(*) FROM audit_events WHERE event = 'key_rotated_at_once'"
    before = await fetch(administrator.app, query)
    for path, members in (
        ("keys/rotate", {"purpose": "x"}),
        ("keys/rotate", {"alg": "HS256"}),
        ("keys/rotate", {"now": 1}),
        ("keys", {"purpose": 1, "private_key": "x"}),
        ("keys/unknown/kill", {"wait": 11}),
        ("keys/unknown/kill", {"wait": "1"}),
    ):
        answer = await administrator.ask("POST", path, members)
        name = next(iter(members))
        assert_admin_refusal(answer, "invalid_request", 400, fields={name})
    assert await fetch(administrator.app, query) == before


async def test_a_master_key_that_a_pod_lacks_is_no_fault_of_the_request(
    administrator: Administrator, app: App
) -> None:
    """503: what is wrapped under it would be of no use there."""
    instance = "INSERT INTO instances SELECT gen_random_uuid(), 'pod-x', release, schema_number,"
    instance += " '{}', refresh_key_ids FROM instances LIMIT 1"
    await execute(app, instance)
    private = pem(rsa.generate_private_key(65537, 2048)).decode()
    answer = await administrator.post("keys", private_key=private)
    assert_admin_refusal(answer, "temporarily_unavailable", 503)
    await execute(app, "DELETE FROM instances WHERE name = 'pod-x'")
    assert json.loads(answer.text).keys() == {"error", "error_description"}
