"""Refresh tokens that are refused: all alike to whoever sends them. RT-1, RT-2, RT-17, ATK-106."""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from uuid import uuid4

import httpx
import pytest

from service.app import App
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import reenable_client, revoke_client
from service.flows.manage_users import delete, disable, enable, end_everywhere, set_password
from service.flows.origin import OPERATOR
from service.flows.refresh_token import RefreshRequest
from service.flows.start import list_refresh_keys
from service.oauth.errors import InvalidGrant
from service.oauth.refresh_token import RefreshTokens
from service.sql.instances import Instance, delete_instance, upsert_instance
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    age,
    at_generation,
    begin,
    count_refreshes,
    execute,
    fetch,
    fetch_session,
    know_client,
    list_events,
    make_public,
    present,
    read,
    refresh,
)

Spoil = Callable[[App, httpx.AsyncClient, Begun], Awaitable[str]]


async def malformed(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    return begun.token[:-1] + ("A" if begun.token[-1] != "A" else "B")


async def garbage(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    return secrets.token_urlsafe(90)


async def an_access_token(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    return begun.tokens.access_token


async def unknown(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    token = replace(read(app, begun.token), session_id=uuid4())
    return app.services.session_issuer.refresh_tokens.write(token)


async def another_secret(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    token = replace(read(app, begun.token), secret=secrets.token_bytes(32))
    return app.services.session_issuer.refresh_tokens.write(token)


async def unknown_key(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    token = replace(read(app, begun.token), key_id=65535)
    return RefreshTokens(app.services.issuer, {65535: b"k" * 32}).write(token)


async def idle(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    query = "UPDATE sessions SET idle_expires_at = clock_timestamp() WHERE id = $1"
    await execute(app, query, begun.id)
    return begun.token


async def expired(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    query = """
        UPDATE sessions
        SET idle_expires_at = idle_expires_at - interval '31 days',
            expires_at = expires_at - interval '31 days'
        WHERE id = $1
    """
    await execute(app, query, begun.id)
    return begun.token


async def revoked(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await end_one_session(app.services.database, begun.id, "revoked_by_operator", OPERATOR)
    return begun.token


async def reused(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await refresh(http, begun.client, begun.token)
    await age(app, begun.id, 31)
    return begun.token


async def from_the_future(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    return at_generation(app, begun.token, 7)


async def of_another_client(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    return (await begin(app)).token


async def disabled_user(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await disable(app.services.database, begun.user.id, OPERATOR)
    return begun.token


async def enabled_again(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await disable(app.services.database, begun.user.id, OPERATOR)
    await enable(app.services.database, begun.user.id, OPERATOR)
    return begun.token


async def deleted_user(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await delete(app.services.database, begun.user.id, OPERATOR)
    return begun.token


async def other_password(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await set_password(app.services.database, begun.user.id, "another", OPERATOR)
    return begun.token


async def everywhere(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await end_everywhere(app.services.database, begun.user.id, "logged_out", OPERATOR)
    return begun.token


async def revoked_client(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await revoke_client(app.services.database, begun.client.id, enabled=True)
    return begun.token


async def client_enabled_again(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await revoke_client(app.services.database, begun.client.id, enabled=False)
    await reenable_client(app.services.database, begun.client.id)
    return begun.token


async def used_up(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await execute(app, "UPDATE sessions SET generation = 4294967295 WHERE id = $1", begun.id)
    return at_generation(app, begun.token, 4_294_967_295)


async def bound(app: App, http: httpx.AsyncClient, begun: Begun) -> str:
    await execute(app, "UPDATE sessions SET dpop_jkt = 'key' WHERE id = $1", begun.id)
    return begun.token


SPOILT = [
    (malformed, "malformed"),
    (garbage, "malformed"),
    (an_access_token, "malformed"),
    (unknown_key, "malformed"),
    (unknown, "dead"),
    (another_secret, "dead"),
    (idle, "dead"),
    (expired, "dead"),
    (revoked, "dead"),
    (disabled_user, "dead"),
    (enabled_again, "dead"),
    (deleted_user, "dead"),
    (other_password, "dead"),
    (everywhere, "dead"),
    (revoked_client, "dead"),
    (client_enabled_again, "dead"),
    (used_up, "dead"),
    (bound, "dead"),
    (reused, "reuse"),
    (from_the_future, "impossible"),
    (of_another_client, "wrong_client"),
]


@pytest.mark.parametrize(("spoil", "verdict"), SPOILT, ids=[spoil.__name__ for spoil, _ in SPOILT])
async def test_nobody_can_tell_why_a_token_is_refused(
    app: App, http: httpx.AsyncClient, spoil: Spoil, verdict: str
) -> None:
    """RT-2, RT-17, ATK-106: the same bytes, with or without more asked for; the metric knows."""
    begun = await begin(app)
    expected = await present(http, begun.client, "wwr_nonsense")
    assert_refused(expected, "invalid_grant")
    token = await spoil(app, http, begun)
    app.services.clients.drop(begun.client.id)
    before = count_refreshes(app, verdict)
    answer = await present(http, begun.client, token)
    assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
    unique = {"x-request-id"}
    assert set(answer.headers.multi_items()) ^ set(expected.headers.multi_items()) == {
        (name, it.headers[name]) for name in unique for it in (answer, expected)
    }
    assert count_refreshes(app, verdict) == before + 1
    beyond = await present(http, begun.client, token, scope="admin", resource="no uri")
    assert beyond.content == expected.content


async def test_a_disabled_client_is_refused_as_a_client(app: App, http: httpx.AsyncClient) -> None:
    """RT-17, TOK-10."""
    begun = await begin(app)
    await revoke_client(app.services.database, begun.client.id, enabled=False)
    app.services.clients.drop(begun.client.id)
    assert_refused(await present(http, begun.client, begun.token), "invalid_client")


async def test_a_pod_that_has_not_heard_of_the_clients_revocation_refuses_too(
    app: App, http: httpx.AsyncClient
) -> None:
    """DIST-4: PostgreSQL judges the client's epoch, not the pod's cache of the client."""
    begun = await begin(app)
    client = await know_client(app.services.database, begun.client.id)
    await revoke_client(app.services.database, client.id, enabled=False)
    with pytest.raises(InvalidGrant):
        await app.services.refresh_tokens.refresh(
            RefreshRequest(token=begun.token, client=client, origin=OPERATOR)
        )


async def test_another_clients_token_is_refused_and_stays_good(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-1, RT-7, ATK-51: nothing is spent or revoked, and the event is written once."""
    begun, thief = await begin(app), await make_public(app)
    newest = await refresh(http, begun.client, begun.token)
    for token in (newest, begun.token, newest, begun.token):
        assert_refused(await present(http, thief, token), "invalid_grant")
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (1, None)
    assert await list_events(app, begun.id) == [
        ("session_begun", None),
        ("refresh_wrong_client", 1),
        ("refresh_wrong_client", 0),
    ]
    query = "SELECT DISTINCT client_id FROM audit_events WHERE session_id = $1 AND generation >= 0"
    assert await fetch(app, query, begun.id) == thief.id
    await refresh(http, begun.client, newest)


@pytest.fixture
async def foreign_pod(app: App) -> AsyncIterator[Instance]:
    """A living pod that holds one more refresh master key, as in the middle of a roll-out."""
    pod = Instance(
        id=uuid4(),
        name="other",
        release="0.0.0-test",
        schema_number=1,
        wrap_key_ids=["1"],
        refresh_key_ids=[1, 65535],
    )
    database, grant = app.services.database, app.services.refresh_tokens
    async with database.connection() as connection:
        await upsert_instance(connection, pod)
    grant.foreign_keys = await list_refresh_keys(database)
    yield pod
    async with database.connection() as connection:
        await delete_instance(connection, pod.id)
    grant.foreign_keys = await list_refresh_keys(database)


async def test_a_key_that_another_pod_has_is_worth_another_try(
    app: App, http: httpx.AsyncClient, foreign_pod: Instance
) -> None:
    """503 while master keys are rolled out; the token is good on that other pod."""
    begun = await begin(app)
    token = await unknown_key(app, http, begun)
    answer = await present(http, begun.client, token)
    assert_refused(answer, "temporarily_unavailable", 503)
    assert int(answer.headers["retry-after"]) >= 1
    await refresh(http, begun.client, begun.token)


async def test_a_key_that_a_dead_pod_had_is_unknown(
    app: App, http: httpx.AsyncClient, foreign_pod: Instance
) -> None:
    query = "UPDATE instances SET last_seen_at = last_seen_at - interval '61 seconds' WHERE id = $1"
    await execute(app, query, foreign_pod.id)
    app.services.refresh_tokens.foreign_keys = await list_refresh_keys(app.services.database)
    begun = await begin(app)
    answer = await present(http, begun.client, await unknown_key(app, http, begun))
    assert_refused(answer, "invalid_grant")
