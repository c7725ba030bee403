"""Many presentations of one refresh token at the same time, on one pod and on two. ATK-49."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest

from service.app import App, open_app
from service.flows.heal_session import Healer
from service.flows.origin import Origin
from service.oauth.rotation import Stored
from service.settings import Settings
from tests.conftest import AUDIENCE, MakeClient, http_to, until
from tests.http.forge import is_active
from tests.http.refusals import assert_refused
from tests.sessions import (
    Begun,
    at_generation,
    begin,
    fetch_session,
    list_events,
    lose_rotations,
    make_public,
    present,
    refresh,
)

AT_ONCE = 200


@pytest.fixture(scope="module")
async def pods(
    http: httpx.AsyncClient, settings: Settings
) -> AsyncIterator[list[httpx.AsyncClient]]:
    """HTTP to two pods over one database."""
    async with open_app(settings, "0.0.0-test") as other, http_to(other) as client:
        await until(lambda: other.services.readiness.ready)
        yield [http, client]


async def together(
    pods: list[httpx.AsyncClient], begun: Begun, token: str, count: int = AT_ONCE
) -> list[httpx.Response]:
    return await asyncio.gather(
        *(present(pods[i % len(pods)], begun.client, token) for i in range(count))
    )


def outcomes(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


@pytest.mark.parametrize("count", [1, 2])
async def test_of_two_hundred_at_once_one_rotates_and_all_get_its_successor(
    app: App, pods: list[httpx.AsyncClient], make_client: MakeClient, count: int
) -> None:
    """RT-5, RT-9, ATK-49."""
    begun, caller = await begin(app), await make_client(serves=(AUDIENCE,))
    answers = await together(pods[:count], begun, begun.token)
    assert outcomes(answers) == {200: AT_ONCE}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (1, None)
    for token in {answer.json()["access_token"] for answer in answers}:
        assert await is_active(pods[0], caller, token)
    await refresh(pods[0], begun.client, answers[0].json()["refresh_token"])


@pytest.mark.parametrize("count", [1, 2])
async def test_of_two_hundred_strict_ones_one_succeeds_and_the_session_ends(
    app: App, pods: list[httpx.AsyncClient], count: int
) -> None:
    """RT-8, ATK-49."""
    begun = await begin(app, grace=timedelta(0))
    answers = await together(pods[:count], begun, begun.token)
    # On a busy machine the row may stay locked for too long: nothing was spent then.
    late = outcomes(answers)[503]
    answers = [it for it in answers if it.status_code != 503]
    answers += await together(pods[:count], begun, begun.token, late)
    assert outcomes(answers) == {200: 1, 400: AT_ONCE - 1}
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_reason"]) == (1, "refresh_reuse")
    (successor,) = (it.json()["refresh_token"] for it in answers if it.status_code == 200)
    assert_refused(await present(pods[0], begun.client, successor), "invalid_grant")


async def test_many_sessions_at_once_do_not_disturb_each_other(
    app: App, pods: list[httpx.AsyncClient]
) -> None:
    """RT-5: each of forty clients has five requests under way, as an app with many tabs has."""
    client = await make_public(app)
    sessions = [await begin(app, client) for _ in range(40)]
    rounds = await asyncio.gather(*(together(pods, it, it.token, 5) for it in sessions))
    for begun, answers in zip(sessions, rounds, strict=True):
        assert outcomes(answers) == {200: 5}
        successor = at_generation(app, begun.token, 1)
        assert {answer.json()["refresh_token"] for answer in answers} == {successor}


async def test_all_generations_at_once_end_the_session_once(
    app: App, pods: list[httpx.AsyncClient]
) -> None:
    """RT-6: a thief with every string there ever was; one event for each spent generation."""
    begun = await begin(app)
    await refresh(pods[0], begun.client, begun.token, times=5)
    tokens = [at_generation(app, begun.token, generation) for generation in range(5)]
    answers = await asyncio.gather(
        *(present(pods[i % 2], begun.client, token) for i, token in enumerate(tokens * 8))
    )
    assert outcomes(answers)[503] == 0
    assert (await fetch_session(app, begun.id))["revoked_reason"] == "refresh_reuse"
    events = Counter(await list_events(app, begun.id))
    assert max(events.values()) == 1
    known = {"session_begun", "refresh_reuse", "refresh_retried", "refresh_dead", "session_ended"}
    assert {event for event, _ in events} <= known
    for generation in range(7):
        token = at_generation(app, begun.token, generation)
        assert_refused(await present(pods[0], begun.client, token), "invalid_grant")


async def test_of_two_pods_that_heal_at_once_one_does_and_both_answer(
    app: App, pods: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contention for one string never makes a 5xx, in whatever life."""
    begun = await begin(app)
    newest = await refresh(pods[0], begun.client, begun.token, times=3)
    await lose_rotations(app, begun.id, 2)
    both, may_heal = asyncio.Barrier(2), Healer.may_heal

    async def meet(healer: Healer, stored: Stored, origin: Origin) -> bool:
        async with asyncio.timeout(5):
            await both.wait()
        return await may_heal(healer, stored, origin)

    monkeypatch.setattr(Healer, "may_heal", meet)
    answers = await together(pods, begun, newest, 4)
    assert outcomes(answers) == {200: 4}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await fetch_session(app, begun.id))["generation"] == 4


async def test_a_row_that_is_locked_for_long_is_worth_another_try(
    app: App, http: httpx.AsyncClient
) -> None:
    """503 after two tries of 200 ms, and nothing was spent."""
    begun = await begin(app)
    async with app.services.database.transaction() as connection:
        await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", begun.id)
        began = asyncio.get_running_loop().time()
        answer = await present(http, begun.client, begun.token)
        waited = asyncio.get_running_loop().time() - began
    assert_refused(answer, "temporarily_unavailable", 503)
    assert int(answer.headers["retry-after"]) >= 1
    assert waited >= 0.35
    assert (await fetch_session(app, begun.id))["generation"] == 0
    await refresh(http, begun.client, begun.token)


async def test_a_row_that_is_locked_for_a_moment_is_waited_for(
    app: App, http: httpx.AsyncClient
) -> None:
    begun = await begin(app)
    async with app.services.database.transaction() as connection:
        await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", begun.id)
        answers = asyncio.create_task(together([http], begun, begun.token, 20))
        await asyncio.sleep(0.05)
        assert not answers.done()
    assert outcomes(await answers) == {200: 20}
    assert (await fetch_session(app, begun.id))["generation"] == 1


async def test_a_client_that_hangs_up_does_not_stop_what_others_wait_for(
    app: App, http: httpx.AsyncClient
) -> None:
    """RT-9: the rotation under way is every waiter's."""
    begun = await begin(app)
    async with app.services.database.transaction() as connection:
        await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", begun.id)
        first = asyncio.create_task(present(http, begun.client, begun.token))
        others = asyncio.create_task(together([http], begun, begun.token, 5))
        await asyncio.sleep(0.05)
        first.cancel()
    assert outcomes(await others) == {200: 5}
    assert first.cancelled()
    assert (await fetch_session(app, begun.id))["generation"] == 1
