"""POST /revoke with `wait`: which verifiers have seen it."""

import asyncio
from typing import Any

import httpx
import pytest

from service.app import App
from service.settings import Settings
from tests.conftest import MakeApp, MakeClient, MakeSettings, RegisteredClient, http_to, register
from tests.http.forge import is_active, issue
from tests.http.receipts import forget_all, newest, report
from tests.http.refusals import assert_refused


@pytest.fixture(scope="module")
async def own(make_settings: MakeSettings) -> Settings:
    """A database whose verifiers are those of these tests."""
    return await make_settings()


@pytest.fixture
async def pod(make_app: MakeApp, own: Settings) -> App:
    pod = await make_app(own)
    await forget_all(pod)
    return pod


@pytest.fixture
async def client(pod: App) -> RegisteredClient:
    return await register(pod)


async def revoke(
    http: httpx.AsyncClient, client: RegisteredClient, token: str, wait: str
) -> httpx.Response:
    return await http.post("/revoke", data={"token": token, "wait": wait}, auth=client.auth)


def seen_by(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
        "application/json",
        "no-store",
    )
    assert list(answer.json()) == ["seen_by"]
    members: dict[str, Any] = answer.json()["seen_by"]
    assert list(members) == ["seen", "of", "slowest", "missing", "ms"]
    return members


async def test_nobody_reports(pod: App, client: RegisteredClient) -> None:
    """DIST-8: an unknown token's answer has the same form (REV-1)."""
    async with http_to(pod) as http:
        token = await issue(http, client)
        for each in (token, token, "unknown"):
            members = seen_by(await revoke(http, client, each, "5"))
            assert members | {"ms": 0} == {
                "seen": 0,
                "of": 0,
                "slowest": None,
                "missing": [],
                "ms": 0,
            }
        assert not await is_active(http, client, token)


async def test_the_answer_comes_with_the_last_receipt(
    pod: App, make_app: MakeApp, own: Settings, client: RegisteredClient
) -> None:
    """Receipts may arrive at another pod; two who wait share what they read."""
    other = await make_app(own)
    async with http_to(pod) as http, http_to(other) as elsewhere:
        head = await newest(pod)
        for name in ("quick", "slow"):
            await report(elsewhere, client, head, name=name)
        tokens = [await issue(http, client) for _ in range(2)]
        waiting = [asyncio.create_task(revoke(http, client, it, "10")) for it in tokens]
        await _until_void(http, client, tokens)
        now = await newest(pod)
        await report(elsewhere, client, now, name="quick")
        done, _ = await asyncio.wait(waiting, timeout=0.3)
        assert not done
        await report(elsewhere, client, now, name="slow")
        for task in waiting:
            members = seen_by(await task)
            assert (members["seen"], members["of"]) == (2, 2)
            assert (members["slowest"], members["missing"]) == ("slow", [])


async def _until_void(http: httpx.AsyncClient, client: RegisteredClient, tokens: list[str]) -> None:
    async with asyncio.timeout(10):
        for token in tokens:
            active = True
            while active:
                active = await is_active(http, client, token)
                await asyncio.sleep(0.01)


async def test_whoever_is_missing_is_named(pod: App, client: RegisteredClient) -> None:
    async with http_to(pod) as http:
        await report(http, client, await newest(pod), name="billing-7f")
        members = seen_by(await revoke(http, client, await issue(http, client), "1"))
        assert (members["seen"], members["of"]) == (0, 1)
        assert (members["slowest"], members["missing"]) == ("billing-7f", ["billing-7f"])
        assert members["ms"] >= 1000


@pytest.mark.parametrize("wait", ["-1", "11", "1.5", "true", "\u0661"])
async def test_a_wait_that_is_none_revokes_nothing(
    http: httpx.AsyncClient, make_client: MakeClient, wait: str
) -> None:
    client = await make_client()
    token = await issue(http, client)
    assert_refused(await revoke(http, client, token, wait), "invalid_request")
    assert await is_active(http, client, token)


async def test_a_public_client_is_told_nothing_of_verifiers(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    public = await make_client(type="public")
    form = {"client_id": public.id, "token": "unknown", "wait": "1"}
    assert_refused(await http.post("/revoke", data=form), "unauthorized_client")
