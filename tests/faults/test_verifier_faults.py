"""What fails beside a verifier: Redis, the way to it, the service, PostgreSQL, a clock.

In each: no revoked token is accepted later than max_staleness, and no good one refused but by the
owner's choice. DIST-8.
"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from watchword_verifier import Options, UnknownKey, Verifier, VerifierError
from watchword_verifier._clock import Clock
from watchword_verifier._engine import Engine

from tests.conftest import AUDIENCE
from tests.faults.processes import Client, Deployment, open_deployment, until
from tests.faults.verifiers import (
    SLACK,
    STALENESS,
    Proxy,
    make_verifier,
    verdict,
    watching,
)

pytestmark = pytest.mark.slow

LIMIT = STALENESS.total_seconds() + SLACK


class Site(Deployment):
    """A deployment whose pods reach Redis by a way that can be cut."""

    proxy: Proxy

    def environment(self, database_url: str) -> dict[str, str]:
        direct = self.redis_server.url
        url = direct.replace(f":{self.redis_server.port}/", f":{self.proxy.port}/")
        return {**super().environment(database_url), "WATCHWORD_REDIS_URL": url}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two pods, ready."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.__class__ = Site
        assert isinstance(opened, Site)
        opened.proxy = Proxy(opened.redis_server.port)
        try:
            opened.run(opened.database_url, "migrate")
            opened.start_pods(2)
            yield opened
        finally:
            opened.proxy.close()


@pytest.fixture(scope="module")
def client(site: Site) -> Client:
    return site.make_client(site.database_url, "orders")


@pytest.fixture(autouse=True)
def mended(site: Site) -> None:
    """What the test before did is over."""
    site.proxy.mend()
    site.servers[0].start()
    site.redis_server.start()
    until(lambda: all(pod.is_ready() for pod in site.pods))
    site.checked()


def tell(text: str) -> None:
    """Write a figure, for who reads the output (pytest -rP)."""
    sys.stdout.write(f"{text}\n")


def test_redis_is_killed_and_comes_back_empty(site: Site, client: Client) -> None:
    verifiers = {"alone": make_verifier(site, reserve=False), "reserve": make_verifier(site)}
    pod = site.pods[0]
    with watching(verifiers, pod, client) as watch:
        site.redis_server.kill()
        pod.revoke(client, watch.revoked)
        acknowledged = time.monotonic()
        watch.watch(3)
        site.redis_server.start()
        site.redis.flushall()
        until(lambda: (watch.look(), watch.seen[-2][3])[1] == "Revoked")
        watch.watch(2)
        last = {name: watch.last_accepted(name, acknowledged) for name in verifiers}
        tell(f"Redis killed: refused after {last} s")
        assert max(last.values()) < LIMIT
        assert watch.judged("reserve") == {"good"}
        assert watch.judged("alone") <= {"good", "RevocationsStale"}
        until(lambda: verdict(verifiers["alone"], watch.good) == "good")


def test_redis_is_frozen_for_longer_than_the_news_may_be_old(site: Site, client: Client) -> None:
    verifiers = {"alone": make_verifier(site, reserve=False), "reserve": make_verifier(site)}
    pod = site.pods[0]
    with watching(verifiers, pod, client) as watch:
        os.kill(site.redis_server.pid, signal.SIGSTOP)
        try:
            pod.revoke(client, watch.revoked)
            acknowledged = time.monotonic()
            watch.watch(LIMIT + 1)
        finally:
            os.kill(site.redis_server.pid, signal.SIGCONT)
        last = {name: watch.last_accepted(name, acknowledged) for name in verifiers}
        tell(f"Redis frozen: refused after {last} s")
        assert max(last.values()) < LIMIT
        assert watch.judged("alone") == {"good", "RevocationsStale"}
        assert watch.judged("reserve") == {"good"}
        until(lambda: verdict(verifiers["alone"], watch.good) == "good")
        assert verdict(verifiers["alone"], watch.revoked) == "Revoked"


def test_the_way_from_the_service_to_redis_is_cut(site: Site, client: Client) -> None:
    """The verifier still reaches Redis, which has nothing new to say: HTTP brings it."""
    verifier, pod = make_verifier(site), site.pods[0]
    with watching({"reserve": verifier}, pod, client) as watch:
        site.proxy.cut()
        until(lambda: verifier.status.source == "http")
        pod.revoke(client, watch.revoked)
        acknowledged = time.monotonic()
        watch.watch(2)
        last = watch.last_accepted("reserve", acknowledged)
        tell(f"the way to Redis cut: refused after {last * 1000:.0f} ms, over HTTP")
        assert last < 1
        assert watch.judged("reserve") == {"good"}
        site.proxy.mend()
        until(lambda: verifier.status.source == "redis")


def test_the_service_is_down_while_a_verifier_starts(
    site: Site, client: Client, tmp_path: Path
) -> None:
    """With cached keys it is ready by Redis alone; without it says 503, and is ready later."""
    pod, cache = site.pods[0], tmp_path / "keys.json"
    token, void = pod.token(client), pod.token(client)
    with make_verifier(site, key_cache=cache) as verifier:
        assert verifier.ready
        until(cache.exists)
    pod.revoke(client, void)
    site.checked()
    for each in site.pods:
        os.kill(each.process.pid, signal.SIGSTOP)
    try:
        quick = timedelta(seconds=2)
        with make_verifier(site, key_cache=cache, start_timeout=quick) as cached:
            assert cached.ready
            assert verdict(cached, token) == "good"
            assert verdict(cached, void) == "Revoked"
        bare = make_verifier(site, start_timeout=quick)
        bare.start()
        assert not bare.ready
        assert verdict(bare, token) == "KeysUnavailable"
    finally:
        for each in site.pods:
            os.kill(each.process.pid, signal.SIGCONT)
    until(lambda: bare.ready)
    assert (verdict(bare, token), verdict(bare, void)) == ("good", "Revoked")
    bare.close()


def test_a_verifier_starts_in_the_middle_of_a_burst_by_two_pods(site: Site, client: Client) -> None:
    insert = """
        INSERT INTO revocations (kind, subject, expires_at, reason, actor)
        SELECT 'jti', $1 || i, clock_timestamp() + '10 minutes'::interval, 'test', 'test'
        FROM generate_series(1, 500) AS i
    """
    began = time.monotonic()
    for number in range(10):
        site.query(insert, f"one-{number}-")
    verifiers = [make_verifier(site), make_verifier(site, revocations=None)]
    for verifier in verifiers:
        verifier.start()
    for number in range(10):
        site.query(insert, f"two-{number}-")
    facts = int(site.query("SELECT count(*) FROM revocations"))
    assert facts >= 10_000
    for verifier in verifiers:
        until(lambda it=verifier: it.status.facts >= 10_000)
        rows = verifier._started().engine._facts._tokens.rows
        assert {f"two-{n}-{i}" for n in range(10) for i in range(1, 501)} <= rows.keys()
        verifier.close()
    tell(f"10,000 revocations written and everywhere in {time.monotonic() - began:.1f} s")


def test_postgresql_is_away(site: Site, client: Client) -> None:
    """Nothing can be revoked meanwhile: tokens stay good, but where the owner wants otherwise."""
    pod = site.pods[0]
    strict = make_verifier(site, max_database_staleness=STALENESS)
    with watching({"plain": make_verifier(site), "strict": strict}, pod, client) as watch:
        site.servers[0].kill()
        killed = time.monotonic()
        watch.watch(LIMIT + 2)
        assert watch.judged("plain") == {"good"}
        assert watch.judged("strict", killed + LIMIT) == {"RevocationsStale"}
        age = watch.verifiers["plain"].status.database_staleness
        assert age is not None
        assert age > STALENESS
        site.servers[0].start()
        until(lambda: verdict(strict, watch.good) == "good")


def test_forged_kids_cost_nothing(site: Site, client: Client) -> None:
    """ATK-22: 100,000 of them; bounded fetches, flat memory, and good tokens all the while."""
    token = site.pods[0].token(client)
    fetches, grown, seconds = asyncio.run(_flood(site, token, 100_000))
    tell(f"100,000 forged kids: {fetches} fetches, {grown / 1024:.0f} KiB more, {seconds:.1f} s")
    assert fetches <= 1 + seconds // 30
    assert grown < 8 * 1024 * 1024


async def _flood(site: Site, token: str, count: int) -> tuple[int, int, float]:
    _, payload, signature = token.split(".")
    async with Verifier(
        issuer=site.issuer, audience=AUDIENCE, revocations=site.redis_server.url
    ) as verifier:
        tokens = verifier._engine._keys.tokens
        await _forge(verifier, payload, signature, 1_000)
        before, began, used = tokens.fetches, time.monotonic(), _resident()
        await _forge(verifier, payload, signature, count)
        grown = _resident() - used
        assert (await verifier.verify(token)).client_id == "orders"
        return tokens.fetches - before, grown, time.monotonic() - began


def _resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _forge(verifier: Verifier, payload: str, signature: str, count: int) -> None:
    for number in range(count):
        head = f'{{"alg":"RS256","kid":"{uuid4().hex}","typ":"at+jwt"}}'.encode()
        forged = urlsafe_b64encode(head).rstrip(b"=").decode()
        with contextlib.suppress(UnknownKey):
            await verifier.verify(f"{forged}.{payload}.{signature}")
        if number % 100 == 0:
            await asyncio.sleep(0)


@pytest.mark.parametrize("by", [-29.0, 29.0])
def test_a_wall_clock_is_off_by_as_much_as_the_leeway(
    site: Site, client: Client, by: float
) -> None:
    """ATK-103: both ways."""
    token = site.pods[0].token(client)
    asyncio.run(_with_clock(site, Clock(wall=lambda: time.time() + by), token))


async def _with_clock(site: Site, clock: Clock, token: str) -> None:
    engine = Engine(_options(site), clock)
    await engine.start()
    try:
        assert engine.is_ready
        assert await engine.verify(token, (), "reject", None)
    finally:
        await engine.close()


def _options(site: Site) -> Options:
    return Options(
        issuer=site.issuer,
        audience=AUDIENCE,
        revocations=site.redis_server.url,
        reserve=False,
        max_staleness=STALENESS,
    )


def test_a_wall_clock_that_ran_an_hour_ahead_is_set_back(site: Site, client: Client) -> None:
    """What was dropped too early is read again: the revoked token does not live once more."""
    pod = site.pods[0]
    token = pod.token(client)
    pod.revoke(client, token)
    site.checked()
    asyncio.run(_set_forward_and_back(site, token))


async def _set_forward_and_back(site: Site, token: str) -> None:
    ahead = [0.0]
    engine = Engine(_options(site), Clock(wall=lambda: time.time() + ahead[0]))
    await engine.start()
    try:
        async with asyncio.timeout(10):
            while await _told(engine, token) != "Revoked":  # noqa: ASYNC110 (the fact is on its way)
                await asyncio.sleep(0.01)
        ahead[0] = 3600.0
        async with asyncio.timeout(10):
            while engine.status().facts:  # noqa: ASYNC110 (dropped by and by)
                await asyncio.sleep(0.05)
        assert await _told(engine, token) == "Expired"
        ahead[0] = 0.0
        seen: list[str] = []
        async with asyncio.timeout(10):
            while not seen or seen[-1] != "Revoked":
                await asyncio.sleep(0.3)
                seen.append(await _told(engine, token))
        assert set(seen) <= {"Revoked", "RevocationsStale"}
    finally:
        await engine.close()


async def _told(engine: Engine, token: str) -> str:
    try:
        await engine.verify(token, (), "reject", None)
    except VerifierError as error:
        return type(error).__name__
    return "good"


def test_every_key_is_killed(site: Site, client: Client) -> None:
    """DIST-6: `recover` kills the keys of tokens and feed, and begins an epoch.

    Verifiers follow: what the dead keys signed is void, what the new ones sign is good.
    """
    verifiers = {
        "alone": make_verifier(site, reserve=False),
        "http": make_verifier(site, revocations=None),
    }
    pod = site.pods[0]
    with watching(verifiers, pod, client) as watch:
        site.run(site.database_url, "recover", "--sessions", "keep", "--anyway")
        killed = time.monotonic()
        for name, verifier in verifiers.items():
            until(lambda it=verifier: verdict(it, watch.good) == "Revoked")
            tell(f"every key killed, {name}: refused after {time.monotonic() - killed:.2f} s")
            assert time.monotonic() - killed < LIMIT
            until(lambda it=verifier: verdict(it, pod.token(client)) == "good")
            assert verifier.status.fresh
