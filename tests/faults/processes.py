"""Deployments of real processes, a steady load on them, and the documented check of their feed."""

import asyncio
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt

from service.embedded.redis import EmbeddedRedis
from service.keys.master_keys import create_master_keys
from tests.faults.failover_support import Pod, Site, free_port, sql

VERIFY = Path(__file__).parents[2] / "docs/reference/verify_feed.py"
CLIENT = "orders"

# What each kind of request may be answered when nothing is wrong; failures may be limited.
EXPECTED = {"token": {200}, "introspect": {200}, "revoke": {200}, "failure": {401, 429}}


class Deployment(Site):
    """A site with one PostgreSQL, whose issuer is the address of the first of its pods."""

    issuer = ""

    def environment(self, database_url: str) -> dict[str, str]:
        mine = {"WATCHWORD_ISSUER": self.issuer, "WATCHWORD_LOG_LEVEL": "info"}
        return {**super().environment(database_url), **mine}

    @property
    def database_url(self) -> str:
        return self.servers[0].url()

    def start_pods(self, count: int) -> list[Pod]:
        """Pods, not waited for; the first one listens at the issuer's address too."""
        return [self.start_pod(self.database_url) for _ in range(count)]

    def make(self) -> tuple[str, str]:
        """A new client's id and secret."""
        return self.make_client(self.database_url, CLIENT)

    def query(self, text: str, *args: object) -> Any:
        """The first value of a statement's answer."""
        return sql(self.servers[0], text, *args)

    def check(self) -> dict[str, Any] | str:
        """What the documented check prints, or the fault that it ends with."""
        result = subprocess.run(
            [sys.executable, VERIFY, self.issuer, self.redis_server.url],
            env={},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return json.loads(result.stdout) if result.returncode == 0 else result.stderr.strip()

    def checked(self, seconds: float = 20.0) -> dict[str, Any]:
        """What the check prints once it succeeds over PostgreSQL's head."""
        deadline = time.monotonic() + seconds
        while True:
            found, head = self.check(), self.query("SELECT epoch || ' ' || head FROM feed")
            if isinstance(found, dict) and f"{found['epoch']} {found['head']}" == head:
                return found
            assert time.monotonic() < deadline, found


@contextmanager
def open_deployment(folder: Path) -> Iterator[Deployment]:
    """PostgreSQL with an empty database, Redis and master keys."""
    create_master_keys(folder / "keys")
    with EmbeddedRedis(folder / "redis") as redis_server:
        site = Deployment(folder, redis_server, open_redis(redis_server))
        site.issuer = f"http://127.0.0.1:{free_port()}"
        try:
            site.start_server()
            yield site
        finally:
            for pod in site.pods:
                pod.stop()
            for server in site.servers:
                server.kill()
            site.redis.close()
