"""TOK-17: guessing is slowed down, and nobody who has the right secret ever notices."""

import time
from collections.abc import AsyncIterator

import httpx
import pytest

from service.app import App, open_app
from tests.conftest import MakeApp, MakeSettings, RegisteredClient, http_to, register, until
from tests.http.refusals import GRANT, assert_refused

LIMIT = 3


@pytest.fixture(scope="module")
async def pod(make_settings: MakeSettings) -> AsyncIterator[App]:
    """A pod that bears three failures a minute, behind a proxy on 127.0.0.1."""
    settings = await make_settings(CLIENT_FAILURES_PER_MINUTE=str(LIMIT))
    async with open_app(settings, "0.0.0-test") as app:
        await until(lambda: app.services.readiness.ready)
        yield app


@pytest.fixture(scope="module")
async def http(pod: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http_to(pod) as client:
        yield client


@pytest.fixture
async def client(pod: App) -> RegisteredClient:
    return await register(pod)


async def ask(
    http: httpx.AsyncClient, client_id: str, secret: str = "wrong", *, address: str
) -> httpx.Response:
    headers = {"x-forwarded-for": address}
    return await http.post("/token", data=GRANT, auth=(client_id, secret), headers=headers)


def assert_limited(answer: httpx.Response) -> None:
    assert_refused(answer, "temporarily_unavailable", 429)
    (seconds,) = answer.headers.get_list("retry-after")
    assert 1 <= int(seconds) <= 60


async def test_a_client_has_so_many_failures_a_minute(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """TOK-17, ATK-42: counted wherever they come from, by header and by body."""
    form = {**GRANT, "client_id": client.id, "client_secret": "wrong"}
    assert_refused(await ask(http, client.id, address="192.0.2.1"), "invalid_client", 401)
    assert_refused(await ask(http, client.id, address="192.0.2.2"), "invalid_client", 401)
    answer = await http.post("/token", data=form, headers={"x-forwarded-for": "192.0.2.3"})
    assert_refused(answer, "invalid_client")
    assert_limited(await ask(http, client.id, address="192.0.2.4"))
    for path in ("/token", "/revoke", "/introspect"):
        headers = {"x-forwarded-for": f"192.0.2.{len(path)}"}
        assert_limited(await http.post(path, data=form, headers=headers))


async def test_the_right_secret_is_never_refused(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """TOK-17, ATK-42: not from the address that guesses, not from any other."""
    for _ in range(LIMIT):
        await ask(http, client.id, address="192.0.2.10")
    assert_limited(await ask(http, client.id, address="192.0.2.10"))
    for address in ("192.0.2.10", "192.0.2.11"):
        assert (await ask(http, *client.auth, address=address)).status_code == 200


async def test_other_clients_do_not_notice(
    http: httpx.AsyncClient, pod: App, client: RegisteredClient
) -> None:
    """TOK-17, ATK-42."""
    other = await register(pod)
    for _ in range(LIMIT + 1):
        answer = await ask(http, client.id, address="192.0.2.20")
    assert_limited(answer)
    assert (await ask(http, *other.auth, address="192.0.2.20")).status_code == 200
    assert_refused(await ask(http, other.id, address="192.0.2.21"), "invalid_client", 401)


async def test_an_address_has_so_many_failures_too(
    http: httpx.AsyncClient, client: RegisteredClient
) -> None:
    """TOK-17: whatever the clients it tries, known or not; the answers are equal."""
    for number in range(LIMIT):
        answer = await ask(http, f"guess-{number}", address="192.0.2.30")
        assert_refused(answer, "invalid_client", 401)
    unknown = await ask(http, "guess-again", address="192.0.2.30")
    known = await ask(http, client.id, address="192.0.2.30")
    assert_limited(unknown)
    assert_limited(known)
    assert unknown.content == known.content
    assert_refused(await ask(http, client.id, address="192.0.2.31"), "invalid_client", 401)


async def test_a_host_with_many_ipv6_addresses_is_one(http: httpx.AsyncClient) -> None:
    """TOK-17: one host commands a /64."""
    for number in range(LIMIT):
        await ask(http, f"host-{number}", address=f"2001:db8:0:1::{number}")
    assert_limited(await ask(http, "host-x", address="2001:db8:0:1:ffff:ffff:ffff:ffff"))
    answer = await ask(http, "host-y", address="2001:db8:0:2::1")
    assert_refused(answer, "invalid_client", 401)


async def test_spoofed_hops_before_the_proxys_own_do_not_help(http: httpx.AsyncClient) -> None:
    """ATK-92: the rightmost address that is no proxy's counts."""
    for number in range(LIMIT + 1):
        hops = ", ".join(f"198.51.100.{number * 60 + hop}" for hop in range(50))
        answer = await ask(http, f"spoof-{number}", address=f"{hops}, 192.0.2.40")
    assert_limited(answer)


async def test_a_stranger_can_not_say_where_it_comes_from(pod: App) -> None:
    """ATK-91: its socket's address counts, whatever the headers say."""
    url = "https://localhost:8000/token"
    async with http_to(pod, client=("203.0.113.9", 4711)) as http:
        for number in range(LIMIT + 1):
            headers = {
                "x-forwarded-for": f"192.0.2.{50 + number}",
                "forwarded": f"for=192.0.2.{50 + number}",
                "x-real-ip": f"192.0.2.{50 + number}",
            }
            auth = (f"stranger-{number}", "wrong")
            answer = await http.post(url, data=GRANT, auth=auth, headers=headers)
    assert_limited(answer)


async def test_a_public_client_that_names_itself_fails_at_nothing(
    http: httpx.AsyncClient, pod: App
) -> None:
    """TOK-17: a refused grant is no failed authentication."""
    public = await register(pod, type="public")
    form = {**GRANT, "client_id": public.id}
    for _ in range(LIMIT + 2):
        answer = await http.post("/token", data=form, headers={"x-forwarded-for": "192.0.2.60"})
        assert_refused(answer, "unauthorized_client")


async def test_a_success_never_asks_for_the_count(
    http: httpx.AsyncClient,
    pod: App,
    client: RegisteredClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """TOK-17: so Redis can't slow a token down."""
    monkeypatch.setattr(pod.services.limit, "count_failure", None)
    assert (await ask(http, *client.auth, address="192.0.2.70")).status_code == 200


async def test_without_redis_the_pod_counts_alone_and_nobody_waits(
    make_settings: MakeSettings, make_app: MakeApp
) -> None:
    """TOK-17."""
    nobody = "redis://127.0.0.1:1/0"
    settings = await make_settings(CLIENT_FAILURES_PER_MINUTE=str(LIMIT), REDIS_URL=nobody)
    pod = await make_app(settings)
    client = await register(pod)
    async with http_to(pod) as http:
        for number in range(20):
            began = time.monotonic()
            answer = await ask(http, client.id, address=f"192.0.2.{80 + number}")
            assert time.monotonic() - began < 1
            if number < LIMIT:
                assert_refused(answer, "invalid_client", 401)
            else:
                assert_limited(answer)
        began = time.monotonic()
        assert (await ask(http, *client.auth, address="192.0.2.80")).status_code == 200
        assert time.monotonic() - began < 1
