"""The oldest servers that are supported, as Debian has them: PostgreSQL 15 and Redis 7."""

import sys
from pathlib import Path

import anyio
import pytest

from migrations.runner import migrate
from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.settings import load_settings
from tests.conftest import ISSUER, MakeApp, http_to, register, until

pytestmark = pytest.mark.slow

POSTGRES = Path("/usr/lib/postgresql/15/bin")
REDIS = Path("/usr/bin/redis-server")


@pytest.mark.skipif(
    not (POSTGRES.is_dir() and REDIS.exists()), reason="tests/install-servers.sh installs them"
)
async def test_a_token_lives_and_dies_on_debians_servers(
    make_app: MakeApp, keys_dir: Path, tmp_path: Path
) -> None:
    with (
        EmbeddedPostgres(tmp_path / "postgres", bin_dir=POSTGRES) as postgres,
        EmbeddedRedis(tmp_path / "redis", binary=REDIS) as redis_server,
    ):
        await migrate(postgres.url(), report=lambda _: None)
        settings = load_settings(
            {
                "WATCHWORD_ISSUER": ISSUER,
                "WATCHWORD_DATABASE_URL": postgres.url(),
                "WATCHWORD_REDIS_URL": redis_server.url,
                "WATCHWORD_KEYS_DIR": str(keys_dir),
            }
        )
        app = await make_app(settings)
        client = await register(app)
        async with http_to(app) as http:
            form = {"grant_type": "client_credentials"}
            issued = await http.post("/token", data=form, auth=client.auth)
            ask = {"token": issued.json()["access_token"]}
            first = await http.post("/introspect", data=ask, auth=client.auth)
            assert first.json()["active"] is True
            assert (await http.post("/revoke", data=ask, auth=client.auth)).status_code == 200
            second = await http.post("/introspect", data=ask, auth=client.auth)
            assert second.json() == {"active": False}
        await until(lambda: (head := app.services.keeper.head()) and head.number == 1)
        command = [sys.executable, "-m", "service", "doctor"]
        environment = {
            "WATCHWORD_ISSUER": ISSUER,
            "WATCHWORD_DATABASE_URL": postgres.url(),
            "WATCHWORD_REDIS_URL": redis_server.url,
            "WATCHWORD_KEYS_DIR": str(keys_dir),
        }
        doctor = await anyio.run_process(command, env=environment, check=False)
        assert doctor.returncode == 0, doctor.stdout
