"""Who may ask under /admin: RS-1, RS-2, ATK-105."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import httpx
import msgspec
import pytest

from service.app import App, create_app
from service.flows.administer_users import set_administrator
from service.flows.client_credentials import utc_now
from service.flows.manage_clients import revoke_client
from service.flows.manage_users import delete, disable
from service.flows.origin import OPERATOR
from service.http.admin_endpoints import ADMIN_ACTIONS
from service.oauth.client import ADMIN_SCOPE, admin_audience
from tests.conftest import AUDIENCE, http_to, register
from tests.http.administrators import (
    NEEDED,
    UNKNOWN_ID,
    Administrator,
    assert_admin_refusal,
    begin_administration,
    make_administrator,
    register_administrator,
)
from tests.http.forge import Forge, issue
from tests.sessions import begin, execute, fetch, make_public

BARE = 'Bearer realm="watchword"'
INVALID = (
    'Bearer realm="watchword", error="invalid_token", '
    'error_description="the access token is invalid, expired or revoked"'
)
EACH = [
    (method, path.removeprefix("/admin/").replace("{id}", UNKNOWN_ID))
    for path, actions in ADMIN_ACTIONS.items()
    for method in actions
]


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


def assert_challenged(answer: httpx.Response, challenge: str) -> None:
    """Refused for the token, with exactly that challenge."""
    if challenge == NEEDED:
        assert_admin_refusal(answer, "insufficient_scope", 403)
    else:
        assert_admin_refusal(answer, "invalid_token", 401)
    assert answer.headers.get_list("www-authenticate") == [challenge]


@pytest.mark.parametrize(("method", "path"), EACH)
async def test_every_endpoint_asks_for_the_token_of_an_administrator(
    administrator: Administrator, method: str, path: str
) -> None:
    """RS-1, RS-2, ATK-105: before it looks at body, query or id."""
    plain = await issue(administrator.http, await register(administrator.app))
    for token, challenge in ((None, BARE), ("x", INVALID), (plain, INVALID)):
        authorization = token and f"Bearer {token}"
        answer = await administrator.ask(
            method, path, content=b"{", authorization=authorization, params={"x": "y"}
        )
        assert_challenged(answer, challenge)


async def test_a_token_stands_in_the_header_alone(administrator: Administrator) -> None:
    """RS-1: neither in the query nor in a cookie nor in the body; two headers are a fault."""
    token = administrator.token
    for params, cookie in (({"access_token": token}, None), (None, f"access_token={token}")):
        answer = await administrator.ask(
            "GET", "clients", params=params, cookie=cookie, authorization=None
        )
        assert_challenged(answer, BARE)
    answer = await administrator.ask(
        "POST", "revocations", {"access_token": token, "token": token}, authorization=None
    )
    assert_challenged(answer, BARE)
    answer = await administrator.get("clients", access_token=token)
    assert_admin_refusal(answer, "invalid_request", 400, fields={"access_token"})
    headers = [("authorization", f"Bearer {token}")] * 2
    answer = await administrator.http.get("/admin/clients", headers=headers)
    assert_admin_refusal(answer, "invalid_request", 400)
    answer = await administrator.ask("GET", "clients", authorization=f"Basic {token}")
    assert_challenged(answer, BARE)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("aud", '"http://localhost:8000"'),
        ("aud", '"http://localhost:8000/"'),
        ("aud", '"http://localhost:8000/admin/"'),
        ("aud", '"http://localhost:8000/ADMIN"'),
        ("aud", '["http://localhost:8000/admin", "x"]'),
        ("iss", '"http://localhost:8001"'),
        ("exp", "1"),
        ("sub", '"somebody"'),
    ],
)
async def test_a_token_that_is_not_for_here_is_none(
    administrator: Administrator, claim: str, value: str
) -> None:
    """RS-2, ATK-105: signed by this server's own key, of an administrator, with the scope."""
    forge = Forge(administrator.app, administrator.client.id)
    honest = {"aud": f'"{administrator.app.services.issuer}/admin"', "scope": f'"{ADMIN_SCOPE}"'}
    good = administrator.bearing(forge.token(claims=forge.claims(**honest)))
    assert (await good.get("clients")).status_code == 200
    claims = forge.claims(**{**honest, claim: value})
    assert_challenged(await good.bearing(forge.token(claims=claims)).get("clients"), INVALID)


async def test_the_scope_in_a_token_for_another_audience_is_worth_nothing(
    administrator: Administrator,
) -> None:
    """ATK-105: an administrator's token for the orders is none for here."""
    app = administrator.app
    audiences = (AUDIENCE, admin_audience(app.services.issuer))
    client = await register_administrator(app, audiences=audiences)
    token = await issue(administrator.http, client)
    assert_challenged(await administrator.bearing(token).get("clients"), INVALID)


async def test_the_scope_is_needed_as_a_whole(administrator: Administrator) -> None:
    """RS-2: RFC 6750 §3.1; a mere part of a scope's value is another scope."""
    forge = Forge(administrator.app, administrator.client.id)
    audience = f'"{administrator.app.services.issuer}/admin"'
    for scope in ("orders:read", "watchword:admin2", "xwatchword:admin", "Watchword:admin"):
        claims = forge.claims(aud=audience, scope=f'"{scope}"')
        answer = await administrator.bearing(forge.token(claims=claims)).get("clients")
        assert_challenged(answer, NEEDED)
    claims = forge.claims(aud=audience, scope='"a watchword:admin b"')
    answer = await administrator.bearing(forge.token(claims=claims)).get("clients")
    assert answer.status_code == 200


async def lose_mark(other: Administrator) -> None:
    query = "UPDATE clients SET administrator = false WHERE id = $1"
    await execute(other.app, query, other.client.id)


async def turn_off(other: Administrator) -> None:
    query = "UPDATE clients SET enabled = false WHERE id = $1"
    await execute(other.app, query, other.client.id)


async def raise_epoch(other: Administrator) -> None:
    await revoke_client(other.app.services.database, other.client.id, enabled=True)


@pytest.mark.parametrize(
    ("change", "challenge"), [(lose_mark, NEEDED), (turn_off, INVALID), (raise_epoch, INVALID)]
)
async def test_what_a_client_loses_it_loses_at_once(
    app: App,
    http: httpx.AsyncClient,
    change: Callable[[Administrator], Awaitable[None]],
    challenge: str,
) -> None:
    """ATK-105: while its token lives, and the pod remembers it as it was."""
    other = await make_administrator(app, http)
    assert (await other.get("clients")).status_code == 200
    await change(other)
    assert_challenged(await other.get("clients"), challenge)


async def test_a_user_administers_through_a_client_that_may(administrator: Administrator) -> None:
    """ATK-105: and leaves the trail under their own name."""
    begun = await begin_administration(administrator.app)
    console = administrator.bearing(begun.tokens.access_token)
    client = await register(administrator.app)
    answer = await console.post(f"clients/{client.id}/revoke")
    assert answer.status_code == 200
    query = "SELECT detail ->> 'actor' FROM audit_events WHERE client_id = $1 AND event = $2"
    actor = await fetch(administrator.app, query, client.id, "client_revoked")
    assert actor == f"user:{begun.user.id}"


async def test_a_user_without_the_mark_administers_nothing(administrator: Administrator) -> None:
    """ATK-105: though the client has it."""
    begun = await begin_administration(administrator.app, marked=False)
    console = administrator.bearing(begun.tokens.access_token)
    assert_challenged(await console.get("clients"), NEEDED)


async def test_a_marked_users_token_of_another_app_is_none(administrator: Administrator) -> None:
    """ATK-105: the token of a web app's session, which is for /api."""
    app = administrator.app
    begun = await begin(app, await make_public(app, first_party=True, grant_types=()))
    await set_administrator(app.services.database, begun.user.id, OPERATOR, on=True)
    answer = await administrator.bearing(begun.tokens.access_token).get("clients")
    assert_challenged(answer, INVALID)


async def test_what_a_user_loses_they_lose_at_once(administrator: Administrator) -> None:
    """ATK-105: the mark, being enabled, being there at all."""
    database = administrator.app.services.database
    for change, challenge in (
        ("mark", NEEDED),
        ("flag", NEEDED),
        ("off", INVALID),
        ("gone", INVALID),
    ):
        begun = await begin_administration(administrator.app)
        console = administrator.bearing(begun.tokens.access_token)
        assert (await console.get("clients")).status_code == 200
        if change == "mark":
            await set_administrator(database, begun.user.id, OPERATOR, on=False)
        elif change == "flag":  # without the end of sessions that a disabling brings
            query = "UPDATE users SET disabled_at = now() WHERE id = $1"
            await execute(administrator.app, query, begun.user.id)
        elif change == "off":
            await disable(database, begun.user.id, OPERATOR)
        else:
            await delete(database, begun.user.id, OPERATOR)
        assert_challenged(await console.get("clients"), challenge)


async def test_a_token_ends_by_its_own_clock(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RS-2."""
    later = utc_now().replace(year=utc_now().year + 1)
    monkeypatch.setattr("service.http.bearer.utc_now", lambda: later)
    assert_challenged(await administrator.get("clients"), INVALID)


async def test_pages_of_other_origins_are_told_nothing(administrator: Administrator) -> None:
    """ATK-105: no preflight succeeds, and no answer may be read, be it the issuer's own page."""
    for origin in (
        "https://evil.example",
        "https://app.example",
        administrator.app.services.issuer,
    ):
        asked = {"origin": origin, "access-control-request-method": "POST"}
        answer = await administrator.http.request("OPTIONS", "/admin/clients", headers=asked)
        assert_admin_refusal(answer, "method_not_allowed", 405)
        answer = await administrator.ask("GET", "clients", origin=origin)
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("path", ADMIN_ACTIONS)
async def test_other_methods_are_refused_with_those_that_there_are(
    administrator: Administrator, path: str
) -> None:
    actions = ADMIN_ACTIONS[path]
    asked = path.removeprefix("/admin/").replace("{id}", UNKNOWN_ID)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"} - actions.keys():
        answer = await administrator.ask(method, asked)
        assert_admin_refusal(answer, "method_not_allowed", 405)
        assert answer.headers["allow"] == ", ".join(sorted(actions))


async def test_head_is_a_get_without_its_body(administrator: Administrator) -> None:
    """RFC 9110 §9.3.2."""
    answer = await administrator.ask("HEAD", f"clients/{administrator.client.id}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert (await administrator.ask("HEAD", "clients/unknown-client")).status_code == 404
    assert (await administrator.ask("HEAD", "clients", authorization=None)).status_code == 401


@pytest.mark.parametrize("path", ["", "x", "clients/a/b", "clients/a/revoke/b", "users/a/shadow"])
async def test_there_is_nothing_else(administrator: Administrator, path: str) -> None:
    answer = await administrator.ask("GET", path)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")


async def test_while_postgresql_is_away_nobody_is_taken_for_an_administrator(
    administrator: Administrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-104: 503, and nothing is guessed from what is remembered."""
    assert (await administrator.get("clients")).status_code == 200
    monkeypatch.setattr(administrator.app.services.database, "away", True)
    answer = await administrator.get("clients")
    assert_admin_refusal(answer, "temporarily_unavailable", 503)
    assert int(answer.headers["retry-after"]) > 0


async def test_an_issuer_with_a_path_is_administered_under_it(administrator: Administrator) -> None:
    """ATK-105: the ids in the path are the same, and no other path leads there."""
    app, issuer = administrator.app, f"{administrator.app.services.issuer}/auth"
    settings = msgspec.structs.replace(app.services.settings, issuer=issuer)
    services = replace(app.services, settings=settings)
    below = App(asgi=create_app(services), services=services)
    forge = Forge(app, administrator.client.id)
    claims = forge.claims(iss=f'"{issuer}"', aud=f'"{issuer}/admin"', scope=f'"{ADMIN_SCOPE}"')
    headers = {"authorization": f"Bearer {forge.token(claims=claims)}"}
    host, client_id = app.services.issuer, administrator.client.id
    async with http_to(below) as http:
        answer = await http.get(f"{issuer}/admin/clients/{client_id}", headers=headers)
        assert (answer.status_code, answer.json()["id"]) == (200, client_id)
        answer = await http.post(f"{issuer}/admin/clients/{client_id}/enable", headers=headers)
        assert answer.status_code == 200
        for path in ("/admin", "/authadmin", "/auth/auth/admin", "/x/auth/admin", "//auth/admin"):
            answer = await http.get(f"{host}{path}/clients/{client_id}", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
