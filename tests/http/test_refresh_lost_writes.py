"""Refresh tokens after the database lost its last writes: healed, or what can't be explained."""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta

import httpx
import pytest
from msgspec.structs import replace

from service.app import App, open_redis
from service.environment import Secret
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import shadow_client
from service.flows.origin import OPERATOR
from service.redis.feed import RedisFeed
from service.settings import Settings
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
    list_events,
    lose_rotations,
    new_life,
    present,
    refresh,
)


@pytest.fixture
async def lost(app: App, http: httpx.AsyncClient) -> tuple[Begun, str]:
    """A session refreshed five times, of which a crash lost three; and its newest token."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=5)
    await lose_rotations(app, begun.id, 3)
    return begun, newest


async def test_lost_rotations_are_healed(
    app: App, http: httpx.AsyncClient, lost: tuple[Begun, str]
) -> None:
    """Rotations commit asynchronously; a crash must not log anybody out."""
    begun, newest = lost
    healed = count_refreshes(app, "healed")
    token = await refresh(http, begun.client, newest)
    assert count_refreshes(app, "healed") == healed + 1
    assert token == at_generation(app, begun.token, 6)
    assert await list_events(app, begun.id) == [("session_begun", None), ("refresh_healed", 5)]
    row = await fetch_session(app, begun.id)
    assert row["generation"] == 6
    assert row["incarnation"] == await fetch(app, "SELECT id FROM database_life")
    # It is a rotation like any other: it may be retried, and goes on.
    assert await refresh(http, begun.client, newest) == token
    await refresh(http, begun.client, token)
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"


async def test_the_token_of_the_lost_rotation_heals_too(
    app: App, http: httpx.AsyncClient, lost: tuple[Begun, str]
) -> None:
    """A client whose last answer was lost with the rotation sends the token before again."""
    begun, newest = lost
    assert await refresh(http, begun.client, at_generation(app, begun.token, 4)) == newest
    await refresh(http, begun.client, newest)


async def test_a_rotation_that_was_lost_is_made_again(app: App, http: httpx.AsyncClient) -> None:
    """The successor is the same string, so the client that had it already goes on."""
    begun = await begin(app)
    successor = await refresh(http, begun.client, begun.token)
    await lose_rotations(app, begun.id, 1)
    assert await refresh(http, begun.client, begun.token) == successor
    await refresh(http, begun.client, successor)


async def test_a_new_life_alone_changes_nothing(app: App, http: httpx.AsyncClient) -> None:
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token)
    await new_life(app)
    assert await refresh(http, begun.client, begun.token) == newest
    await refresh(http, begun.client, newest)


async def test_what_was_spent_before_the_loss_revokes_after_it(
    app: App, http: httpx.AsyncClient, lost: tuple[Begun, str]
) -> None:
    """What the row remembers is judged by it, in whatever life."""
    begun, newest = lost
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"


async def test_a_token_that_no_loss_explains_revokes_and_alarms(
    app: App, http: httpx.AsyncClient
) -> None:
    """Somebody holds our refresh key. Shadow mode is about reuse alone."""
    begun = await begin(app)
    await shadow_client(app.services.database, begun.client.id, on=True)
    impossible = count_refreshes(app, "impossible")
    future = at_generation(app, begun.token, 2)
    assert_refused(await present(http, begun.client, future), "invalid_grant")
    assert count_refreshes(app, "impossible") == impossible + 1
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_impossible"
    events = ["session_begun", "session_ended", "refresh_impossible"]
    assert [event for event, _ in await list_events(app, begun.id)] == events
    facts = "SELECT count(*) FROM revocations WHERE kind = 'sid' AND subject = $1"
    assert await fetch(app, facts, str(begun.id)) == 1
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")


async def test_a_session_is_healed_once_in_a_life(
    app: App, http: httpx.AsyncClient, lost: tuple[Begun, str]
) -> None:
    """After its first rotation in a new life no loss explains a token from the future."""
    begun, newest = lost
    await refresh(http, begun.client, at_generation(app, begun.token, 2))
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_impossible"


async def test_healing_asks_for_no_more_than_the_session_has(
    app: App, http: httpx.AsyncClient, lost: tuple[Begun, str]
) -> None:
    """RT-3: nothing is spent by it."""
    begun, newest = lost
    answer = await present(http, begun.client, newest, scope="admin")
    assert_refused(answer, "invalid_scope")
    assert (await fetch_session(app, begun.id))["generation"] == 2
    narrow = await present(http, begun.client, newest, scope="orders:read")
    assert narrow.json()["scope"] == "orders:read"


async def test_a_strict_client_is_healed_once(app: App, http: httpx.AsyncClient) -> None:
    """RT-8."""
    begun = await begin(app, grace=timedelta(0))
    newest = await refresh(http, begun.client, begun.token, times=3)
    await lose_rotations(app, begun.id, 2)
    await refresh(http, begun.client, newest)
    assert_refused(await present(http, begun.client, newest), "invalid_grant")
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"


async def test_a_revocation_that_was_lost_too_is_taken_back_from_the_feed(
    app: App, http: httpx.AsyncClient
) -> None:
    """An acknowledged revocation is final while the feed remembers it."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=3)
    await end_one_session(app.services.database, begun.id, "revoked_by_client", OPERATOR)
    await app.services.keeper.publish()
    query = "UPDATE sessions SET revoked_at = NULL, revoked_reason = NULL WHERE id = $1"
    await execute(app, query, begun.id)
    query = "DELETE FROM revocations WHERE subject = $1"
    await execute(app, query, str(begun.id))
    await lose_rotations(app, begun.id, 2)
    expected = await present(http, begun.client, "wwr_nonsense")
    answer = await present(http, begun.client, newest)
    assert (answer.status_code, answer.content) == (expected.status_code, expected.content)
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "taken_back_from_feed"
    facts = "SELECT count(*) FROM revocations WHERE kind = 'sid' AND subject = $1"
    assert await fetch(app, facts, str(begun.id)) == 1
    assert_refused(await present(http, begun.client, begun.token), "invalid_grant")


@pytest.fixture
async def feeds(settings: Settings) -> AsyncIterator[dict[str, RedisFeed]]:
    """Feeds that can't say anything: Redis does not answer, or has no heartbeat."""
    away = open_redis(replace(settings, redis_url=Secret("redis://127.0.0.1:1")))
    flushed = open_redis(settings)
    yield {"away": RedisFeed(away, "away"), "flushed": RedisFeed(flushed, "flushed")}
    await away.close()
    await flushed.close()


@pytest.mark.parametrize("fault", ["away", "flushed", "old"])
async def test_nothing_is_healed_while_the_feed_can_not_say_that_it_was_not_revoked(
    app: App,
    http: httpx.AsyncClient,
    lost: tuple[Begun, str],
    fault: str,
    feeds: dict[str, RedisFeed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ATK-104: 503, and the same token is good once the feed is back."""
    begun, newest = lost
    with monkeypatch.context() as patch:
        if fault == "old":
            patch.setattr("service.flows.heal_session._FRESH", timedelta(days=-1))
        else:
            patch.setattr(app.services.refresh_tokens._healer, "_feed", feeds[fault])
        answer = await present(http, begun.client, newest)
        assert_refused(answer, "temporarily_unavailable", 503)
        assert (await fetch_session(app, begun.id))["generation"] == 2
    await refresh(http, begun.client, newest)


@pytest.fixture
def lifeless(app: App, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No pod begins a new life of the database meanwhile."""

    async def wait(*_: object) -> bool:
        return False

    monkeypatch.setattr(app.services.keeper, "_begin_life", wait)
    yield
    monkeypatch.undo()


async def test_while_a_new_life_begins_nothing_is_refreshed_or_judged(
    app: App, http: httpx.AsyncClient, lifeless: None
) -> None:
    """ATK-104: 503 for good and spent tokens alike; what is no token needs no database."""
    begun = await begin(app)
    newest = await refresh(http, begun.client, begun.token, times=2)
    await age(app, begun.id, 31)
    old = await fetch(app, "SELECT id FROM database_life")
    try:
        await execute(app, "UPDATE database_life SET system_identifier = system_identifier + 1")
        for token in (newest, at_generation(app, begun.token, 1), begun.token):
            answer = await present(http, begun.client, token)
            assert_refused(answer, "temporarily_unavailable", 503)
        assert_refused(await present(http, begun.client, "wwr_nonsense"), "invalid_grant")
    finally:
        await execute(app, "UPDATE database_life SET system_identifier = system_identifier - 1")
    assert await fetch(app, "SELECT id FROM database_life") == old
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (2, None)
    await refresh(http, begun.client, newest)
