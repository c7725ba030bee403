"""POST /revoke: what it leaves in PostgreSQL and in the feed, its cap, and outages."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import anyio
import httpx
import jwt
import msgspec
import pytest
from redis.asyncio import Redis

from service.app import App, create_app, open_database
from service.environment import Secret
from service.settings import Settings
from tests.conftest import (
    ISSUER,
    MakeApp,
    MakeClient,
    MakeSettings,
    RegisteredClient,
    http_to,
    register,
)
from tests.http.forge import is_active, issue


@pytest.fixture
async def client(make_client: MakeClient) -> RegisteredClient:
    """A client of the test's own."""
    return await make_client()


async def revoke(http: httpx.AsyncClient, client: RegisteredClient, token: str) -> httpx.Response:
    return await http.post("/revoke", data={"token": token}, auth=client.auth)


def jti_of(token: str) -> str:
    return jwt.decode(token, options={"verify_signature": False})["jti"]


async def rows(app: App, table: str, client_id: str) -> list[dict]:
    statement = {
        "revocations": "SELECT * FROM revocations WHERE client_id = $1",
        "audit_events": "SELECT * FROM audit_events WHERE client_id = $1 AND event LIKE 'token%'",
    }[table]
    async with app.services.database.connection() as connection:
        return [dict(row) for row in await connection.fetch(statement, client_id)]


async def execute(app: App, statement: str, *args: object) -> None:
    async with app.services.database.connection() as connection:
        await connection.execute(statement, *args)  # pyright: ignore[reportArgumentType]


async def forget(app: App, client_id: str) -> None:
    await execute(app, "DELETE FROM revocations WHERE client_id = $1", client_id)


async def test_fact_says_what_by_whom_and_until_when(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    """DIST-1, REV-4: the longest token's life + 2 minutes."""
    token = await issue(http, client)
    await revoke(http, client, token)
    (fact,) = await rows(app, "revocations", client.id)
    assert (fact["kind"], fact["subject"], fact["version"]) == ("jti", jti_of(token), 0)
    assert (fact["reason"], fact["actor"]) == ("revoked", f"client:{client.id}")
    lasts = fact["expires_at"] - fact["created_at"]
    assert timedelta(seconds=719) < lasts < timedelta(seconds=721)
    assert abs(fact["created_at"] - datetime.now(UTC)) < timedelta(seconds=5)


async def test_audit_event_says_who_from_where_and_which_token(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    """DIST-10: one event a revocation, found by the answer's X-Request-Id; no token in it."""
    token = await issue(http, client)
    answer = await revoke(http, client, token)
    await revoke(http, client, token)
    (event,) = await rows(app, "audit_events", client.id)
    assert event["event"] == "token_revoked"
    assert event["request_id"] == answer.headers["x-request-id"]
    assert str(event["address"]) == "127.0.0.1"
    assert event["detail"] == {"actor": f"client:{client.id}", "jti": jti_of(token)}


@asynccontextmanager
async def failing(app: App, table: str, client_id: str, *, at: str) -> AsyncIterator[None]:
    """Inserts for that client fail: at the statement, or only at COMMIT."""
    deferred = "DEFERRABLE INITIALLY DEFERRED" if at == "commit" else ""
    await execute(
        app,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'refused by a test'; END $$",
    )
    await execute(
        app,
        f"CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON {table} {deferred} FOR EACH ROW "
        f"WHEN (NEW.client_id = '{client_id}') EXECUTE FUNCTION refuse()",
    )
    try:
        yield
    finally:
        await execute(app, "DROP FUNCTION refuse CASCADE")


@pytest.mark.parametrize("table", ["revocations", "audit_events"])
@pytest.mark.parametrize("at", ["statement", "commit"])
async def test_fact_and_audit_event_are_written_together_or_not_at_all(
    http: httpx.AsyncClient, app: App, client: RegisteredClient, table: str, at: str
) -> None:
    """DIST-10: one transaction. A failure is 500 without a text, and the token stays good."""
    token = await issue(http, client)
    async with failing(app, table, client.id, at=at):
        answer = await revoke(http, client, token)
    assert (answer.status_code, answer.json()["error"]) == (500, "server_error")
    assert "refused by a test" not in answer.text
    assert await rows(app, "revocations", client.id) == []
    assert await rows(app, "audit_events", client.id) == []
    assert await is_active(http, client, token)
    assert (await revoke(http, client, token)).status_code == 200
    assert not await is_active(http, client, token)


async def fill(app: App, client_id: str, count: int, *, expires_in: timedelta) -> None:
    """Facts of the client, numbered already, so that no pod publishes them."""
    await execute(
        app,
        """
        INSERT INTO revocations (kind, subject, client_id, reason, actor, expires_at, number)
        SELECT 'jti', gen_random_uuid(), $1, 'test', 'test', clock_timestamp() + $2, 1
        FROM generate_series(1, $3)
        """,
        client_id,
        expires_in,
        count,
    )


async def test_10000_living_facts_of_one_client_are_the_cap(
    http: httpx.AsyncClient, app: App, client: RegisteredClient, make_client: MakeClient
) -> None:
    """REV-3: then 503 with Retry-After, nothing written; another client is not concerned."""
    last, refused = await issue(http, client), await issue(http, client)
    await fill(app, client.id, 9_999, expires_in=timedelta(minutes=10))
    assert (await revoke(http, client, last)).status_code == 200
    answer = await revoke(http, client, refused)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert await is_active(http, client, refused)
    assert len(await rows(app, "revocations", client.id)) == 10_000
    assert len(await rows(app, "audit_events", client.id)) == 1
    other = await make_client()
    assert (await revoke(http, other, await issue(http, other))).status_code == 200
    await forget(app, client.id)


async def test_facts_that_no_longer_matter_do_not_count(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    """REV-3: the cap is of living facts."""
    await fill(app, client.id, 10_000, expires_in=timedelta(seconds=-1))
    assert (await revoke(http, client, await issue(http, client))).status_code == 200
    await forget(app, client.id)


async def test_written_fact_is_published_without_waiting_for_the_next_tick(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    """DIST-8: the pod that wrote it is told at once; nothing written, nothing told."""
    token, keeper = await issue(http, client), app.services.keeper
    with patch.object(keeper, "nudge", wraps=keeper.nudge) as nudge:
        for sent, nudges in (("garbage", 0), (token, 1), (token, 1)):
            await revoke(http, client, sent)
            assert nudge.call_count == nudges


async def test_fact_appears_in_the_feed_within_a_second(
    http: httpx.AsyncClient, app: App, settings: Settings, client: RegisteredClient
) -> None:
    """DIST-8, DIST-1: a signed entry in the stream, and the look-up key, both with the expiry."""
    token = await issue(http, client)
    jti = jti_of(token)
    await revoke(http, client, token)
    head = app.services.keeper.head()
    assert head is not None
    root = f"{{{settings.redis_prefix}}}:feed"
    async with Redis.from_url(settings.redis_url.reveal(), decode_responses=True) as redis:
        with anyio.fail_after(1):
            while (ttl := await redis.pttl(f"{root}:jti:{jti}")) < 0:  # noqa: ASYNC110 (Redis has no event)
                await anyio.sleep(0.005)
        assert 710_000 < ttl < 721_000
        entries = await redis.xrange(f"{root}:{head.epoch}:entries")
    (jws,) = [fields["jws"] for _, fields in entries if jti in _facts(fields["jws"])]
    keys = jwt.PyJWKSet(**(await http.get("/.well-known/watchword-feed-keys.json")).json())
    header = jwt.get_unverified_header(jws)
    claims = jwt.decode(jws, keys[header["kid"]], algorithms=["RS256"], issuer=ISSUER)
    assert header["typ"] == "revocation-feed+jwt"
    (fact,) = [member for member in claims["facts"] if member.get("jti") == jti]
    assert set(fact) == {"jti", "exp"}, "never who, never why"
    (row,) = await rows(app, "revocations", client.id)
    assert 0 <= fact["exp"] - row["expires_at"].timestamp() < 1
    assert row["number"] == claims["n"]


def _facts(jws: str) -> str:
    return json.dumps(jwt.decode(jws, options={"verify_signature": False})["facts"])


async def test_lost_redis_neither_fails_nor_slows_a_revocation(
    make_settings: MakeSettings, make_app: MakeApp
) -> None:
    """ATK-104, REV-4: PostgreSQL decides."""
    app = await make_app(await make_settings(REDIS_URL="redis://127.0.0.1:1/0"))
    client = await register(app)
    async with http_to(app) as http:
        token = await issue(http, client)
        with anyio.fail_after(1):
            assert (await revoke(http, client, token)).status_code == 200
        assert not await is_active(http, client, token)
        assert "redis" in (await http.get("/readyz")).json()["degraded"]


async def test_lost_postgresql_is_503_and_revokes_nothing(
    http: httpx.AsyncClient, app: App, settings: Settings, client: RegisteredClient
) -> None:
    """ATK-104, REV-3: never a 200 for what was not written; 7009 §2.2.1: the token still stands."""
    token = await issue(http, client)
    nowhere = msgspec.structs.replace(settings, database_url=Secret("postgresql://127.0.0.1:1/x"))
    database = open_database(nowhere)
    services = replace(app.services, database=database)
    async with http_to(App(asgi=create_app(services), services=services)) as cut_off:
        answer = await revoke(cut_off, client, token)
        assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
        assert int(answer.headers["retry-after"]) > 0
    await database.close()
    assert await is_active(http, client, token)
