"""/admin/clients: what an administrator does to a client is seen where its tokens are used."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.app import App
from service.oauth.client import ADMIN_SCOPE, admin_audience
from service.sql.clients import lock_client
from service.sql.connection import Connection
from tests.conftest import AUDIENCE, register
from tests.http.administrators import (
    Administrator,
    assert_admin_refusal,
    make_administrator,
    register_administrator,
)
from tests.http.forge import is_active, issue
from tests.sessions import begin, fetch, know_client, make_public, present

MACHINE = {"audiences": [AUDIENCE], "scopes": ["orders:read", "orders:write"]}
SHOWN = {
    *("id", "name", "type", "token_endpoint_auth_method", "grant_types", "audiences", "scopes"),
    *(
        "default_scopes",
        "serves",
        "allowed_origins",
        "redirect_uris",
        "post_logout_redirect_uris",
        "require_pkce",
        "consent",
        "access_token_ttl",
        "session_idle_ttl",
    ),
    *("session_absolute_ttl", "grace", "first_party", "refresh_delivery", "signing_alg"),
    *("administrator", "enabled", "epoch", "secrets", "shadow_until"),
}


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


def new_id() -> str:
    return f"made-{uuid4().hex[:12]}"


async def last_event(administrator: Administrator, client_id: str) -> dict[str, Any]:
    """The newest audit event about the client, as an administrator is shown it."""
    answer = await administrator.get("audit", client_id=client_id, limit=1)
    return answer.json()["events"][0]


async def test_a_new_clients_secret_is_shown_once_and_works(administrator: Administrator) -> None:
    """ATK-109: what is left out is safe."""
    client_id = new_id()
    answer = await administrator.post("clients", id=client_id, **MACHINE)
    assert (answer.status_code, answer.headers["cache-control"]) == (201, "no-store")
    made = answer.json()
    secret = made.pop("client_secret")
    assert made.keys() == SHOWN
    assert (made["name"], made["type"], made["grant_types"]) == (
        client_id,
        "confidential",
        ["client_credentials"],
    )
    assert (made["first_party"], made["administrator"], made["secrets"]) == (False, False, 1)
    form = {"grant_type": "client_credentials"}
    issued = await administrator.http.post("/token", data=form, auth=(client_id, secret))
    assert issued.status_code == 200
    shown = await administrator.get(f"clients/{client_id}")
    assert shown.json() == made
    assert secret not in shown.text
    event = await last_event(administrator, client_id)
    assert (event["event"], event["detail"]["actor"]) == ("client_created", administrator.actor)
    assert (event["address"], event["request_id"]) == (
        "127.0.0.1",
        answer.headers["x-request-id"],
    )


async def test_every_member_of_a_registration_is_kept(administrator: Administrator) -> None:
    members: dict[str, Any] = {
        "id": new_id(),
        "name": "The shop, Österreich",
        "type": "public",
        "token_endpoint_auth_method": "none",
        "grant_types": ["refresh_token", "authorization_code"],
        "audiences": [AUDIENCE, "https://billing.example"],
        "scopes": ["orders:read", "orders:write"],
        "default_scopes": ["orders:read"],
        "serves": ["https://other.example"],
        "allowed_origins": [],
        "redirect_uris": ["https://shop.example/back"],
        "post_logout_redirect_uris": ["https://shop.example/"],
        "access_token_ttl": 120,
        "session_idle_ttl": 3600,
        "session_absolute_ttl": 7200,
        "grace": 0,
        "first_party": True,
        "refresh_delivery": "body",
        "signing_alg": "RS256",
        "consent": "skip",
        "require_pkce": True,
        "administrator": False,
    }
    answer = await administrator.ask("POST", "clients", members)
    assert answer.status_code == 201
    beside = {"enabled": True, "epoch": 0, "secrets": 0, "shadow_until": None}
    assert answer.json() == members | beside
    posted = {**MACHINE, "id": new_id(), "token_endpoint_auth_method": "client_secret_post"}
    answer = await administrator.ask("POST", "clients", posted)
    assert answer.json()["token_endpoint_auth_method"] == "client_secret_post"


async def test_an_administrator_may_make_another(administrator: Administrator) -> None:
    """Marked so, a client gets what its tokens need; and loses it with the mark."""
    client_id = new_id()
    made = (await administrator.post("clients", id=client_id, administrator=True)).json()
    assert made["audiences"] == [admin_audience(administrator.app.services.issuer)]
    assert made["scopes"] == [ADMIN_SCOPE]
    form = {"grant_type": "client_credentials"}
    auth = (client_id, made["client_secret"])
    issued = await administrator.http.post("/token", data=form, auth=auth)
    other = administrator.bearing(issued.json()["access_token"])
    assert (await other.get("clients")).status_code == 200
    changes = {"administrator": False, **MACHINE}
    changed = await administrator.ask("PATCH", f"clients/{client_id}", changes)
    assert (changed.status_code, changed.json()["scopes"]) == (200, MACHINE["scopes"])
    assert_admin_refusal(await other.get("clients"), "insufficient_scope", 403)


async def test_an_id_is_given_once(administrator: Administrator) -> None:
    client = await register(administrator.app)
    answer = await administrator.post("clients", id=client.id, **MACHINE)
    assert_admin_refusal(answer, "client_exists", 409, fields={"id"})
    token = await issue(administrator.http, client)
    assert await is_active(administrator.http, client, token)


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"id": None}, {"id"}),
        ({"id": "a"}, {"id"}),
        ({"id": "01a1fd52-3991-7b98-b0e3-b7a63839c280"}, {"id"}),
        ({"id": "' OR 1=1--"}, {"id"}),
        ({"name": ""}, {"name"}),
        ({"name": "\u202ename"}, {"name"}),
        ({"type": "secret"}, {"type"}),
        ({"audiences": []}, {"audiences"}),
        ({"audiences": AUDIENCE}, {"audiences"}),
        ({"audiences": [1]}, {"audiences"}),
        ({"audiences": ["a b"]}, {"audiences"}),
        ({"audiences": ["\0"]}, {"audiences"}),
        ({"audiences": ["x"] * 201}, {"audiences"}),
        ({"audiences": None}, {"audiences"}),
        ({"scopes": ['"']}, {"scopes"}),
        ({"scopes": [[]]}, {"scopes"}),
        ({"default_scopes": ["x"]}, {"default_scopes"}),
        ({"grant_types": ["password"]}, {"grant_types"}),
        ({"access_token_ttl": 59}, {"access_token_ttl"}),
        ({"access_token_ttl": 300.0}, {"access_token_ttl"}),
        ({"access_token_ttl": "300"}, {"access_token_ttl"}),
        ({"access_token_ttl": True}, {"access_token_ttl"}),
        ({"access_token_ttl": -1}, {"access_token_ttl"}),
        ({"access_token_ttl": 10**30}, {"access_token_ttl"}),
        ({"session_idle_ttl": 1}, {"session_idle_ttl"}),
        ({"session_absolute_ttl": 10**8}, {"session_absolute_ttl"}),
        ({"grace": 61}, {"grace"}),
        ({"first_party": "true"}, {"first_party"}),
        ({"first_party": True, "type": "confidential"}, {"type"}),
        ({"allowed_origins": ["https://a.example"]}, {"first_party"}),
        ({"refresh_delivery": "mail"}, {"refresh_delivery"}),
        ({"signing_alg": "none"}, {"signing_alg"}),
        ({"administrator": 1}, {"administrator"}),
        ({"scopes": ["watchword:admin"]}, {"administrator"}),
        ({"enabled": True}, {"enabled"}),
        ({"epoch": 7}, {"epoch"}),
        ({"client_secret": "mine"}, {"client_secret"}),
        ({"secret_digests": []}, {"secret_digests"}),
    ],
)
async def test_what_can_t_be_registered_is_refused_by_its_member(
    administrator: Administrator, changes: dict[str, Any], fields: set[str]
) -> None:
    """ATK-97, ATK-99, ATK-109: 400, and nothing is made."""
    members = {"id": new_id(), **MACHINE} | changes
    if members["id"] is None:
        del members["id"]
    answer = await administrator.ask("POST", "clients", members)
    assert_admin_refusal(answer, "invalid_request", 400, fields=fields)
    if "id" not in fields:
        assert (await administrator.get(f"clients/{members['id']}")).status_code == 404
        client = await register(administrator.app)
        if "type" not in changes:
            answer = await administrator.ask("PATCH", f"clients/{client.id}", changes)
            assert_admin_refusal(answer, "invalid_request", 400, fields=fields)
            assert (await last_event(administrator, client.id))["event"] == "client_created"


async def test_a_change_changes_what_it_names(administrator: Administrator) -> None:
    """And this pod goes by it from the next request on."""
    client = await register(administrator.app, default_scopes=("orders:read",))
    token = await issue(administrator.http, client)
    before = (await administrator.get(f"clients/{client.id}")).json()
    changes = {"name": "Another", "access_token_ttl": 60, "default_scopes": []}
    answer = await administrator.ask("PATCH", f"clients/{client.id}", changes)
    assert (answer.status_code, answer.json()) == (200, before | changes)
    form = {"grant_type": "client_credentials"}
    issued = await administrator.http.post("/token", data=form, auth=client.auth)
    assert issued.json()["expires_in"] == 60
    assert issued.json()["scope"] == "orders:read orders:write"
    assert await is_active(administrator.http, client, token)
    event = await last_event(administrator, client.id)
    assert event["detail"] == {
        "actor": administrator.actor,
        "members": ["access_token_ttl", "default_scopes", "name"],
    }
    for members in ({"type": "public"}, {"id": "other"}, {"token_endpoint_auth_method": "none"}):
        answer = await administrator.ask("PATCH", f"clients/{client.id}", members)
        assert_admin_refusal(answer, "invalid_request", 400, fields=set(members))
    answer = await administrator.ask("PATCH", f"clients/{client.id}", {})
    assert answer.json() == before | changes
    assert await last_event(administrator, client.id) == event


async def test_who_does_nothing_but_administer_is_disabled_instead(
    administrator: Administrator,
) -> None:
    """A client without an audience could do nothing: the refusal says what does."""
    own = f"clients/{(await register_administrator(administrator.app)).id}"
    answer = await administrator.ask("PATCH", own, {"administrator": False})
    assert_admin_refusal(answer, "invalid_request", 400, fields={"administrator"})
    assert "disable it, or name another audience" in answer.json()["fields"]["administrator"]
    changes = {"administrator": False, "audiences": [AUDIENCE]}
    answer = await administrator.ask("PATCH", own, changes)
    assert (answer.json()["administrator"], answer.json()["audiences"]) == (False, [AUDIENCE])


async def test_two_changes_at_once_are_both_made(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its own member, though both began with the same client."""
    client = await register(administrator.app)
    arrived, goes_on = asyncio.Event(), asyncio.Event()

    async def wait(connection: Connection, client_id: str) -> Any:
        """As late as can be before the row is locked."""
        if not arrived.is_set():
            arrived.set()
            await goes_on.wait()
        return await lock_client(connection, client_id)

    monkeypatch.setattr("service.flows.manage_clients.lock_client", wait)
    path = f"clients/{client.id}"
    first = asyncio.create_task(administrator.ask("PATCH", path, {"name": "First"}))
    await arrived.wait()
    assert (await administrator.ask("PATCH", path, {"grace": 7})).status_code == 200
    goes_on.set()
    shown = (await first).json()
    assert (shown["name"], shown["grace"]) == ("First", 7)


async def test_a_further_secret_lets_the_one_before_it_go_on(administrator: Administrator) -> None:
    client = await register(administrator.app)
    answer = await administrator.post(f"clients/{client.id}/secret", overlap_hours=1)
    assert (answer.status_code, answer.json()["secrets"]) == (201, 2)
    form = {"grant_type": "client_credentials"}
    for secret in (client.secret, answer.json()["client_secret"]):
        issued = await administrator.http.post("/token", data=form, auth=(client.id, secret))
        assert issued.status_code == 200
    newest = await administrator.post(f"clients/{client.id}/secret", overlap_hours=0)
    statuses = [
        (await administrator.http.post("/token", data=form, auth=(client.id, secret))).status_code
        for secret in (client.secret, answer.json()["client_secret"])
    ]
    assert (newest.json()["secrets"], statuses) == (1, [401, 401])
    assert (await administrator.post(f"clients/{client.id}/secret")).json()["secrets"] == 2
    for hours in (-1, 8761, "1", 1.5, True):
        answer = await administrator.post(f"clients/{client.id}/secret", overlap_hours=hours)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"overlap_hours"})
    public = await make_public(administrator.app)
    answer = await administrator.post(f"clients/{public.id}/secret")
    assert_admin_refusal(answer, "invalid_request", 400)


@pytest.mark.parametrize("verb", ["revoke", "disable"])
async def test_revoking_a_client_ends_what_it_has(administrator: Administrator, verb: str) -> None:
    """DIST-4: tokens at once, sessions too, and verifiers hear of it; enabled, it begins anew."""
    app, http = administrator.app, administrator.http
    client, caller = await register(app), await register(app, serves=(AUDIENCE,))
    public = await make_public(app)
    token, begun = await issue(http, client), await begin(app, public)
    assert await is_active(http, caller, token)
    for client_id in (client.id, public.id):
        answer = await administrator.post(f"clients/{client_id}/{verb}")
        assert answer.status_code == 200
        assert (answer.json()["epoch"], answer.json()["enabled"]) == (1, verb == "revoke")
    assert not await is_active(http, caller, token)
    assert (await present(http, public, begun.token)).json()["error"] in (
        "invalid_grant",
        "invalid_client",
    )
    listed = (await administrator.get("revocations", kind="client", subject=client.id)).json()
    (fact,) = listed["revocations"]
    assert (fact["version"], fact["actor"]) == (1, administrator.actor)
    await app.services.keeper.publish()
    query = "SELECT number IS NOT NULL FROM revocations WHERE subject = $1"
    assert await fetch(app, query, client.id)
    form = {"grant_type": "client_credentials"}
    again = await http.post("/token", data=form, auth=client.auth)
    assert again.status_code == (200 if verb == "revoke" else 401)
    answer = await administrator.post(f"clients/{client.id}/enable")
    assert answer.json()["enabled"] is True
    assert await is_active(http, caller, await issue(http, client))
    assert not await is_active(http, caller, token)


async def test_shadow_mode_is_set_and_ended(administrator: Administrator) -> None:
    public = await make_public(administrator.app)
    answer = await administrator.post(f"clients/{public.id}/shadow", on=True)
    assert answer.json()["shadow_until"].endswith("Z")
    known = await know_client(administrator.app.services.database, public.id)
    assert known.shadow_until is not None
    answer = await administrator.post(f"clients/{public.id}/shadow", on=False)
    assert (answer.status_code, answer.json()["shadow_until"]) == (200, None)
    for members in ({}, {"on": None}, {"on": "yes"}, {"on": 1}):
        answer = await administrator.ask("POST", f"clients/{public.id}/shadow", members)
        assert_admin_refusal(answer, "invalid_request", 400, fields={"on"})


@pytest.mark.parametrize("verb", ["", "/secret", "/disable", "/enable", "/revoke", "/shadow"])
@pytest.mark.parametrize("client_id", ["unknown-client", "x", "%00", "' OR 1=1--", "%ff%fe", "é"])
async def test_an_unknown_client_is_not_found(
    administrator: Administrator, client_id: str, verb: str
) -> None:
    """ATK-105: one answer, whatever the id's form."""
    members = {"on": True} if verb == "/shadow" else None
    methods = ("POST",) if verb else ("GET", "PATCH")
    for method in methods:
        answer = await administrator.ask(method, f"clients/{client_id}{verb}", members)
        assert_admin_refusal(answer, "not_found", 404)
        assert answer.json()["error_description"] == "there is no such client"


async def test_clients_are_found_by_what_they_are(administrator: Administrator) -> None:
    app = administrator.app
    machine, off = await register(app), await register(app)
    public, ours = await make_public(app), await make_public(app, first_party=True)
    await administrator.post(f"clients/{off.id}/disable")
    made = {machine.id, off.id, public.id, ours.id, administrator.client.id}
    for filters, wanted in (
        ({}, made),
        ({"enabled": "false"}, {off.id}),
        ({"enabled": "true"}, made - {off.id}),
        ({"type": "public"}, {public.id, ours.id}),
        ({"type": "confidential"}, {machine.id, off.id, administrator.client.id}),
        ({"first_party": "true"}, {ours.id}),
        ({"first_party": "false", "type": "public"}, {public.id}),
        ({"administrator": "true"}, {administrator.client.id}),
        ({"administrator": "true", "type": "public"}, set()),
    ):
        found = [it["id"] for it in await administrator.walk("clients", "clients", **filters)]
        assert set(found) & made == wanted, filters
        assert len(found) == len(set(found))
