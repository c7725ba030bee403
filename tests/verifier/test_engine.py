"""What runs in the background: it begins whole, goes on whatever happens, and leaves nothing."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest
from watchword_verifier import Options, Verifier
from watchword_verifier import _engine as module
from watchword_verifier._engine import Engine

from service.oauth.feed import next_head
from tests.conftest import AUDIENCE, until
from tests.vectors import signed
from tests.verifier.issuer import JWKS, Issuer, serving
from tests.verifier.parts import ISSUER, Times

LONG, SHORT = timedelta(seconds=30), timedelta(seconds=0.2)


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with serving() as issuer:
        yield issuer


def others() -> set[str]:
    """What runs beside the test."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    return {repr(task.get_coro()).split()[2] for task in tasks}


async def test_whoever_gives_up_starting_leaves_nothing_behind(issuer: Issuer) -> None:
    before = others()
    verifier = Verifier(issuer=issuer.url, audience=AUDIENCE, start_timeout=LONG)
    for _ in range(2):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await verifier.start()
        assert others() == before


async def test_closing_in_the_middle_of_a_fetch_leaves_nothing_behind(issuer: Issuer) -> None:
    """The fetch ends by itself, as one that failed; nobody is left to wait for it."""
    before, gate = others(), threading.Event()
    issuer.publish(issuer.signer.public_jwk, hold=gate)
    async with Verifier(issuer=issuer.url, audience=AUDIENCE, start_timeout=SHORT) as verifier:
        assert issuer.requests[JWKS] == 1
    await until(lambda: others() == before)
    gate.set()
    await verifier.close()
    async with verifier:  # and it may begin again
        assert verifier.status.kids == (issuer.signer.kid,)


class Followed:
    """An engine with a feed and clocks that a test moves."""

    def __init__(self) -> None:
        self.times = Times()
        self.engine = Engine(Options(issuer=ISSUER, audience=AUDIENCE), self.times.clock())
        keys = json.dumps({"keys": [signed.SECOND.public_jwk]}).encode()
        self.engine._keys.feed.load(keys, age=0)
        self.head = signed.HEAD_0
        self.entries: list[str] = []

    def revoke(self, jti: str, expires_at: int) -> None:
        self.entries.append(signed.entry(self.head, [{"jti": jti, "exp": expires_at}]))
        self.head = next_head(self.head, self.entries[-1])

    def follow(self) -> None:
        feed, now = self.engine._feed, self.times.now()
        feed.hear(signed.heartbeat(self.head, time=int(now.wall * 1000), killed=()), now)
        feed.take(signed.EPOCH, self.entries)

    @property
    def facts(self) -> int:
        return len(self.engine._facts)

    @property
    def is_fresh(self) -> bool:
        return self.engine.status().fresh


def test_a_clock_that_ran_ahead_takes_no_fact_away_for_good() -> None:
    """DIST-8: what it dropped too early is read again, and until then nothing is fresh."""
    followed = Followed()
    followed.revoke("one", int(followed.times.wall) + 600)
    followed.follow()
    followed.engine._tidy()
    assert (followed.facts, followed.is_fresh) == (1, True)
    followed.times.wall += 3600
    followed.engine._tidy()
    assert followed.facts == 0
    followed.times.wall -= 20  # less than the leeway, for which facts outlive their tokens
    followed.engine._tidy()
    assert followed.is_fresh
    followed.times.wall -= 3580
    followed.engine._tidy()
    assert not followed.is_fresh
    followed.times.pass_by(1)
    followed.follow()
    assert (followed.facts, followed.is_fresh) == (1, True)
    followed.engine._tidy()
    assert (followed.facts, followed.is_fresh) == (1, True)


async def test_a_defect_in_the_background_is_told_and_begun_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.001)
    runs = 0

    async def run() -> None:
        nonlocal runs
        runs += 1
        raise RuntimeError("a defect")

    with caplog.at_level(logging.ERROR, "watchword_verifier"):
        task = asyncio.create_task(module._forever("the keys", run))
        await until(lambda: runs >= 3)
        task.cancel()
    assert caplog.records[0].getMessage() == "following the keys failed: beginning again"
