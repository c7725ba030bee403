"""GET /healthz, /readyz, /metrics: what the cluster asks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from unittest.mock import patch

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.app import App, create_app, open_database
from service.http.services import Readiness, Services
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.settings import Settings
from tests.conftest import MakeClient, http_to
from tests.http.forge import issue

PROBES = ["/healthz", "/readyz", "/metrics"]


@asynccontextmanager
async def pod(services: Services) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to the application over changed services."""
    async with http_to(App(asgi=create_app(services), services=services)) as http:
        yield http


async def test_running_pod_is_healthy_and_ready(http: httpx.AsyncClient) -> None:
    health, ready = await http.get("/healthz"), await http.get("/readyz")
    assert (health.status_code, health.json()) == (200, {"status": "ok"})
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "degraded": []})


@pytest.mark.parametrize("path", PROBES)
async def test_probes_come_in_clear_by_address_from_anywhere(app: App, path: str) -> None:
    """The node asks neither over TLS nor for the issuer's host; other paths refuse it so."""
    async with http_to(app, client=("203.0.113.9", 1234)) as http:
        host = {"host": "10.1.2.3:8000"}
        answer = await http.get(path, headers=host)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        assert "set-cookie" not in answer.headers
        assert (await http.get("/.well-known/jwks.json", headers=host)).status_code == 400


@pytest.mark.parametrize("path", PROBES)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_probes_are_only_read(http: httpx.AsyncClient, path: str, method: str) -> None:
    assert (await http.request(method, path)).status_code == 405


@pytest.mark.parametrize(
    ("readiness", "status"),
    [
        (Readiness(), "starting"),
        (Readiness(started=True, draining=True), "stopping"),
        (Readiness(started=False, draining=True), "stopping"),
    ],
    ids=["starting", "stopping", "stopped while starting"],
)
async def test_pod_that_wants_no_requests_is_healthy_but_not_ready(
    app: App, readiness: Readiness, status: str
) -> None:
    async with pod(replace(app.services, readiness=readiness)) as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"status": status})
        assert answer.headers["cache-control"] == "no-store"
        assert (await http.get("/healthz")).status_code == 200


async def test_lost_postgresql_is_named_and_leaves_the_pod_ready(
    app: App, settings: Settings
) -> None:
    """All pods share it: taking one out of service would help nobody."""
    database = open_database(settings)
    database.away = True
    async with pod(replace(app.services, database=database)) as http:
        answer = await http.get("/readyz")
        assert answer.status_code == 200
        assert answer.json() == {"status": "degraded", "degraded": ["postgresql"]}
        assert (await http.get("/healthz")).json() == {"status": "ok"}


async def test_keys_not_confirmed_for_10_minutes_are_named(app: App, settings: Settings) -> None:
    keyring = Keyring(
        KeyStore(issuer=settings.issuer, master_keys=read_master_keys(settings.keys_dir))
    )
    async with pod(replace(app.services, keyring=keyring)) as http:
        answer = await http.get("/readyz")
        assert (answer.status_code, answer.json()["degraded"]) == (200, ["signing keys"])


@pytest.mark.parametrize(
    ("attribute", "name"), [("redis_away", "redis"), ("loss_unknown", "lost writes")]
)
async def test_what_the_feed_misses_is_named(app: App, attribute: str, name: str) -> None:
    with patch.object(app.services.keeper, attribute, new=True):
        async with http_to(app) as http:
            answer = await http.get("/readyz")
    assert (answer.status_code, answer.json()["degraded"]) == (200, [name])


async def test_metrics_are_prometheus_text(http: httpx.AsyncClient) -> None:
    """One Content-Type, and in it each parameter once."""
    answer = await http.get("/metrics")
    (content_type,) = answer.headers.get_list("content-type")
    media_type, *parameters = content_type.split("; ")
    assert media_type == "text/plain"
    names = [parameter.partition("=")[0] for parameter in parameters]
    assert sorted(names) == ["charset", "version"]
    families = {family.name for family in text_string_to_metric_families(answer.text)}
    assert {"watchword_http_requests", "watchword_feed_head"} <= families
    rooms = ("watchword_", "process_", "python_gc_")
    assert all(name.startswith(rooms) for name in families)


async def test_requests_and_tokens_and_refusals_are_counted(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    client = await make_client()
    names = {
        "issued": "watchword_access_tokens_issued_total",
        "revoked": "watchword_revocations_total",
        "refused": "watchword_refusals_total",
        "requests": "watchword_http_requests_total",
    }
    before = {key: await _total(http, name) for key, name in names.items()}
    token = await issue(http, client)
    await http.post("/revoke", data={"token": token}, auth=client.auth)
    await http.post("/revoke", data={"token": token}, auth=client.auth)
    await http.post("/introspect", data={"token": "x"})
    rise = {key: await _total(http, name) - before[key] for key, name in names.items()}
    assert rise["issued"] == rise["revoked"] == rise["refused"] == 1
    assert rise["requests"] >= 4


async def _total(http: httpx.AsyncClient, name: str) -> float:
    families = text_string_to_metric_families((await http.get("/metrics")).text)
    return sum(s.value for family in families for s in family.samples if s.name == name)


async def test_strangers_make_no_time_series_and_leave_no_secret(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-96, ATK-100: labels are a closed set; what is sent is in none of them."""
    client = await make_client()
    mark = f"mark{time.monotonic_ns()}"
    token = await issue(http, client)
    await http.get(f"/{mark}")
    await http.post(f"/token/{mark}", data={"grant_type": mark})
    await http.post("/token", data={"grant_type": mark}, auth=client.auth)
    await http.post("/introspect", data={"token": token, mark: mark}, auth=client.auth)
    text = (await http.get("/metrics")).text
    for secret in (mark, client.id, client.secret, token):
        assert secret not in text
    assert 'watchword_http_requests_total{route="other",status="404"}' in text


async def test_a_request_that_comes_while_a_pod_starts_waits_for_it(app: App) -> None:
    readiness = Readiness()
    async with pod(replace(app.services, readiness=readiness)) as http:
        asked = asyncio.create_task(http.get("/.well-known/jwks.json"))
        assert (await http.get("/readyz")).json() == {"status": "starting"}
        assert not asked.done()
        readiness.start()
        assert (await asked).status_code == 200


@pytest.mark.parametrize("end", ["hang", "drain"])
async def test_a_start_that_hangs_keeps_no_request_waiting(app: App, end: str) -> None:
    services = replace(app.services, readiness=Readiness())
    async with pod(services) as http:
        asked = asyncio.create_task(http.get("/.well-known/jwks.json"))
        await http.get("/readyz")
        (services.readiness.hang if end == "hang" else services.readiness.stop)()
        async with asyncio.timeout(1):
            await asked
