"""POST /token, grant_type=refresh_token: what a good refresh answers. RFC 6749 §6."""

from datetime import timedelta

import httpx
import pytest

from service.app import App
from service.flows.manage_users import set_roles
from service.flows.origin import OPERATOR
from tests.conftest import AUDIENCE, MakeClient
from tests.http.forge import is_active
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    begin,
    claims_of,
    count_refreshes,
    execute,
    fetch_session,
    list_events,
    make_public,
    present,
    refresh,
)

OTHER_AUDIENCE = "https://bills.example"
LASTING = {"sub", "aud", "client_id", "sid", "cv", "cep", "auth_time", "amr", "iss", "scope"}


async def test_a_refresh_answers_new_tokens_of_the_same_session(
    app: App, http: httpx.AsyncClient
) -> None:
    """RFC 6749 §5.1 and §6; TOK-8."""
    begun = await begin(app)
    rotated = count_refreshes(app, "rotated")
    answer = await present(http, begun.client, begun.token)
    assert answer.status_code == 200
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers.get_list("pragma") == ["no-cache"]
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 300)
    assert body["scope"] == "orders:read orders:write"
    assert body["refresh_token"] != begun.token
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (1, None)
    assert await list_events(app, begun.id) == [("session_begun", None)]
    assert count_refreshes(app, "rotated") == rotated + 1


async def test_every_refresh_token_is_good_for_the_next(app: App, http: httpx.AsyncClient) -> None:
    begun = await begin(app)
    await refresh(http, begun.client, begun.token, times=12)
    assert (await fetch_session(app, begun.id))["generation"] == 12


async def test_what_a_token_says_of_the_login_stays_as_it_was(
    app: App, http: httpx.AsyncClient
) -> None:
    """RFC 9068 §2.2.1, RT-1: bound to client, subject, scope, audience, session."""
    begun = await begin(app)
    first = claims_of(begun.tokens.access_token)
    assert first["sid"] == str(begun.id)
    assert first["sub"] == str(begun.user.id)
    assert first["amr"] == ["pwd"]
    assert (first["cv"], first["cep"]) == (0, 0)
    query = "UPDATE sessions SET auth_time = auth_time - interval '1 hour' WHERE id = $1"
    await execute(app, query, begun.id)
    token, jtis = begun.token, {first["jti"]}
    for _ in range(3):
        body = (await present(http, begun.client, token)).json()
        claims, token = claims_of(body["access_token"]), body["refresh_token"]
        assert {name: claims[name] for name in LASTING} == {
            **{name: first[name] for name in LASTING},
            "auth_time": first["auth_time"] - 3600,
        }
        assert claims["exp"] - claims["iat"] == 300
        assert claims["iat"] >= first["iat"]
        jtis.add(claims["jti"])
    assert len(jtis) == 4


async def test_roles_that_changed_are_in_the_next_token(app: App, http: httpx.AsyncClient) -> None:
    """DIST-7: the tokens from before are stale, and the refresh has the newest claims version."""
    begun = await begin(app)
    await set_roles(app.services.database, begun.user.id, ("admin",), OPERATOR)
    claims = claims_of((await present(http, begun.client, begun.token)).json()["access_token"])
    assert (claims["roles"], claims["cv"]) == (["admin"], 1)


async def test_a_refresh_does_not_void_the_access_token_before_it(
    app: App, http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """Requests under way at the moment of a refresh must not fail."""
    begun = await begin(app)
    caller = await make_client(serves=(AUDIENCE,))
    await refresh(http, begun.client, begun.token, times=2)
    assert await is_active(http, caller, begun.tokens.access_token)


async def test_a_narrower_scope_narrows_the_access_token_alone(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-3: RFC 6749 §6. The refresh token keeps its full scope."""
    begun = await begin(app)
    narrow = await present(http, begun.client, begun.token, scope="orders:read")
    assert narrow.json()["scope"] == "orders:read"
    assert claims_of(narrow.json()["access_token"])["scope"] == "orders:read"
    full = await present(http, begun.client, narrow.json()["refresh_token"])
    assert full.json()["scope"] == "orders:read orders:write"


async def test_a_resource_chooses_the_audience_of_the_access_token_alone(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-3: RFC 8707 §2.2."""
    begun = await begin(app, audiences=(AUDIENCE, OTHER_AUDIENCE))
    chosen = await present(http, begun.client, begun.token, resource=OTHER_AUDIENCE)
    assert claims_of(chosen.json()["access_token"])["aud"] == OTHER_AUDIENCE
    plain = await present(http, begun.client, chosen.json()["refresh_token"])
    assert claims_of(plain.json()["access_token"])["aud"] == AUDIENCE


BEYOND = [
    ({"scope": "orders:read orders:delete"}, "invalid_scope"),
    ({"scope": "openid"}, "invalid_scope"),
    ({"scope": "orders:read  orders:write"}, "invalid_scope"),
    ({"scope": 'orders:"read'}, "invalid_scope"),
    ({"resource": "https://elsewhere.example"}, "invalid_target"),
    ({"resource": "not a uri"}, "invalid_target"),
    ({"resource": f"{AUDIENCE}#fragment"}, "invalid_target"),
    ({"resource": [AUDIENCE, OTHER_AUDIENCE]}, "invalid_target"),
    ({"scope": "orders:delete", "resource": "https://elsewhere.example"}, "invalid_scope"),
]


@pytest.mark.parametrize(("asked", "error"), BEYOND)
async def test_what_goes_beyond_the_session_is_refused_and_spends_nothing(
    app: App, http: httpx.AsyncClient, asked: dict[str, str], error: str
) -> None:
    """RT-3, RT-7, ATK-51: with the newest token, and with one that may be retried."""
    begun = await begin(app, audiences=(AUDIENCE, OTHER_AUDIENCE))
    beyond = count_refreshes(app, "beyond")
    assert_refused(await present(http, begun.client, begun.token, **asked), error)
    assert (await fetch_session(app, begun.id))["generation"] == 0
    successor = await refresh(http, begun.client, begun.token)
    assert_refused(await present(http, begun.client, begun.token, **asked), error)
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (1, None)
    assert count_refreshes(app, "beyond") == beyond + 2
    await refresh(http, begun.client, successor)


async def test_scope_that_the_client_got_later_is_beyond_the_session(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-3: it is the original grant that counts, also where the client lost scope since."""
    begun = await begin(app)
    query = "UPDATE clients SET scopes = '{orders:delete}' WHERE id = $1"
    await execute(app, query, begun.client.id)
    app.services.clients.drop(begun.client.id)
    answer = await present(http, begun.client, begun.token, scope="orders:delete")
    assert_refused(answer, "invalid_scope")
    await refresh(http, begun.client, begun.token)


async def test_a_client_with_a_secret_has_to_prove_it(app: App, http: httpx.AsyncClient) -> None:
    """RT-1, RT-7: RFC 6749 §6. A failed authentication neither spends nor revokes."""
    client = await make_public(
        app, type="confidential", token_endpoint_auth_method="client_secret_basic"
    )
    begun = await begin(app, client)
    form = {"grant_type": "refresh_token", "refresh_token": begun.token}
    named = await http.post("/token", data={**form, "client_id": client.id})
    assert_refused(named, "invalid_client")
    wrong = await http.post("/token", data=form, auth=(client.id, "wrong"))
    assert_refused(wrong, "invalid_client", 401)
    nobody = await http.post("/token", data=form)
    assert nobody.json()["error"] in {"invalid_client", "invalid_request"}
    assert (await fetch_session(app, begun.id))["generation"] == 0
    await refresh(http, client, begun.token)


async def test_a_client_without_the_grant_may_not_refresh(
    app: App, http: httpx.AsyncClient
) -> None:
    """RFC 6749 §5.2."""
    begun = await begin(app, grant_types=())
    answer = await present(http, begun.client, begun.token)
    assert_refused(answer, "unauthorized_client")
    assert (await fetch_session(app, begun.id))["generation"] == 0


async def test_a_client_whose_token_is_in_a_cookie_does_not_get_it_in_a_body(
    app: App, http: httpx.AsyncClient
) -> None:
    """LOGIN-7: a script that can't read the cookie must not get the token here either."""
    begun = await begin(app, grant_types=(), first_party=True, refresh_delivery="cookie")
    for grants in ("{}", "{refresh_token}"):
        query = "UPDATE clients SET grant_types = $2::text::text[] WHERE id = $1"
        await execute(app, query, begun.client.id, grants)
        app.services.clients.drop(begun.client.id)
        answer = await present(http, begun.client, begun.token)
        assert_refused(answer, "unauthorized_client")
    assert (await fetch_session(app, begun.id))["generation"] == 0


async def shorten(app: App, begun: Begun, by: timedelta) -> None:
    """Let time pass for both expiries."""
    query = """
        UPDATE sessions
        SET expires_at = expires_at - $2::interval, idle_expires_at = idle_expires_at - $2::interval
        WHERE id = $1
    """
    await execute(app, query, begun.id, by)


async def test_a_refresh_pushes_the_idle_expiry_and_never_the_absolute_one(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-4: valid 8 h, refreshed after 10 min: then valid for at most 7 h 50 min."""
    eight, ten = timedelta(hours=8), timedelta(minutes=10)
    begun = await begin(app, session_idle_ttl=timedelta(hours=1), session_absolute_ttl=eight)
    assert begun.tokens.refresh_expires_in <= 3600
    await shorten(app, begun, ten)
    before = await fetch_session(app, begun.id)
    token = await refresh(http, begun.client, begun.token)
    after = await fetch_session(app, begun.id)
    assert after["expires_at"] == before["expires_at"]
    assert after["expires_at"] - after["rotated_at"] <= eight - ten
    assert after["idle_expires_at"] - before["idle_expires_at"] > ten - timedelta(minutes=1)
    await shorten(app, begun, timedelta(minutes=59))
    await refresh(http, begun.client, token)


async def test_near_its_end_a_session_gives_shorter_tokens(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-4: neither the refresh token nor the access token outlives the session."""
    begun = await begin(app)
    query = "UPDATE sessions SET expires_at = clock_timestamp() + interval '100 seconds'"
    await execute(app, f"{query} WHERE id = $1", begun.id)
    token = begun.token
    for _ in range(2):  # rotated, then retried
        body = (await present(http, begun.client, token)).json()
        row = await fetch_session(app, begun.id)
        assert row["idle_expires_at"] == row["expires_at"]
        assert 90 <= body["expires_in"] <= 100
        assert claims_of(body["access_token"])["exp"] <= row["expires_at"].timestamp()
