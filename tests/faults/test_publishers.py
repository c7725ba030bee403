"""Many pods at once: one feed, one life, one set of keys, and each fact once, whoever dies."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.faults.failover_support import Pod, watched
from tests.faults.processes import (
    ROOT,
    Deployment,
    free_url,
    open_deployment,
    steady_load,
    subjects,
    tell,
    until,
)

pytestmark = pytest.mark.slow

FACTS = 10_000
CONNECTIONS = 8
AT_ONCE = 5


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Deployment]:
    with open_deployment(tmp_path) as opened:
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


async def write_facts(url: str, ids: list[str]) -> None:
    """Commit facts in small transactions over several connections."""
    pieces = [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]

    async def write() -> None:
        connection = await asyncpg.connect(url)
        while pieces:
            await connection.execute(
                """
                INSERT INTO revocations (kind, subject, expires_at, reason, actor)
                SELECT 'jti', id, clock_timestamp() + '10 minutes'::interval, 'test', 'test'
                FROM unnest($1::text[]) AS id
                """,
                pieces.pop(),
            )
            await asyncio.sleep(0.01)
        await connection.close()

    await asyncio.gather(*(write() for _ in range(CONNECTIONS)))


def test_ten_thousand_facts_by_two_pods_one_of_which_dies_are_each_there_once(
    site: Deployment,
) -> None:
    site.run(site.database_url, "migrate")
    pods = site.start_pods(2)
    client = site.make_client(site.database_url, "orders")
    ids = [str(uuid4()) for _ in range(FACTS)]
    thread = threading.Thread(target=lambda: asyncio.run(write_facts(site.database_url, ids)))
    with watched(site.heartbeat) as heartbeats, steady_load(pods[:1], client, rate=40) as load:
        began = time.monotonic()
        thread.start()
        until(lambda: numbered(site) > FACTS // 4)
        pods[1].process.kill()
        until(lambda: numbered(site) > FACTS // 2)
        site.start_pod(url=free_url())
        thread.join()
        written = time.monotonic()
        until(lambda: not unnumbered(site))
        done = time.monotonic()
    tell("while 10,000 facts are published", load.since(began))
    until(lambda: not unnumbered(site))
    check = site.checked()
    assert sorted(subjects(check)) == sorted([*ids, *load.revoked])
    assert check["head"] == site.query("SELECT count(DISTINCT number) FROM revocations")
    gaps = [later["time"] - earlier["time"] for earlier, later in pairwise(heartbeats)]
    sys.stdout.write(
        f"{check['head']} entries; written in {written - began:.1f} s, all numbered "
        f"{done - written:.2f} s later; heartbeats at most {max(gaps)} ms apart\n"
    )
    assert max(gaps) < 10_000


def numbered(site: Deployment) -> int:
    return site.query("SELECT count(*) FROM revocations WHERE number IS NOT NULL")


def unnumbered(site: Deployment) -> int:
    return site.query("SELECT count(*) FROM revocations WHERE number IS NULL")


def test_five_pods_and_five_migrations_begin_on_an_empty_database_at_once(
    site: Deployment,
) -> None:
    migrations = [
        subprocess.Popen(
            [sys.executable, "-m", "service", "migrate"],
            cwd=ROOT,
            env=site.environment(site.database_url),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(5)
    ]
    pods = [site.start_pod(url=url) for url in (site.issuer, *(free_url() for _ in range(4)))]
    for migration in migrations:
        _, said = migration.communicate(timeout=60)
        assert migration.returncode == 0, said
    until(lambda: all(pod.is_ready() for pod in pods), seconds=60)
    for table in ("feed", "database_life", "database_history"):
        assert site.query(f"SELECT count(*) FROM {table}") == 1  # noqa: S608 (a word of ours)
    events = site.query("SELECT count(*) FROM audit_events WHERE event = 'database_life_began'")
    assert events == 1
    states = site.query("SELECT array_agg(purpose || ' ' || state ORDER BY 1) FROM signing_keys")
    assert sorted(states) == ["feed active", "feed pending", "token active", "token pending"]
    for document in ("jwks.json", "watchword-feed-keys.json"):
        bodies = {pod.http.get(f"/.well-known/{document}").content for pod in pods}
        assert len(bodies) == 1
    assert site.query("SELECT count(*) FROM instances") == 5
    assert site.checked()["head"] == 0
    tokens_are_good_everywhere(site, pods)


def tokens_are_good_everywhere(site: Deployment, pods: list[Pod]) -> None:
    client = site.make_client(site.database_url, "orders")
    for token in [pod.token(client) for pod in pods]:
        assert {pod.introspect(client, token) for pod in pods} == {"active"}
