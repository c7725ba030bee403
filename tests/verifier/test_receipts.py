"""Receipts: at once after a change, again and again, and no flood where nobody takes them."""

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from watchword_verifier import _receipts
from watchword_verifier._fetch import Fetcher
from watchword_verifier._receipts import Receipt, Receipts

from tests.conftest import until
from tests.verifier.issuer import Answer, Issuer, serving

PATH = "/revocations/receipts"


@pytest.fixture(scope="module")
def served() -> Iterator[Issuer]:
    with serving() as issuer:
        yield issuer


@pytest.fixture
def issuer(served: Issuer) -> Issuer:
    served.requests.clear()
    served.answers[PATH] = Answer(b"")
    return served


@pytest.fixture
async def fetcher(issuer: Issuer) -> AsyncIterator[Fetcher]:
    async with Fetcher(issuer.url, ("orders", "wws_secret"), None) as opened:
        yield opened


@asynccontextmanager
async def reporting(receipts: Receipts) -> AsyncIterator[None]:
    task = asyncio.create_task(receipts.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second is a fiftieth of one, and ten are two."""
    monkeypatch.setattr(_receipts, "_AT_MOST_EVERY_SECONDS", 0.02)
    monkeypatch.setattr(_receipts, "_EVERY_SECONDS", 2.0)


async def test_a_change_is_reported_at_once_and_the_same_again_later(
    issuer: Issuer, fetcher: Fetcher, hurry: None
) -> None:
    current: list[Receipt | None] = [None]
    receipts = Receipts(fetcher, "orders-1", lambda: current[0])
    async with reporting(receipts):
        await asyncio.sleep(0.1)
        assert issuer.requests[PATH] == 0  # there is nothing to say yet
        current[0] = Receipt("epoch", 1, ("a", "b"))
        receipts.note()
        await until(lambda: issuer.requests[PATH] == 1, seconds=1.5)
        await until(lambda: receipts._sent == current[0])
        for _ in range(20):
            receipts.note()  # nothing has changed
            await asyncio.sleep(0.01)
        assert issuer.requests[PATH] == 1
        await until(lambda: issuer.requests[PATH] == 2)
        current[0] = Receipt("epoch", 2, ("a", "b"))
        receipts.note()
        await until(lambda: issuer.requests[PATH] == 3, seconds=1.5)


async def test_a_flood_of_changes_is_at_most_one_report_a_second(
    issuer: Issuer, fetcher: Fetcher, hurry: None
) -> None:
    numbers = iter(range(1_000_000))
    receipts = Receipts(fetcher, None, lambda: Receipt("epoch", next(numbers), ()))
    began = time.monotonic()
    async with reporting(receipts):
        for _ in range(200):
            receipts.note()
            await asyncio.sleep(0.001)
    assert 2 <= issuer.requests[PATH] <= 2 + (time.monotonic() - began) / 0.02


async def test_a_report_that_fails_is_told_once_and_made_again(
    issuer: Issuer,
    fetcher: Fetcher,
    hurry: None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_receipts, "_EVERY_SECONDS", 0.05)
    issuer.answers[PATH] = Answer(b"", 401)
    receipts = Receipts(fetcher, "orders-1", lambda: Receipt("epoch", 1, ()))
    with caplog.at_level(logging.WARNING, "watchword_verifier"):
        async with reporting(receipts):
            await until(lambda: issuer.requests[PATH] >= 3)
            issuer.answers[PATH] = Answer(b"")
            await until(lambda: receipts._sent is not None)
            issuer.answers[PATH] = Answer(b"", 503)
            await until(lambda: receipts._faulty)
        await receipts.say_goodbye()  # whoever does not hear it will miss us: no more
    assert [record.getMessage() for record in caplog.records] == [
        f"receipts can't be reported: {issuer.url}{PATH} answered {status}" for status in (401, 503)
    ]


async def test_without_a_name_it_is_the_hosts_and_the_process(
    fetcher: Fetcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fit for the server, whatever the host is called."""
    for host, name in (("web-1", "web-1"), ("büro 1_a", "b-ro-1_a"), ("a" * 300, "a" * 100)):
        monkeypatch.setattr(_receipts, "gethostname", lambda host=host: host)
        assert Receipts(fetcher, None, lambda: None)._name == f"{name}:{os.getpid()}"
