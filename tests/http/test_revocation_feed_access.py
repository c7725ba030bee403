"""GET /revocations: for whom it is, and what of it stands in log and metrics."""

import httpx
import msgspec
import pytest
from structlog.testing import capture_logs

from service.app import App
from service.settings import Settings
from tests.conftest import MakeApp, MakeSettings, RegisteredClient, http_to, register
from tests.http.follower import Follower, publish
from tests.http.refusals import assert_refused


@pytest.fixture
async def settings(make_settings: MakeSettings) -> Settings:
    return await make_settings()


@pytest.fixture
async def for_clients(make_app: MakeApp, settings: Settings) -> App:
    """A pod whose feed is for clients, with a full page in it."""
    pod = await make_app(msgspec.structs.replace(settings, revocations_over_http="clients"))
    await publish(pod, 256 * 70)
    return pod


async def test_for_clients_only_http_basic_opens_it(for_clients: App) -> None:
    client = await register(for_clients)
    public = await register(for_clients, type="public")
    refused: list[tuple[tuple[str, str] | None, str]] = [
        (None, ""),
        (None, f"?client_id={client.id}&client_secret={client.secret}"),
        ((client.id, "wrong"), ""),
        (("nobody", client.secret), ""),
        ((public.id, "wws_x"), ""),
    ]
    async with http_to(for_clients) as http:
        for auth, query in refused:
            answer = await http.get(f"/revocations{query}", auth=auth)
            assert_refused(answer, "invalid_client", 401)
        answer = await http.get("/revocations", headers={"authorization": "Bearer x"})
        assert_refused(answer, "invalid_client", 401)
        answer = await http.get("/revocations?after=x", auth=client.auth)
        assert_refused(answer, "invalid_request")
        assert (await http.get("/revocations", auth=client.auth)).status_code == 200


async def test_for_clients_no_shared_cache_keeps_a_page(for_clients: App) -> None:
    """It would hand it to anybody (RFC 9111 §3.5)."""
    client, follower = await register(for_clients), Follower(for_clients)
    follower.http.auth = httpx.BasicAuth(*client.auth)
    answer = await follower.follow()
    assert answer.cache == "no-store"
    again = await follower.ask(epoch=follower.epoch, after=0)
    assert again.heartbeat is None
    assert again.cache == "private, max-age=600, immutable"


async def test_a_disabled_client_does_not_open_it(for_clients: App) -> None:
    client = await register(for_clients)
    async with for_clients.services.database.connection() as connection:
        await connection.execute("UPDATE clients SET enabled = false WHERE id = $1", client.id)
    assert_refused(await get(for_clients, client), "invalid_client", 401)


async def get(pod: App, client: RegisteredClient) -> httpx.Response:
    async with http_to(pod) as http:
        return await http.get("/revocations", auth=client.auth)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_closed_it_says_which_setting_closed_it(
    make_app: MakeApp, settings: Settings, method: str
) -> None:
    pod = await make_app(msgspec.structs.replace(settings, revocations_over_http="closed"))
    async with http_to(pod) as http:
        answer = await http.request(method, "/revocations")
    assert_refused(answer, "not_found", 404)
    assert "WATCHWORD_REVOCATIONS_OVER_HTTP" in answer.json()["error_description"]


async def test_waits_are_neither_latency_nor_lines_in_the_log(
    make_app: MakeApp, settings: Settings
) -> None:
    pod = await make_app(settings)
    await publish(pod)
    follower = await Follower(pod).catch_up()
    with capture_logs() as logs:
        await follower.follow(wait=1)
        await follower.get(after="x")
    lines = [line for line in logs if line["event"] == "request"]
    assert [(line["log_level"], line["status"]) for line in lines] == [
        ("debug", 200),
        ("info", 400),
    ]
    assert lines[0]["ms"] >= 1000
    seconds = pod.services.metrics.registry.get_sample_value(
        "watchword_http_request_duration_seconds_sum", {"route": "/revocations"}
    )
    assert seconds is not None
    assert seconds < 0.5


async def test_under_an_issuers_path_it_stands_under_that_path(
    make_settings: MakeSettings, make_app: MakeApp
) -> None:
    pod = await make_app(await make_settings(ISSUER="http://localhost:8000/auth"))
    async with http_to(pod) as http:
        assert (await http.get("http://localhost:8000/auth/revocations")).status_code == 200
        assert (await http.get("http://localhost:8000/revocations")).status_code == 404
