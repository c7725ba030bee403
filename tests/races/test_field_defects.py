"""What went wrong in other servers, by the name of the report: none of it may happen here."""

import asyncio
import json
from collections import Counter
from typing import Any

import httpx
import pytest

from service.app import App, open_app
from service.flows.end_sessions import end_one_session
from service.flows.origin import OPERATOR
from service.oauth.rotation import Presented
from service.settings import Settings
from service.sql.connection import Connection
from service.sql.sessions import rotate_session
from tests.conftest import MakeApp, MakeSettings, http_to, until
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    at_generation,
    begin,
    execute,
    fetch,
    fetch_session,
    know_client,
    make_public,
    new_life,
    present,
    read,
    refresh,
)

GENERATIONS = 100_000


async def test_a_token_spent_in_the_same_second_is_spent(app: App, http: httpx.AsyncClient) -> None:
    """Keycloak #50999: times in whole seconds took a replay for the first use; a counter can't."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=2)
    query = "UPDATE sessions SET rotated_at = created_at, auth_time = created_at WHERE id = $1"
    await execute(app, query, begun.id)
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"


@pytest.mark.parametrize("life", ["the same", "another"])
async def test_a_restart_forgets_no_spent_token(app: App, settings: Settings, life: str) -> None:
    """CVE-2026-9802: after a restart a spent token was good once more."""
    begun = await begin(app)
    async with open_app(settings, "0.0.0-test") as first, http_to(first) as client:
        await until(lambda: first.services.readiness.ready)
        newest = await refresh(client, begun.client, begun.token, times=2)
    if life == "another":
        await new_life(app)
    async with open_app(settings, "0.0.0-test") as second, http_to(second) as client:
        await until(lambda: second.services.readiness.ready)
        assert_refused(await present(client, begun.client, begun.token), "invalid_grant")
        assert_refused(await present(client, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"


async def test_no_check_is_made_before_the_rotation_that_it_is_for(
    app: App, http: httpx.AsyncClient
) -> None:
    """CVE-2026-1035: both of two requests saw an unused token, then each rotated it.

    While one transaction has rotated and not committed, nobody else's statement gets past the row.
    """
    begun = await begin(app)
    presented = Presented(
        token=read(app, begun.token),
        client=await know_client(app.services.database, begun.client.id),
    )

    async def rotate() -> object:
        async with app.services.database.connection() as connection:
            return await rotate_session(connection, presented, "off", None)

    async with app.services.database.transaction() as connection:
        assert await rotate_session(connection, presented, "off", None) is not None
        others = [asyncio.create_task(rotate()) for _ in range(5)]
        await asyncio.sleep(0.05)
        assert not any(other.done() for other in others)
    assert await asyncio.gather(*others) == [None] * 5
    assert (await fetch_session(app, begun.id))["generation"] == 1


async def test_four_refreshes_at_once_all_succeed(app: App, http: httpx.AsyncClient) -> None:
    """better-auth: four requests of one page got 400, 400, 200, 400, and the user was out."""
    begun = await begin(app)
    token = begun.token
    for _ in range(5):
        answers = await asyncio.gather(*(present(http, begun.client, token) for _ in range(4)))
        assert Counter(answer.status_code for answer in answers) == {200: 4}
        (token,) = {answer.json()["refresh_token"] for answer in answers}
    await refresh(http, begun.client, token)


def touched(plan: dict[str, Any]) -> int:
    """How many blocks a plan read."""
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


async def explain(connection: Connection, begun: Begun) -> dict[str, Any]:
    """What ending the session costs PostgreSQL; rolled back."""
    rows = await connection.fetch(
        f"""
        EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
        UPDATE sessions SET revoked_at = clock_timestamp(), revoked_reason = 'x'
        WHERE id = '{begun.id}' AND revoked_at IS NULL
        RETURNING id, user_id, client_id
        """  # pyright: ignore[reportArgumentType]  # noqa: S608 (ours)
    )
    return json.loads(rows[0][0])[0]["Plan"]


async def test_ending_a_session_costs_the_same_however_often_it_was_refreshed(
    app: App, http: httpx.AsyncClient
) -> None:
    """django-oauth-toolkit #1809: it walked 100,000 tokens, and timed out."""
    client = await make_public(app)
    fresh, old = await begin(app, client), await begin(app, client)
    query = "UPDATE sessions SET generation = $2 WHERE id = $1"
    await execute(app, query, old.id, GENERATIONS)
    blocks: list[int] = []
    for begun in (fresh, old):
        async with app.services.database.connection() as connection:
            await connection.execute("BEGIN")
            plan = await explain(connection, begun)
            await connection.execute("ROLLBACK")
        (scan,) = plan["Plans"]
        assert (plan["Actual Rows"], scan["Actual Rows"]) == (1, 1)
        blocks.append(touched(plan))
    assert abs(blocks[0] - blocks[1]) <= 10
    for begun in (fresh, old):
        before = await count_writes(app)
        assert await end_one_session(app.services.database, begun.id, "test", OPERATOR)
        after = await count_writes(app)
        assert after - before == Counter(sessions=1, revocations=1, audit_events=1)
    newest = at_generation(app, old.token, GENERATIONS)
    assert_refused(await present(http, client, newest), "invalid_grant")


async def test_a_spent_token_ends_a_session_with_a_long_history_as_fast(
    app: App, http: httpx.AsyncClient
) -> None:
    """django-oauth-toolkit #1809: by reuse too, and any of the old strings is known for spent."""
    begun = await begin(app)
    query = "UPDATE sessions SET generation = $2 WHERE id = $1"
    await execute(app, query, begun.id, GENERATIONS)
    spent = at_generation(app, begun.token, GENERATIONS // 2)
    before = await count_writes(app)
    assert_refused(await present(http, begun.client, spent), "invalid_grant")
    assert await count_writes(app) - before == Counter(sessions=1, revocations=1, audit_events=2)


async def count_writes(app: App) -> Counter[str]:
    """Rows that this suite's pod has written, by table, as its transactions see them."""
    return Counter(
        {
            "sessions": await fetch(
                app, "SELECT count(*) FROM sessions WHERE revoked_at IS NOT NULL"
            ),
            "revocations": await fetch(app, "SELECT count(*) FROM revocations"),
            "audit_events": await fetch(app, "SELECT count(*) FROM audit_events"),
        }
    )


SIZES = """
    SELECT pg_relation_size('sessions') AS "table", pg_indexes_size('sessions') AS indexes,
           n_tup_upd, n_tup_hot_upd
    FROM pg_stat_user_tables WHERE relname = 'sessions'
"""


async def measure(connection: Connection) -> dict[str, int]:
    """Sizes of the table, and how many updates it had so far, this connection's with them."""
    await connection.execute("SELECT pg_stat_force_next_flush()")
    row = await connection.fetchrow(SIZES)
    assert row is not None
    return dict(row)


@pytest.mark.slow
async def test_storage_does_not_grow_with_rotations(
    make_settings: MakeSettings, make_app: MakeApp
) -> None:
    """20,000 rotations of 100 sessions, each within its page (HOT).

    All but few: while anything else in the database holds a snapshot (ANALYZE, this pod's own
    background work on a machine that is short of time), nothing that was rotated can be reclaimed.
    """
    app = await make_app(await make_settings())
    client = await make_public(app)
    begun = [await begin(app, client) for _ in range(100)]
    known = await know_client(app.services.database, client.id)
    tokens = [read(app, it.token) for it in begun]

    async def rotate_all(connection: Connection, times: int) -> dict[str, int]:
        for _ in range(times):
            for place, token in enumerate(tokens):
                presented = Presented(token=token, client=known)
                assert await rotate_session(connection, presented, "off", None) is not None
                tokens[place] = token.successor
        return await measure(connection)

    async with app.services.database.connection() as connection:
        before = await rotate_all(connection, 20)
        after = await rotate_all(connection, 200)
    assert after["n_tup_upd"] - before["n_tup_upd"] == 20_000
    assert after["n_tup_hot_upd"] - before["n_tup_hot_upd"] >= 19_000
    assert after["indexes"] <= before["indexes"] + 4 * 8192
    assert after["table"] <= before["table"] + 8 * 8192
    assert await fetch(app, "SELECT count(*) FROM sessions") == 100
