"""Servers that die and pods over them, all of them real processes."""

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import jwt
from redis import Redis

from service.embedded.postgres import DATABASE, USER, EmbeddedPostgres
from service.embedded.redis import EmbeddedRedis
from service.keys.master_keys import create_master_keys
from service.oauth.jws import encode_base64url
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import read_state
from tests.conftest import AUDIENCE, ISSUER

UNSYNCED = {"fsync": "off", "full_page_writes": "off"}
HEARTBEAT = "{ww}:feed:heartbeat"


def until(statement: Callable[[], object], seconds: float = 30.0) -> float:
    """Wait for a statement to come true, looking again and again; the seconds that it took."""
    began = time.monotonic()
    while not statement():
        assert time.monotonic() - began < seconds, "it did not come true in time"
        time.sleep(0.01)
    return time.monotonic() - began


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def sql(server: EmbeddedPostgres, query: str, *args: object, database: str = DATABASE) -> Any:
    """The first value that a statement gives; several statements without arguments are fine."""

    async def run() -> Any:
        connection = await asyncpg.connect(server.url(database))
        try:
            if args or query.lstrip().upper().startswith(("SELECT", "WITH")):
                return await connection.fetchval(query, *args)
            return await connection.execute(query)
        finally:
            await connection.close()

    return asyncio.run(run())


@dataclass(slots=True)
class Pod:
    """`watchword serve` as a child process, its log in a file."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.url, timeout=10)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        with suppress(httpx.TransportError):
            return self.http.get("/readyz").status_code == 200
        return False

    def post(self, path: str, client: tuple[str, str], **form: str) -> httpx.Response:
        return self.http.post(path, data=form, auth=client)

    def token(self, client: tuple[str, str]) -> str:
        answer = self.post("/token", client, grant_type="client_credentials")
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    def revoke(self, client: tuple[str, str], token: str) -> None:
        assert self.post("/revoke", client, token=token).status_code == 200

    def introspect(self, client: tuple[str, str], token: str) -> str:
        """`active`, `inactive` or the status of a refusal."""
        answer = self.post("/introspect", client, token=token)
        if answer.status_code != 200:
            return str(answer.status_code)
        return "active" if answer.json()["active"] else "inactive"

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log about an event."""
        lines = [json.loads(line) for line in self.log.read_bytes().splitlines()]
        return [line for line in lines if line["event"] == event]

    def failures(self) -> list[dict[str, Any]]:
        """What it logged that must never happen, whatever fails beside it."""
        return [
            line
            for event in ("failure", "feed_tick_failed", "feed_publish_failed")
            for line in [*self.lines(event), *self.lines("background_work_failed")]
        ]

    def stop(self) -> None:
        self.http.close()
        self.process.kill()
        self.process.wait()


@dataclass(slots=True)
class Site:
    """A Redis, master keys, and any number of servers and pods; all end with it."""

    folder: Path
    redis_server: EmbeddedRedis
    redis: Redis
    servers: list[EmbeddedPostgres] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)

    def start_server(self, port: int | None = None) -> EmbeddedPostgres:
        name = f"postgres-{len(self.servers)}"
        server = EmbeddedPostgres(self.folder / name, port=port, settings=UNSYNCED)
        server.start()
        self.servers.append(server)
        return server

    def start_standby(self, primary: EmbeddedPostgres, port: int | None) -> EmbeddedPostgres:
        name = f"postgres-{len(self.servers)}"
        self.servers.append(primary.standby(self.folder / name, port=port))
        return self.servers[-1]

    def environment(self, database_url: str) -> dict[str, str]:
        settings = {
            "ISSUER": ISSUER,
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis_server.url,
            "KEYS_DIR": str(self.folder / "keys"),
            "ALLOWED_HOSTS": "*",
            "DRAIN": "0s",
        }
        return {"PATH": "", **{f"WATCHWORD_{name}": value for name, value in settings.items()}}

    def run(self, database_url: str, *command: str) -> str:
        """What `watchword` prints; it has to succeed."""
        result = subprocess.run(
            [sys.executable, "-m", "service", *command],
            env=self.environment(database_url),
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    def start_pod(self, database_url: str) -> Pod:
        port, log = free_port(), self.folder / f"pod-{len(self.pods)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "service", "serve"],
                env={**self.environment(database_url), "WATCHWORD_LISTEN": f"127.0.0.1:{port}"},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        url = f"http://127.0.0.1:{port}"
        self.pods.append(Pod(process, url, log))
        return self.pods[-1]

    def make_client(self, database_url: str, name: str) -> tuple[str, str]:
        """A new client's id and secret."""
        options = ["--audience", AUDIENCE, "--scope", "orders:read"]
        printed = self.run(database_url, "clients", "create", name, *options)
        return name, printed.split()[-1]

    def heartbeat(self) -> dict[str, Any]:
        """The claims of the heartbeat, unproven; none without one."""
        text = self.redis.get(HEARTBEAT)
        return jwt.decode(text, options={"verify_signature": False}) if text else {}


@contextmanager
def open_site(folder: Path) -> Iterator[Site]:
    """A site with nothing but Redis and master keys."""
    create_master_keys(folder / "keys")
    with EmbeddedRedis(folder / "redis") as redis_server:
        site = Site(folder, redis_server, Redis.from_url(redis_server.url, decode_responses=True))
        try:
            yield site
        finally:
            for pod in site.pods:
                pod.stop()
            for server in site.servers:
                server.kill()
            site.redis.close()


def address_of_all(password: str, ports: list[int]) -> str:
    """One address of several servers, of which the driver finds the primary."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"postgresql://{USER}:{password}@{hosts}/{DATABASE}?target_session_attrs=read-write"


def is_away(database_url: str) -> bool:
    """Whether a pod takes that database for one that is away, as it has to take a standby."""

    async def run() -> bool:
        database = Database(database_url, connections=2, statement_cache=0)
        try:
            async with database.probe() as connection:
                await read_state(connection)
        except DatabaseUnavailable:
            return database.away
        finally:
            await database.close()
        return False

    return asyncio.run(run())


def catch_up(primary: EmbeddedPostgres) -> None:
    """Wait until the standby has replayed all that the primary wrote."""
    done = """
        SELECT count(*) FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn()
    """
    until(lambda: sql(primary, done) == 1)


def cut(standby: EmbeddedPostgres) -> None:
    """Let the standby receive nothing from here on; what its primary commits now, it never has."""
    sql(standby, "ALTER SYSTEM SET primary_conninfo = ''")
    sql(standby, "SELECT pg_reload_conf()")
    until(lambda: sql(standby, "SELECT count(*) FROM pg_stat_wal_receiver") == 0)


def verify_feed(site: Site, pod: Pod) -> list[dict[str, Any]]:
    """All facts of the feed, once signatures, numbers and chain are proven from floor to head."""
    document = pod.http.get("/.well-known/watchword-feed-keys.json").json()
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(document).keys}

    def prove(text: str, typ: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(text)
        assert header["typ"] == typ
        return jwt.decode(text, keys[header["kid"]], algorithms=["RS256"], issuer=ISSUER)

    heartbeat = prove(str(site.redis.get(HEARTBEAT)), "revocation-heartbeat+jwt")
    rows = site.redis.xrange(f"{{ww}}:feed:{heartbeat['epoch']}:entries")
    rows = [row for row in rows if int(row[0].split("-")[0]) <= heartbeat["head"]]
    facts, digest = [], _digest(heartbeat["epoch"]) if heartbeat["floor"] == 1 else None
    for number, (id_, fields) in enumerate(rows, heartbeat["floor"]):
        entry = prove(fields["jws"], "revocation-feed+jwt")
        assert (id_, entry["n"], entry["epoch"]) == (f"{number}-0", number, heartbeat["epoch"])
        assert digest in {None, entry["prev"]}
        digest = _digest(fields["jws"])
        facts += entry["facts"]
    assert len(rows) == heartbeat["head"] - heartbeat["floor"] + 1
    assert not rows or digest == heartbeat["digest"]
    return facts


def _digest(text: str) -> str:
    return encode_base64url(sha256(text.encode()).digest())


@contextmanager
def watched(look: Callable[[], object]) -> Iterator[list[Any]]:
    """All that `look` sees meanwhile, again and again, without what it saw just before."""
    seen: list[Any] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            with suppress(httpx.TransportError):
                value = look()
                if not seen or seen[-1] != value:
                    seen.append(value)
            time.sleep(0.005)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def orders(heartbeats: list[Mapping[str, Any]]) -> list[tuple[str, int, int]]:
    """What of heartbeats may only rise."""
    return [(it["epoch"], it["head"], it["time"]) for it in heartbeats if it]
