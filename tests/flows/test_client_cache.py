"""Clients as a pod knows them: fresh for 5 s, for 10 minutes where PostgreSQL does not answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace

import pytest

from service.flows import client_cache
from service.flows.client_cache import ClientCache
from service.oauth.client import Client
from service.sql.connection import DatabaseUnavailable

ROW = {
    "name": "A client",
    "type": "confidential",
    "token_endpoint_auth_method": "client_secret_basic",
    "grant_types": ["client_credentials"],
    "redirect_uris": [],
    "post_logout_redirect_uris": [],
    "require_pkce": True,
    "consent": "ask",
    "audiences": ["https://orders.example"],
    "scopes": ["orders:read"],
    "default_scopes": [],
    "serves": [],
    "access_token_ttl": timedelta(seconds=300),
    "session_idle_ttl": timedelta(days=7),
    "session_absolute_ttl": timedelta(days=30),
    "grace": timedelta(seconds=30),
    "shadow_until": None,
    "first_party": False,
    "refresh_delivery": "body",
    "allowed_origins": [],
    "signing_alg": "RS256",
    "administrator": False,
    "enabled": True,
    "secret_digests": [],
}


class Rows:
    """A database of clients' epochs by id, that counts its readings and may answer late or never.

    A fake, since the cache's clock can't be aged by an UPDATE, nor a server be caught mid-answer.
    """

    def __init__(self) -> None:
        self.epochs: dict[str, int] = {"a": 0, "b": 0}
        self.readings: list[str] = []
        self.away = False
        self.answers = asyncio.Event()
        self.answers.set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Rows"]:
        if self.away:
            raise DatabaseUnavailable("away")
        yield self

    async def fetchrow(self, _query: str, client_id: str) -> dict | None:
        self.readings.append(client_id)
        epoch = self.epochs.get(client_id)
        await self.answers.wait()
        return None if epoch is None else {**ROW, "id": client_id, "epoch": epoch}


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The cache's clock; the event loop keeps its own."""
    clock = Clock()
    monkeypatch.setattr(client_cache, "time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
async def rows() -> Rows:
    return Rows()


@pytest.fixture
def clients(rows: Rows, clock: Clock) -> ClientCache:
    return ClientCache(rows)  # pyright: ignore[reportArgumentType]


async def epoch(clients: ClientCache, client_id: str = "a") -> int | None:
    client = await clients.find(client_id)
    assert client is None or (type(client), client.id) == (Client, client_id)
    return client and client.epoch


async def test_a_client_is_read_once_in_five_seconds(
    clients: ClientCache, rows: Rows, clock: Clock
) -> None:
    assert await epoch(clients) == 0
    rows.epochs["a"] = 1
    clock.seconds += 4.9
    assert await epoch(clients) == 0
    assert rows.readings == ["a"]
    clock.seconds += 0.2
    assert await epoch(clients) == 1
    assert rows.readings == ["a", "a"]


async def test_an_answer_is_as_old_as_its_question(
    clients: ClientCache, rows: Rows, clock: Clock
) -> None:
    """Five seconds from when the row was read, not from when it arrived."""
    rows.answers.clear()
    reading = asyncio.create_task(clients.find("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    clock.seconds += 4
    rows.answers.set()
    await reading
    clock.seconds += 2
    await clients.find("a")
    assert rows.readings == ["a", "a"]


async def test_all_who_ask_at_once_share_one_reading(clients: ClientCache, rows: Rows) -> None:
    rows.answers.clear()
    asked = [asyncio.create_task(clients.find(name)) for name in ("a", "b", "nobody") * 50]
    await asyncio.sleep(0.01)
    asked[0].cancel()  # whoever leaves takes nothing from the others
    await asyncio.sleep(0)
    rows.answers.set()
    found = await asyncio.gather(*asked[1:])
    assert sorted(rows.readings) == ["a", "b", "nobody"]
    assert {client and client.id for client in found} == {"a", "b", None}
    assert clients._under_way == {}


async def test_a_failed_reading_is_shared_and_tried_anew(clients: ClientCache, rows: Rows) -> None:
    rows.away = True
    answers = await asyncio.gather(*(clients.find("a") for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [DatabaseUnavailable] * 5
    rows.away = False
    assert await epoch(clients) == 0


async def test_who_is_unknown_is_remembered_as_long(
    clients: ClientCache, rows: Rows, clock: Clock
) -> None:
    """TOK-10: so that time does not tell; and a new client is known in five seconds."""
    assert await clients.find("c") is None
    rows.epochs["c"] = 0
    clock.seconds += 4.9
    assert await clients.find("c") is None
    assert rows.readings == ["c"]
    clock.seconds += 0.2
    assert await epoch(clients, "c") == 0
    del rows.epochs["c"]
    clock.seconds += 5.1
    assert await clients.find("c") is None
    assert (list(clients._clients), list(clients._unknown)) == ([], ["c"])


async def test_strangers_do_not_push_clients_out(
    clients: ClientCache, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-100: both memories are bounded, the oldest goes first."""
    monkeypatch.setattr(client_cache, "_MAX_UNKNOWN", 10)
    monkeypatch.setattr(client_cache, "_MAX_CLIENTS", 2)
    await clients.find("a")
    for number in range(50):
        await clients.find(f"guess-{number}")
    assert list(clients._unknown) == [f"guess-{number}" for number in range(40, 50)]
    rows.readings.clear()
    await clients.find("a")
    assert rows.readings == []
    rows.epochs |= {"c": 0}
    await clients.find("b")
    await clients.find("c")
    assert list(clients._clients) == ["b", "c"]


async def test_ten_minutes_without_postgresql(
    clients: ClientCache, rows: Rows, clock: Clock
) -> None:
    """Those seen lately go on, known and unknown; nobody else is let in."""
    await clients.find("a")
    await clients.find("nobody")
    rows.away = True
    clock.seconds += 599
    assert await epoch(clients) == 0
    assert await clients.find("nobody") is None
    with pytest.raises(DatabaseUnavailable):
        await clients.find("b")
    clock.seconds += 2
    for name in ("a", "nobody"):
        with pytest.raises(DatabaseUnavailable):
            await clients.find(name)
    rows.away, rows.epochs["a"] = False, 1
    assert await epoch(clients) == 1


async def test_nobody_waits_long_where_an_older_answer_would_do(
    clients: ClientCache, rows: Rows, clock: Clock
) -> None:
    """And the late answer still counts for those who come after it."""
    await clients.find("a")
    clock.seconds += 6
    rows.epochs["a"] = 1
    rows.answers.clear()
    async with asyncio.timeout(5):
        assert await epoch(clients) == 0
    rows.answers.set()
    await asyncio.sleep(0.01)
    assert await epoch(clients) == 1
    assert rows.readings == ["a", "a"]


async def test_a_dropped_client_is_read_at_once(clients: ClientCache, rows: Rows) -> None:
    """DIST-4: a client fact of the feed drops the row."""
    await clients.find("a")
    await clients.find("b")
    await clients.find("nobody")
    rows.epochs |= {"a": 1, "b": 1, "nobody": 0}
    clients.drop("a")
    clients.drop("nobody")
    clients.drop("never seen")
    assert await epoch(clients, "a") == 1
    assert await epoch(clients, "b") == 0
    assert await epoch(clients, "nobody") == 0


async def test_a_dropped_client_is_not_used_while_postgresql_is_away(
    clients: ClientCache, rows: Rows
) -> None:
    await clients.find("a")
    clients.drop("a")
    rows.away = True
    with pytest.raises(DatabaseUnavailable):
        await clients.find("a")


async def test_a_row_read_before_a_drop_is_not_kept_after_it(
    clients: ClientCache, rows: Rows
) -> None:
    """Else a revoked client would live on for as long as the cache does."""
    rows.answers.clear()
    early = asyncio.create_task(epoch(clients))
    await asyncio.sleep(0.01)
    rows.epochs["a"] = 1
    clients.drop("a")
    late = asyncio.create_task(epoch(clients))
    await asyncio.sleep(0.01)
    rows.answers.set()
    assert (await early, await late) == (0, 1)
    assert await epoch(clients) == 1
    assert rows.readings == ["a", "a"]
    assert clients._under_way == {}
