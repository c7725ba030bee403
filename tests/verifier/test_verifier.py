"""The verifier beside a live pod: what it accepts, and what follows when something changes."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest
from watchword_verifier import (
    InsufficientRole,
    InsufficientScope,
    RefreshRequired,
    RevocationsStale,
    Revoked,
    Verifier,
    VerifierError,
)

from service.embedded.redis import EmbeddedRedis
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import revoke_client
from service.flows.manage_users import set_roles
from service.flows.origin import OPERATOR
from tests.conftest import AUDIENCE
from tests.redis.test_acl import add_user
from tests.verifier.conftest import LivePod, Options

HOUR = timedelta(hours=1)


@pytest.fixture(params=["redis", "http"])
async def either(
    request: pytest.FixtureRequest, pod: LivePod, options: Options
) -> AsyncIterator[Verifier]:
    """A verifier that follows the stream in Redis alone, and one that follows over HTTP alone."""
    if request.param == "redis":
        verifier = Verifier(**options, reserve=False)
    else:
        verifier = Verifier(issuer=pod.url, audience=AUDIENCE)
    async with verifier as opened:
        assert opened.ready
        yield opened


async def refused(verifier: Verifier, token: str) -> VerifierError:
    """Why a token is refused, once it is."""
    async with asyncio.timeout(10):
        while True:
            try:
                await verifier.verify(token)
            except VerifierError as error:
                return error
            await asyncio.sleep(0.001)


async def test_a_good_token_is_verified(either: Verifier, pod: LivePod) -> None:
    client = pod.make_client()
    claims = await either.verify(pod.token(client), scopes=["orders:read"])
    assert (claims.subject, claims.client_id, claims.issuer) == (client.id, client.id, pod.url)
    assert claims.has_scope("orders:read", "orders:write")
    assert not claims.has_scope("orders:delete")
    assert claims.expires_at - claims.issued_at == timedelta(minutes=5)
    assert claims["aud"] == AUDIENCE
    assert dict(claims)["jti"] == claims.jti
    with pytest.raises(TypeError):
        claims["sub"] = "root"  # pyright: ignore[reportIndexIssue]


async def test_a_revoked_token_is_refused_and_no_other(either: Verifier, pod: LivePod) -> None:
    """DIST-1."""
    client = pod.make_client()
    token, other = pod.token(client), pod.token(client)
    for each in (token, other):
        await either.verify(each)
    pod.revoke(client, token)
    assert isinstance(await refused(either, token), Revoked)
    await either.verify(other)


async def test_an_ended_session_takes_its_tokens_along(either: Verifier, pod: LivePod) -> None:
    """DIST-2."""
    begun, other = pod.begin(), pod.begin()
    for each in (begun, other):
        await either.verify(each.tokens.access_token)
    pod.call(end_one_session, pod.app.services.database, begun.id, "test", OPERATOR)
    assert isinstance(await refused(either, begun.tokens.access_token), Revoked)
    await either.verify(other.tokens.access_token)


async def test_a_revoked_client_begins_anew(either: Verifier, pod: LivePod) -> None:
    """DIST-4, DIST-9: a token made in the same second after it is good."""
    client = pod.make_client()
    old = pod.token(client)
    await either.verify(old)
    pod.call(revoke_client, pod.app.services.database, client.id, enabled=True)
    assert isinstance(await refused(either, old), Revoked)
    new = pod.token(client)
    while not (await _epoch(either, new)):
        new = pod.token(client)
    await either.verify(new)


async def _epoch(verifier: Verifier, token: str) -> int:
    """The epoch in a token; 0 where the pod still had the old client in its cache."""
    with contextlib.suppress(Revoked):
        return int((await verifier.verify(token))["cep"])
    await asyncio.sleep(0.05)
    return 0


async def test_changed_roles_ask_for_a_refresh(either: Verifier, pod: LivePod) -> None:
    """DIST-7: 401 with a description that says so; nobody is logged out."""
    begun = pod.begin(roles=("clerk",))
    claims = await either.verify(begun.tokens.access_token)
    claims.require_role("clerk")
    with pytest.raises(InsufficientRole):
        claims.require_role("clerk", "admin")
    pod.call(set_roles, pod.app.services.database, begun.user.id, ("admin",), OPERATOR)
    error = await refused(either, begun.tokens.access_token)
    assert isinstance(error, RefreshRequired)
    assert "refresh" in error.description
    form = {
        "grant_type": "refresh_token",
        "refresh_token": begun.token,
        "client_id": begun.client.id,
    }
    answer = pod.http.post("/token", data=form)
    assert (await either.verify(answer.json()["access_token"])).roles == ("admin",)


async def test_a_scope_that_is_lacking_is_named(verifier: Verifier, pod: LivePod) -> None:
    """RS-2."""
    token = pod.token(scope="orders:read")
    with pytest.raises(InsufficientScope) as raised:
        await verifier.verify(token, scopes=["orders:read", "orders:write"])
    assert raised.value.status == 403
    assert 'scope="orders:read orders:write"' in raised.value.challenge()


async def test_what_is_stale_is_the_owners_choice(pod: LivePod, options: Options) -> None:
    """DIST-8: for the verifier, and for one call."""
    client = pod.make_client(serves=(AUDIENCE,))
    token, void = pod.token(client), pod.token(client)
    options = {**options, "redis_prefix": f"absent{uuid4().hex}"}
    async with Verifier(
        **options, reserve=False, client=client.auth, start_timeout=timedelta(seconds=1)
    ) as stale:
        assert not stale.ready
        assert stale.staleness is None
        with pytest.raises(RevocationsStale) as raised:
            await stale.verify(token)
        assert raised.value.status == 503
        assert ("retry-after", "1") in raised.value.headers()
        assert await stale.verify(token, stale="accept")
        assert await stale.verify(token, stale="introspect")
        pod.revoke(client, void)
        with pytest.raises(Revoked):
            await stale.verify(void, stale="introspect")
        assert stale.status.tokens == {"RevocationsStale": 1, "verified": 2, "Revoked": 1}


async def test_introspection_that_is_refused_is_no_answer(pod: LivePod, options: Options) -> None:
    options = {**options, "redis_prefix": f"absent{uuid4().hex}"}
    async with Verifier(
        **options,
        reserve=False,
        client=("absent", "wrong"),
        stale="introspect",
        start_timeout=timedelta(seconds=1),
    ) as stale:
        with pytest.raises(RevocationsStale):
            await stale.verify(pod.token())


async def test_the_news_may_be_younger_for_one_call(verifier: Verifier, pod: LivePod) -> None:
    token = pod.token()
    assert await verifier.verify(token, max_staleness=HOUR)
    with pytest.raises(RevocationsStale):
        await verifier.verify(token, max_staleness=timedelta(0))


async def test_without_a_way_to_the_issuer_nothing_is_ready() -> None:
    """It starts all the same, and says why."""
    async with Verifier(
        issuer="http://127.0.0.1:9", audience=AUDIENCE, start_timeout=timedelta(seconds=0.5)
    ) as alone:
        assert not alone.ready
        assert alone.status.troubles["http"].startswith("http://127.0.0.1:9/revocations: Connect")


async def test_reading_goes_on_beside_requests(either: Verifier, pod: LivePod) -> None:
    """What verify does once it is warm needs no loop: it ends without ever waiting."""
    token = pod.token()
    await either.verify(token)
    call = either.verify(token)
    with pytest.raises(StopIteration):
        call.send(None)


async def test_each_change_is_told_in_one_line(
    pod: LivePod, options: Options, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "watchword_verifier"):
        async with Verifier(**options) as opened:
            await asyncio.sleep(0.6)
            assert opened.ready
    told = [it.getMessage() for it in caplog.records if it.name == "watchword_verifier"]
    assert [line.split(":")[0].split(",")[0] for line in sorted(told)] == [
        "following the revocations by redis",
        "ready",
        "revocations are fresh",
    ]


async def test_receipts_are_reported_and_taken_back(pod: LivePod, options: Options) -> None:
    """With the place and the keys; at once after a change; goodbye is said."""
    client = pod.make_client()
    async with Verifier(**options, client=client.auth, name="orders-1") as opened:
        token = pod.token(client)
        assert await opened.verify(token)
        async with asyncio.timeout(10):
            while not await _receipts(pod, client.id):  # noqa: ASYNC110 (it is another process')
                await asyncio.sleep(0.01)
        form = {"token": token, "wait": "10"}
        answer = await asyncio.to_thread(pod.http.post, "/revoke", data=form, auth=client.auth)
        seen = answer.json()["seen_by"]
        assert (seen["seen"], seen["of"], seen["missing"]) == (1, 1, [])
        (row,) = await _receipts(pod, client.id)
        assert row["name"] == "orders-1"
        assert set(opened.status.kids) < set(row["kids"])
    assert await _receipts(pod, client.id) == []


async def _receipts(pod: LivePod, client_id: str) -> list[dict]:
    async def read() -> list[dict]:
        async with pod.app.services.database.connection() as connection:
            query = "SELECT * FROM feed_receipts WHERE client_id = $1"
            return [dict(row) for row in await connection.fetch(query, client_id)]

    return await asyncio.to_thread(pod.call, read)


async def test_a_user_of_redis_who_only_reads_is_enough(
    pod: LivePod, options: Options, redis_server: EmbeddedRedis
) -> None:
    """deploy/redis-users.acl."""
    url = await add_user(redis_server, "verifier", pod.settings.redis_prefix)
    async with Verifier(**{**options, "revocations": url}, reserve=False) as opened:
        assert opened.ready
        client = pod.make_client()
        token = pod.token(client)
        await opened.verify(token)
        pod.revoke(client, token)
        assert isinstance(await refused(opened, token), Revoked)


async def test_a_verifier_starts_once(verifier: Verifier) -> None:
    with pytest.raises(RuntimeError):
        await verifier.start()
