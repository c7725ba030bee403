"""What the metrics show of a running pod: pools, keys, limits, and what was refused."""

import asyncio
import math
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client import Histogram

from service.app import App
from service.background import measure_lag
from service.keys.certificate import read_expiry
from service.settings import Settings
from tests.conftest import MakeApp, MakeClient, MakeSettings, http_to, register, until


def value(app: App, name: str, **labels: str) -> float:
    """A sample as Prometheus would read it; it has to be there."""
    found = app.services.metrics.registry.get_sample_value(f"watchword_{name}", labels)
    assert found is not None, (name, labels)
    return found


async def test_what_an_alert_asks_for_stands_at_0_before_its_first_event(
    make_app: MakeApp, make_settings: MakeSettings
) -> None:
    app = await make_app(await make_settings())
    async with http_to(app):
        for name, labels in (
            ("http_requests_total", {"route": "/token", "status": "500"}),
            ("http_requests_total", {"route": "/api/login", "status": "503"}),
            ("refusals_total", {"route": "/token", "error": "invalid_client"}),
            ("refreshes_total", {"verdict": "impossible"}),
            ("refreshes_total", {"verdict": "followed"}),
            ("login_alarms_total", {"counter": "all"}),
            ("feed_repairs_total", {"cause": "tampered"}),
            ("rate_limited_total", {"limit": "client_address"}),
            ("loss_unknown", {}),
        ):
            assert value(app, name, **labels) == 0
        assert value(app, "build_info", version="0.0.0-test") == value(app, "ready") == 1


@pytest.mark.parametrize(
    ("form", "grant", "error"),
    [
        ({"grant_type": "client_credentials", "scope": "x"}, "client_credentials", "invalid_scope"),
        ({"grant_type": "refresh_token"}, "refresh_token", "unauthorized_client"),
        ({"grant_type": "password"}, "other", "unsupported_grant_type"),
        ({}, "other", "invalid_request"),
    ],
)
async def test_a_refused_token_is_counted_under_its_grant_and_error(
    app: App, http: httpx.AsyncClient, make_client: MakeClient, form: dict, grant: str, error: str
) -> None:
    client, labels = await make_client(), {"grant_type": grant, "error": error}
    before = value(app, "access_tokens_refused_total", **labels)
    assert (await http.post("/token", data=form, auth=client.auth)).json()["error"] == error
    assert value(app, "access_tokens_refused_total", **labels) == before + 1


async def test_a_login_that_fails_is_a_refused_token(app: App, http: httpx.AsyncClient) -> None:
    labels = {"grant_type": "login", "error": "invalid_client"}
    before = value(app, "access_tokens_refused_total", **labels)
    body = {"client_id": "nobody", "username": "a", "password": "b"}
    await http.post("/api/login", json=body, headers={"x-requested-with": "test"})
    assert value(app, "access_tokens_refused_total", **labels) == before + 1


async def test_what_is_answered_429_is_counted_by_its_limit(
    make_app: MakeApp, make_settings: MakeSettings
) -> None:
    app = await make_app(await make_settings(CLIENT_FAILURES_PER_MINUTE="1"))
    async with http_to(app) as http:
        form = {"grant_type": "client_credentials"}
        answers = [await http.post("/token", data=form, auth=("demo", "x")) for _ in "123"]
    assert [answer.status_code for answer in answers] == [401, 429, 429]
    assert value(app, "rate_limited_total", limit="client_address") == 2


async def test_connections_to_postgresql_are_told_in_use_idle_and_awaited(
    make_app: MakeApp, make_settings: MakeSettings
) -> None:
    app = await make_app(await make_settings(DATABASE_CONNECTIONS="2"))
    database = app.services.database
    assert value(app, "database_connections_max") == 2
    held = asyncio.Event()

    async def hold() -> None:
        async with database.connection() as connection:
            await connection.execute("SELECT 1")
            await held.wait()

    async with anyio.create_task_group() as tasks:
        for _ in range(2):
            tasks.start_soon(hold)
        await until(lambda: value(app, "database_connections", state="in_use") == 2)
        tasks.start_soon(hold)
        await until(lambda: value(app, "database_waiting") >= 1)
        held.set()
    await until(lambda: value(app, "database_connections", state="in_use") == 0)
    assert value(app, "database_connections", state="idle") == 2
    assert value(app, "database_waiting") == 0


async def test_keys_are_told_by_state_and_since_when_they_sign(app: App) -> None:
    for purpose in ("token", "feed"):
        labels = {"purpose": purpose}
        assert value(app, "signing_keys", state="active", **labels) == 1
        assert value(app, "signing_keys", state="pending", **labels) == 1
        since = value(app, "signing_key_activation_timestamp_seconds", **labels)
        assert time.time() - 3600 < since < time.time() + 1
    assert value(app, "signing_keys_unusable") == 0


async def test_a_killed_key_is_no_longer_counted(
    make_app: MakeApp, make_settings: MakeSettings
) -> None:
    app = await make_app(await make_settings())
    keyring = app.services.keyring
    keyring.drop([keyring.key_set("token").signer.kid])
    assert value(app, "signing_keys", purpose="token", state="active") == 0
    assert math.isnan(value(app, "signing_key_activation_timestamp_seconds", purpose="token"))


def certificate(folder: Path, expiry: datetime) -> Path:
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(expiry - timedelta(days=90))
        .not_valid_after(expiry)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return folder / "tls.pem"


async def test_a_certificate_says_when_it_expires(
    make_app: MakeApp, make_settings: MakeSettings, tmp_path: Path
) -> None:
    expiry = datetime(2027, 3, 1, 12, tzinfo=UTC)
    file = str(certificate(tmp_path, expiry))
    app = await make_app(await make_settings(TLS_CERTIFICATE=file, TLS_PRIVATE_KEY=file))
    assert value(app, "tls_certificate_expiry_timestamp_seconds") == expiry.timestamp()


async def test_without_a_certificate_none_expires(app: App, tmp_path: Path) -> None:
    name = "watchword_tls_certificate_expiry_timestamp_seconds"
    assert app.services.metrics.registry.get_sample_value(name) is None
    (tmp_path / "broken.pem").write_text("none")
    assert read_expiry(tmp_path / "broken.pem") is read_expiry(tmp_path / "absent.pem") is None


async def test_a_blocked_event_loop_is_late() -> None:
    lag = Histogram("lag", "lag", buckets=(0.1, 0.2), registry=None)
    task = asyncio.create_task(measure_lag(lag))
    await asyncio.sleep(0.4)
    time.sleep(0.35)  # noqa: ASYNC251 (what must show)
    await until(lambda: lag._sum.get() > 0.1)
    task.cancel()


async def test_a_full_pool_of_hashes_is_busy(
    make_app: MakeApp, make_settings: MakeSettings
) -> None:
    settings: Settings = await make_settings(PASSWORD_QUEUE="0", PASSWORD_HASHES="1")
    app = await make_app(settings)
    assert value(app, "password_hashes_max", state="running") == 1
    assert value(app, "password_hashes_max", state="waiting") == 0
    client = await register(
        app,
        type="public",
        first_party=True,
        refresh_delivery="body",
        grant_types=("refresh_token",),
    )
    body = {"client_id": client.id, "username": "anna", "password": "not the one in any page"}
    async with http_to(app) as http:
        headers = {"x-requested-with": "test"}
        answers = await asyncio.gather(
            *(http.post("/api/login", json=body, headers=headers) for _ in range(6))
        )
    busy = sum(answer.status_code == 503 for answer in answers)
    assert busy >= 1
    assert value(app, "logins_total", result="busy") == busy
