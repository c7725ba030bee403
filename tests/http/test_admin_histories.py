"""/admin/revocations and /admin/audit: what was revoked, by whom, and who did what."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from service.app import App
from service.keys.signer import PrivateKey
from tests.conftest import AUDIENCE, register
from tests.http.administrators import (
    UNKNOWN_ID,
    Administrator,
    assert_admin_refusal,
    make_administrator,
)
from tests.http.forge import Forge, is_active, issue
from tests.sessions import begin, claims_of, execute, fetch, present


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


async def revoked(administrator: Administrator, subject: str) -> list[dict[str, Any]]:
    """The facts about a subject."""
    return (await administrator.get("revocations", subject=subject)).json()["revocations"]


async def test_any_clients_access_token_is_made_void(administrator: Administrator) -> None:
    """DIST-2: for good, everywhere; a second time it was void already."""
    app, http = administrator.app, administrator.http
    client = await register(app)
    token, other = await issue(http, client), await issue(http, client)
    jti = claims_of(token)["jti"]
    for first in (True, False):
        answer = await administrator.post("revocations", token=token)
        assert answer.status_code == 200
        assert answer.json() == {"kind": "jti", "subject": jti, "revoked": first}
    assert not await is_active(http, client, token)
    assert await is_active(http, client, other)
    await app.services.keeper.publish()
    (fact,) = await revoked(administrator, jti)
    head = app.services.keeper.newest()
    assert head is not None
    assert fact["number"] == head.number
    assert fact.pop("number") > 0
    assert fact.pop("created_at") < fact.pop("expires_at")
    assert int(fact.pop("id")) > 0
    assert fact == {
        "kind": "jti",
        "subject": jti,
        "version": 0,
        "client_id": client.id,
        "reason": "revoked",
        "actor": administrator.actor,
        "published": True,
    }
    query = "SELECT jws FROM feed_entries WHERE number = $1 AND epoch = $2"
    entry = claims_of(await fetch(app, query, head.number, UUID(head.epoch)))
    assert jti in [each.get("jti") for each in entry["facts"]]


async def test_a_refresh_token_stands_for_its_session(administrator: Administrator) -> None:
    """REV-1: of any generation."""
    app, http = administrator.app, administrator.http
    begun, caller = await begin(app), await register(app, serves=(AUDIENCE,))
    assert (await present(http, begun.client, begun.token)).status_code == 200
    for first in (True, False):
        answer = await administrator.post("revocations", token=begun.token)
        assert answer.json() == {"kind": "sid", "subject": str(begun.id), "revoked": first}
    assert not await is_active(http, caller, begun.tokens.access_token)
    (fact,) = await revoked(administrator, str(begun.id))
    assert (fact["kind"], fact["reason"]) == ("sid", "revoked_by_administrator")


async def test_what_is_no_token_of_ours_is_refused(
    administrator: Administrator, attacker: PrivateKey
) -> None:
    forge = Forge(administrator.app, administrator.client.id)
    token = forge.token(sign=attacker.sign)
    for text in ("x", "wwr_", "wwr_AQABAaH9", token, "a.b.c", "\N{SNOWMAN}", "x" * 8192):
        answer = await administrator.post("revocations", token=text)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"token"})
    for members in ({}, {"token": None}, {"token": 1}, {"token": "\0"}, {"token": "x" * 8193}):
        answer = await administrator.ask("POST", "revocations", members)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"token"})


async def test_an_administrator_can_take_back_the_own_token(
    app: App, http: httpx.AsyncClient
) -> None:
    """DIST-2: it is none for the next request."""
    other = await make_administrator(app, http)
    assert (await other.post("revocations", token=other.token)).json()["revoked"] is True
    assert_admin_refusal(await other.get("revocations"), "invalid_token", 401)


async def test_revocations_are_listed_newest_first(administrator: Administrator) -> None:
    client = await register(administrator.app)
    tokens = [await issue(administrator.http, client) for _ in range(3)]
    jtis = [claims_of(token)["jti"] for token in tokens]
    for token in tokens:
        await administrator.post("revocations", token=token)
    await administrator.post(f"clients/{client.id}/revoke")
    found = await administrator.walk("revocations", "revocations", limit=2)
    ours = [it["subject"] for it in found if it["client_id"] == client.id]
    assert ours == [client.id, *reversed(jtis)]
    assert [int(it["id"]) for it in found] == sorted((int(it["id"]) for it in found), reverse=True)
    kinds = {
        it["kind"] for it in await administrator.walk("revocations", "revocations", kind="jti")
    }
    assert kinds == {"jti"}
    answer = await administrator.get("revocations", kind="client", subject=client.id)
    assert [it["version"] for it in answer.json()["revocations"]] == [1]
    answer = await administrator.get("revocations", kind="sid", subject=client.id)
    assert answer.json() == {"revocations": []}


async def test_the_trail_is_listed_newest_first(administrator: Administrator) -> None:
    """By event, by whom it is about, and by when it happened."""
    app = administrator.app
    begun = await begin(app)
    await administrator.ask("DELETE", f"sessions/{begun.id}")
    await administrator.post(f"users/{begun.user.id}/disable")
    await administrator.post(f"clients/{begun.client.id}/revoke")
    user, session, client = str(begun.user.id), str(begun.id), begun.client.id
    query = "UPDATE audit_events SET at = at - interval '1 hour' WHERE user_id = $1 AND event = $2"
    await execute(app, query, begun.user.id, "user_disabled")
    since = (datetime.now(UTC) - timedelta(minutes=5)).isoformat()
    for filters, wanted in (
        ({"user_id": user}, ["user_disabled", "session_ended", "session_begun", "user_created"]),
        ({"session_id": session}, ["session_ended", "session_begun"]),
        ({"client_id": client, "event": "client_revoked"}, ["client_revoked"]),
        ({"user_id": user, "event": "client_revoked"}, []),
        ({"user_id": user, "since": since}, ["session_ended", "session_begun", "user_created"]),
        ({"user_id": user, "until": since}, ["user_disabled"]),
        ({"user_id": user, "since": since, "until": since}, []),
        ({"user_id": UNKNOWN_ID}, []),
    ):
        found = await administrator.walk("audit", "events", **filters, limit=2)
        assert [it["event"] for it in found] == wanted, filters
    (event,) = (await administrator.get("audit", event="client_revoked", client_id=client)).json()[
        "events"
    ]
    assert event.pop("at").endswith("Z")
    assert int(event.pop("id")) > 0
    assert len(event.pop("request_id")) == 32
    assert event == {
        "event": "client_revoked",
        "client_id": client,
        "user_id": None,
        "session_id": None,
        "generation": None,
        "address": "127.0.0.1",
        "detail": {"actor": administrator.actor, "epoch": 1},
    }


async def test_the_trail_stays_whole_while_it_grows(administrator: Administrator) -> None:
    client = await register(administrator.app)
    for _ in range(5):
        await administrator.post(f"clients/{client.id}/enable")
    params: dict[str, Any] = {"client_id": client.id, "limit": 2}
    whole = await administrator.walk("audit", "events", client_id=client.id)
    found: list[dict[str, Any]] = []
    while True:
        answer = (await administrator.get("audit", **params)).json()
        found += answer["events"]
        if "next" not in answer:
            break
        params["after"] = answer["next"]
        await administrator.post(f"clients/{client.id}/enable")
    assert found == whole
    assert len(found) == 6
