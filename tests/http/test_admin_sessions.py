"""/admin/sessions: who is logged in where, and the end of it. ATK-105."""

from uuid import uuid4

import httpx
import pytest

from service.app import App
from tests.conftest import AUDIENCE, register
from tests.http.administrators import (
    UNKNOWN_ID,
    Administrator,
    assert_admin_refusal,
    make_administrator,
)
from tests.http.forge import is_active
from tests.sessions import begin, execute, fetch, fetch_session, make_public, present

SHOWN = {
    *("id", "user_id", "client_id", "device", "scope", "audiences", "roles", "amr", "generation"),
    *("auth_time", "created_at", "last_used_at", "idle_expires_at", "expires_at", "living"),
    *("ended_at", "ended_because"),
}


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


async def test_a_session_is_shown_without_its_secret(administrator: Administrator) -> None:
    """ATK-96."""
    begun = await begin(administrator.app)
    answer = await administrator.get(f"sessions/{begun.id}")
    shown = answer.json()
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
    assert shown.keys() == SHOWN
    assert (shown["id"], shown["user_id"], shown["client_id"]) == (
        str(begun.id),
        str(begun.user.id),
        begun.client.id,
    )
    assert (shown["living"], shown["ended_at"], shown["ended_because"]) == (True, None, None)
    assert (shown["scope"], shown["audiences"]) == ("orders:read orders:write", [AUDIENCE])
    listed = await administrator.get("sessions", user_id=str(begun.user.id))
    assert listed.json() == {"sessions": [shown]}
    digest = (await fetch_session(administrator.app, begun.id))["secret_digest"]
    for text in (answer.text, listed.text):
        assert digest.hex() not in text
        assert begun.token[-20:] not in text


async def test_ending_a_session_ends_its_tokens(administrator: Administrator) -> None:
    """DIST-2: at once, and the feed says so; one that is over is as good, and writes nothing."""
    app, http = administrator.app, administrator.http
    begun, caller = await begin(app), await register(app, serves=(AUDIENCE,))
    other = await begin(app, begun.client, begun.user)
    assert await is_active(http, caller, begun.tokens.access_token)
    for _ in range(2):
        answer = await administrator.ask("DELETE", f"sessions/{begun.id}")
        assert (answer.status_code, answer.content) == (204, b"")
    assert not await is_active(http, caller, begun.tokens.access_token)
    assert await is_active(http, caller, other.tokens.access_token)
    assert (await present(http, begun.client, begun.token)).json()["error"] == "invalid_grant"
    shown = (await administrator.get(f"sessions/{begun.id}")).json()
    assert (shown["living"], shown["ended_because"]) == (False, "ended_by_administrator")
    await app.services.keeper.publish()
    answer = await administrator.get("revocations", kind="sid", subject=str(begun.id))
    (fact,) = answer.json()["revocations"]
    assert (fact["actor"], fact["published"]) == (administrator.actor, True)
    answer = await administrator.get("audit", session_id=str(begun.id), event="session_ended")
    (event,) = answer.json()["events"]
    assert event["detail"] == {"actor": administrator.actor, "reason": "ended_by_administrator"}
    assert (event["user_id"], event["address"]) == (str(begun.user.id), "127.0.0.1")


@pytest.mark.parametrize(
    "spell",
    [UNKNOWN_ID, UNKNOWN_ID.upper(), UNKNOWN_ID.replace("-", ""), "", "x", "%00", "' OR 1=1--"],
)
async def test_an_unknown_session_is_not_found(administrator: Administrator, spell: str) -> None:
    """ATK-105: one answer, whatever the id's form, also for the id of something else."""
    user_id = (await begin(administrator.app)).user.id
    for session_id in (spell, str(user_id)):
        for method in ("GET", "DELETE"):
            answer = await administrator.ask(method, f"sessions/{session_id}")
            assert_admin_refusal(answer, "not_found", 404)
            assert answer.json()["error_description"] == "there is no such session"


async def test_sessions_are_found_by_whose_they_are(administrator: Administrator) -> None:
    """What ended in any way does not live."""
    app = administrator.app
    client, other = await make_public(app), await make_public(app)
    first = await begin(app, client)
    user_id = str(first.user.id)
    living = [first, await begin(app, other, first.user), await begin(app, client)]
    ended = [await begin(app, client, first.user) for _ in range(2)]
    await administrator.ask("DELETE", f"sessions/{ended[0].id}")
    query = "UPDATE sessions SET idle_expires_at = created_at WHERE id = $1"
    await execute(app, query, ended[1].id)
    ids = [str(it.id) for it in (*living, *ended)]
    for filters, wanted in (
        ({"user_id": user_id}, [ids[4], ids[3], ids[1], ids[0]]),
        ({"user_id": user_id, "client_id": client.id}, [ids[4], ids[3], ids[0]]),
        ({"user_id": user_id, "living": "true"}, [ids[1], ids[0]]),
        ({"user_id": user_id, "living": "false"}, [ids[4], ids[3]]),
        ({"client_id": client.id, "living": "true"}, [ids[2], ids[0]]),
        ({"client_id": other.id}, [ids[1]]),
        ({"client_id": "unknown-client"}, []),
        ({"user_id": UNKNOWN_ID}, []),
    ):
        found = await administrator.walk("sessions", "sessions", **filters, limit=2)
        assert [it["id"] for it in found] == wanted, filters
    await administrator.post(f"clients/{client.id}/revoke")
    found = await administrator.walk("sessions", "sessions", client_id=client.id)
    assert {it["living"] for it in found} == {False}
    reasons = [it["ended_because"] for it in found]
    assert reasons == ["not_used", "ended_by_administrator", "client_revoked", "client_revoked"]


async def test_pages_stay_whole_while_sessions_begin_and_end(administrator: Administrator) -> None:
    """None comes twice, and none is left out that was there from the beginning."""
    app = administrator.app
    client = await make_public(app)
    before = [await begin(app, client) for _ in range(7)]
    found: list[str] = []
    params = {"client_id": client.id, "limit": 3}
    while True:
        answer = (await administrator.get("sessions", **params)).json()
        found += [it["id"] for it in answer["sessions"]]
        if "next" not in answer:
            break
        params["after"] = answer["next"]
        await begin(app, client)
        await administrator.ask("DELETE", f"sessions/{answer['next']}")
    assert found == [str(it.id) for it in reversed(before)]
    assert await fetch(app, "SELECT count(*) FROM sessions WHERE client_id = $1", client.id) > 7


async def test_one_page_is_not_followed_by_an_empty_one(administrator: Administrator) -> None:
    client = await make_public(administrator.app)
    for _ in range(2):
        await begin(administrator.app, client)
    answer = await administrator.get("sessions", client_id=client.id, limit=2)
    assert (len(answer.json()["sessions"]), "next" in answer.json()) == (2, False)
    after = str(uuid4())
    assert (await administrator.get("sessions", after=after)).status_code == 200
