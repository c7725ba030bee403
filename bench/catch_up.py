"""python -m bench catch-up [ENTRIES]: a verifier that starts beside a long stream."""

import asyncio
import time
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import asyncpg
from redis.asyncio import Redis
from watchword_verifier import Verifier
from watchword_verifier._jws import parse_compact, parse_payload

from bench.servers import AUDIENCE, Pod
from bench.table import print_row, progress
from service.app import open_database
from service.flows.load_keys import load_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.keys.sign import sign
from service.oauth.feed import ENTRY_TYP, Head, entry_claims, next_head
from service.oauth.revocation import Fact, from_seconds
from service.oauth.signing_key import FEED
from service.settings import load_settings

_PATIENCE_SECONDS = 120


def measure_catch_up(pod: Pod, entries: int = 100_000) -> None:
    """Seconds until a new verifier is ready, by Redis and over HTTP."""
    asyncio.run(_measure(pod, entries))


async def _measure(pod: Pod, entries: int) -> None:
    jwses = await _make_entries(pod, entries)
    began = time.process_time()
    for jws in jwses:
        sha256(jws.encode()).digest()
        parse_payload(parse_compact(jws, max_length=1 << 16).payload)
    raw = time.process_time() - began
    print_row("what", "seconds", "x parsing", "", "note")
    print_row("SHA-256 and parsing alone", f"{raw:.2f}", "", "", f"{entries:,} entries")
    for name, revocations in (("by Redis", pod.redis_url), ("over HTTP", None)):
        began, cpu = time.monotonic(), time.process_time()
        async with Verifier(
            issuer=pod.issuer, audience=AUDIENCE, revocations=revocations, reserve=False
        ) as verifier:
            while verifier.status.number < entries or not verifier.ready:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            took, cost = time.monotonic() - began, time.process_time() - cpu
            facts = verifier.status.facts
        note = f"{entries / took:.0f} entries/s, CPU {cost:.2f} s, {facts:,} facts"
        print_row(f"a new verifier, {name}", f"{took:.2f}", f"{took / raw:.2f}", "", note)


async def _make_entries(pod: Pod, count: int) -> list[str]:
    """Entries of one fact each, as if as many tokens had been revoked one by one."""
    settings = load_settings(
        {
            "WATCHWORD_ISSUER": pod.issuer,
            "WATCHWORD_DATABASE_URL": pod.database_url,
            "WATCHWORD_REDIS_URL": pod.redis_url,
            "WATCHWORD_KEYS_DIR": str(pod.keys_dir),
        }
    )
    keyring = Keyring(KeyStore(issuer=pod.issuer, master_keys=read_master_keys(settings.keys_dir)))
    database = open_database(settings)
    try:
        await load_keys(database, keyring)
    finally:
        await database.close()
    connection = await asyncpg.connect(pod.database_url)
    try:
        row: Any = await connection.fetchrow("SELECT epoch, head, head_digest FROM feed")
        head = Head(str(row["epoch"]), row["head"], row["head_digest"])
        jwses, head = _sign(keyring, pod.issuer, head, count)
        await _insert(connection, jwses, head)
    finally:
        await connection.close()
    await _until_copied(pod, head)
    return jwses


def _sign(keyring: Keyring, issuer: str, head: Head, count: int) -> tuple[list[str], Head]:
    signer, expiry = keyring.key_set(FEED).signer, from_seconds(int(time.time()) + 3600)
    jwses: list[str] = []
    for number in range(count):
        if number % 1000 == 0:
            progress(f"signing entries: {number:,} of {count:,}")
        fact = Fact("jti", str(uuid4()), 0, expiry)
        jwses.append(sign(signer, ENTRY_TYP, entry_claims(issuer, head, [fact])))
        head = next_head(head, jwses[-1])
    return jwses, head


async def _insert(connection: "asyncpg.Connection[Any]", jwses: list[str], head: Head) -> None:
    epoch, expiry = UUID(head.epoch), from_seconds(int(time.time()) + 3600)
    first = head.number - len(jwses) + 1
    rows = [(epoch, first + index, jws, expiry) for index, jws in enumerate(jwses)]
    async with connection.transaction():
        await connection.execute("SELECT FROM feed FOR UPDATE")
        await connection.copy_records_to_table(
            "feed_entries", records=rows, columns=("epoch", "number", "jws", "expires_at")
        )
        await connection.execute(
            "UPDATE feed SET head = $1, head_digest = $2", head.number, head.digest
        )


async def _until_copied(pod: Pod, head: Head) -> None:
    """The pod itself finds what Redis lacks, and copies it."""
    async with Redis.from_url(pod.redis_url) as redis:
        deadline, copied = time.monotonic() + _PATIENCE_SECONDS, 0
        while copied < head.number:
            assert time.monotonic() < deadline, "the pod has not copied the entries"
            progress(f"the pod copies them to Redis: {copied:,} of {head.number:,}")
            await asyncio.sleep(0.2)
            copied = await redis.xlen(f"{{ww}}:feed:{head.epoch}:entries")
        await asyncio.sleep(2)  # until a heartbeat names them
    progress("")
