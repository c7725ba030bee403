"""A database restored by pg_restore is a new life, wherever it is restored to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.embedded.postgres import DATABASE, EmbeddedPostgres
from tests.faults.failover_support import Pod, Site, open_site, sql, until, verify_feed, watched

pytestmark = pytest.mark.slow

LIFE = "SELECT id FROM database_life"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with open_site(tmp_path) as opened:
        yield opened


def test_a_restored_dump_is_a_new_life_wherever_it_is_restored(site: Site) -> None:
    server, dump = site.start_server(), site.folder / "dump"
    site.run(server.url(), "migrate")
    client = site.make_client(server.url(), "orders")
    lives = [restore_in_place(site, server, client, dump)]
    lives.append(restore_beside(site, server, client, dump))
    site.redis.flushall()
    other = site.start_server()
    pod, token = start_on_a_copy(site, other, client, dump)
    until(lambda: pod.lines("database_lost_writes"))
    assert pod.introspect(client, token) == "503"
    site.run(other.url("copy"), "recover", "--sessions", "end")
    until(lambda: pod.introspect(client, token) == "inactive")
    # Every key was killed: until the pod has read the new ones, it signs nothing.
    grant = {"grant_type": "client_credentials"}
    until(lambda: pod.post("/token", client, **grant).status_code == 200)
    assert pod.introspect(client, pod.token(client)) == "active"
    until(lambda: site.heartbeat() and len(verify_feed(site, pod)) == 4 + 1)
    lives.append(sql(other, LIFE, database="copy"))
    assert len(set(lives)) == 3


def restore_in_place(
    site: Site, server: EmbeddedPostgres, client: tuple[str, str], dump: Path
) -> object:
    """Into the same database, under a pod that runs, whose feed reaches back."""
    pod = site.start_pod(server.url())
    until(pod.is_ready)
    live, lost = pod.token(client), pod.token(client)
    until(site.heartbeat)
    server.run_client("pg_dump", ["-Fc", "-f", str(dump), DATABASE])
    old = site.heartbeat()["epoch"]
    pod.revoke(client, lost)
    until(lambda: site.heartbeat()["head"] == 1)
    with watched(lambda: pod.introspect(client, lost)) as seen:
        whole = ["--clean", "--single-transaction"]
        server.run_client("pg_restore", [*whole, "-d", DATABASE, str(dump)])
        until(lambda: pod.introspect(client, live) == "active")
        until(lambda: site.heartbeat()["epoch"] > old)
    assert "active" not in seen
    assert pod.introspect(client, lost) == "inactive"
    assert len(verify_feed(site, pod)) == 1
    pod.stop()
    return sql(server, LIFE)


def restore_beside(
    site: Site, server: EmbeddedPostgres, client: tuple[str, str], dump: Path
) -> object:
    """Into a new database of the same cluster; the feed reaches back."""
    pod = site.start_pod(server.url())
    until(pod.is_ready)
    server.run_client("pg_dump", ["-Fc", "-f", str(dump), DATABASE])
    lost = pod.token(client)
    pod.revoke(client, lost)
    until(lambda: site.heartbeat()["head"] == 2)
    pod.stop()
    pod, live = start_on_a_copy(site, server, client, dump)
    until(lambda: pod.introspect(client, live) == "active")
    assert pod.introspect(client, lost) == "inactive"
    pod.stop()
    return sql(server, LIFE, database="copy")


def start_on_a_copy(
    site: Site, server: EmbeddedPostgres, client: tuple[str, str], dump: Path
) -> tuple[Pod, str]:
    """A pod over the dump, restored into a database of its own; a token that it signed."""
    server.create_database("copy")
    server.run_client("pg_restore", ["-d", "copy", str(dump)])
    pod = site.start_pod(server.url("copy"))
    until(pod.is_ready)
    return pod, pod.token(client)
