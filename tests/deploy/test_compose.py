"""deploy/compose.yaml without an engine: its settings and its files, with real servers."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml
from redis import Redis

from service.embedded.postgres import EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.keys.master_keys import create_master_keys
from service.settings import load_settings
from tests.conftest import AUDIENCE
from tests.deploy.image import ROOT
from tests.faults.failover_support import free_port
from tests.faults.processes import until

DEPLOY = ROOT / "deploy"
SERVICES: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
SUPERUSER = "postgres"


def test_its_settings_are_settings() -> None:
    for name in ("watchword", "migrate"):
        load_settings(SERVICES[name]["environment"])


def test_its_redis_users_have_the_rights_of_the_delivered_ones() -> None:
    def users(file: str) -> list[str]:
        lines = (DEPLOY / file).read_text().splitlines()
        return [re.sub(r">\S+", ">", line) for line in lines if line.startswith("user ")]

    assert users("compose/users.acl") == users("redis-users.acl")


def test_files_that_it_mounts_are_there() -> None:
    mounts = [each for it in SERVICES.values() for each in it.get("volumes", [])]
    files = [each.split(":")[0] for each in mounts if each.startswith("./")]
    assert len(files) == 3
    assert all((DEPLOY / each).is_file() for each in files)


@pytest.fixture
def roles(tmp_path: Path) -> Any:
    """PostgreSQL as its image has it, whose superuser is `postgres`, with the roles made."""
    with EmbeddedPostgres(tmp_path / "postgres", settings={"fsync": "off"}) as server:
        address = ["-X", "-q", "-v", "ON_ERROR_STOP=1"]
        make = f"CREATE ROLE {SUPERUSER} SUPERUSER LOGIN PASSWORD '{server.password}'"
        server.run_client("psql", [*address, "-d", "postgres"], text=make)
        environment = {
            **{k: str(v) for k, v in SERVICES["postgres"]["environment"].items()},
            "PATH": f"{server.bin_dir}:{os.environ['PATH']}",
            "PGHOST": "127.0.0.1",
            "PGPORT": str(server.port),
            "PGDATABASE": "postgres",
            "PGPASSWORD": server.password,
            "ROLES": str(DEPLOY / "postgresql-roles.sql"),
        }
        # The names that the embedded server uses itself.
        away = [f"ALTER {it} watchword RENAME TO embedded;\n" for it in ("DATABASE", "ROLE")]
        psql = ["psql", "--username", SUPERUSER, *address]
        subprocess.run(psql, input="".join(away), text=True, check=True, env=environment)
        subprocess.run([DEPLOY / "compose/roles.sh"], check=True, env=environment)
        yield server


@pytest.mark.slow
def test_a_pod_runs_by_its_roles_users_and_settings(
    roles: EmbeddedPostgres, redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    """What compose would start, one after the other, on this machine's loopback."""
    create_master_keys(tmp_path / "keys")
    with Redis.from_url(redis_server.url) as redis:
        for line in (DEPLOY / "compose/users.acl").read_text().splitlines():
            _, name, *rules = line.split()
            if name != "default":
                redis.execute_command("ACL", "SETUSER", name, *rules)
    port = free_port()

    def environment(service: str) -> dict[str, str]:
        places = {
            "@postgres/": f"@127.0.0.1:{roles.port}/",
            "@redis:6379/": f"@127.0.0.1:{urlsplit(redis_server.url).port}/",
            "localhost:8000": f"localhost:{port}",
            "172.30.77.0/24": "127.0.0.0/8",  # from where requests come
        }
        given = {**SERVICES[service]["environment"], "WATCHWORD_LISTEN": f"127.0.0.1:{port}"}
        for old, new in places.items():
            given = {name: value.replace(old, new) for name, value in given.items()}
        return {**given, "WATCHWORD_KEYS_DIR": str(tmp_path / "keys"), "WATCHWORD_DRAIN": "0s"}

    def command(*words: str, service: str = "watchword") -> str:
        whole = [sys.executable, "-m", "service", *words]
        return subprocess.check_output(whole, cwd=ROOT, env=environment(service), text=True)

    command("migrate", service="migrate")
    made = command("clients", "create", "orders", "--audience", AUDIENCE, "--scope", "orders:read")
    (secret,) = re.findall(r"wws_\S+", made)
    serving = subprocess.Popen(
        [sys.executable, "-m", "service", "serve"], cwd=ROOT, env=environment("watchword")
    )
    try:
        with httpx.Client(base_url=f"http://localhost:{port}") as http:
            until(lambda: is_ready(http))
            form = {"grant_type": "client_credentials"}
            assert http.post("/token", data=form, auth=("orders", secret)).status_code == 200
            assert http.get("/readyz").json() == {"status": "ready", "degraded": []}
    finally:
        serving.terminate()
        assert serving.wait(30) == 0


def is_ready(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
