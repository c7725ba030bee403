"""Behind PgBouncer in transaction mode: nothing of ours relies on a connection's state."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import pytest

from service.embedded.postgres import EmbeddedPostgres
from tests.conftest import MakeApp, MakeSettings, http_to, register, until

pytestmark = pytest.mark.slow

PGBOUNCER = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")


@pytest.mark.skipif(PGBOUNCER is None, reason="pgbouncer is not installed")
async def test_a_pod_works_behind_pgbouncer_in_transaction_mode(
    make_settings: MakeSettings, make_app: MakeApp, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    with bouncing(postgres, tmp_path) as port:
        direct = await make_settings()
        database = urlsplit(direct.database_url.reveal()).path.removeprefix("/")
        through = f"postgresql://watchword:{postgres.password}@127.0.0.1:{port}/{database}"
        settings = await make_settings(DATABASE_URL=through, DATABASE_STATEMENT_CACHE="0")
        app = await make_app(settings)
        client = await register(app)
        async with http_to(app) as http:

            async def live_then_dead() -> None:
                form = {"grant_type": "client_credentials"}
                token = (await http.post("/token", data=form, auth=client.auth)).json()
                ask = {"token": token["access_token"]}
                first = await http.post("/introspect", data=ask, auth=client.auth)
                await http.post("/revoke", data=ask, auth=client.auth)
                second = await http.post("/introspect", data=ask, auth=client.auth)
                assert (first.json()["active"], second.json()) == (True, {"active": False})

            async with anyio.create_task_group() as tasks:
                for _ in range(50):
                    tasks.start_soon(live_then_dead)
        await until(lambda: (head := app.services.keeper.head()) and head.number > 0)


@contextmanager
def bouncing(postgres: EmbeddedPostgres, folder: Path) -> Iterator[int]:
    """A PgBouncer with few server connections, so that clients really share them."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    folder.chmod(0o777)  # pgbouncer does not run as root
    users = folder / "users.txt"
    users.write_text(f'"watchword" "{postgres.password}"\n')
    config = folder / "pgbouncer.ini"
    config.write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port}\n[pgbouncer]\n"
        f"listen_addr=127.0.0.1\nlisten_port={port}\nauth_type=scram-sha-256\n"
        f"auth_file={users}\npool_mode=transaction\ndefault_pool_size=3\nunix_socket_dir=\n"
    )
    command = [str(PGBOUNCER), "-u", "nobody", str(config)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield port
    finally:
        process.terminate()
        process.wait()
