"""One log line for each change, at the level that it deserves."""

import logging
from dataclasses import replace
from datetime import timedelta

import pytest
from watchword_verifier import Status
from watchword_verifier._status import Watch, to_timedelta

from tests.verifier.test_prometheus import FRESH, NEW

MINUTE = timedelta(minutes=1)


class Told:
    """A watch, and what it logs of one status after the other."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.status = NEW
        self._caplog = caplog
        self._watch = Watch(lambda: self.status, lambda: None, timedelta(seconds=30))

    def of(self, status: Status) -> list[tuple[str, str]]:
        self.status = status
        self._caplog.clear()
        with self._caplog.at_level(logging.INFO, "watchword_verifier"):
            self._watch.look()
            self._watch.look()
        return [(record.levelname, record.getMessage()) for record in self._caplog.records]


def test_each_change_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    told = Told(caplog)
    assert told.of(replace(NEW, source=None)) == []
    assert told.of(FRESH) == [
        ("INFO", "ready: 3 revocations, 2 keys"),
        (
            "INFO",
            "revocations are fresh, up to entry 16 of 01920f3c-8a00-7c3e-9d41-5b7f2e6a1c08",
        ),
        ("INFO", "following the revocations by redis"),
    ]
    assert told.of(replace(FRESH, source="http")) == [("INFO", "following the revocations by http")]
    stale = replace(FRESH, source=None, fresh=False, staleness=MINUTE, database_staleness=MINUTE)
    assert told.of(replace(stale, troubles={"redis": "away", "http": "gone"})) == [
        (
            "ERROR",
            (
                "revocations are stale: 0:01:00 old, the issuer read its database 0:01:00 ago "
                "(redis: away; http: gone)"
            ),
        )
    ]
    assert [level for level, _ in told.of(FRESH)] == ["INFO", "INFO"]
    assert told.of(stale)[0][1].endswith("(nothing new came)")


def test_a_database_that_is_away_is_told_while_revocations_are_fresh(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = Told(caplog)
    told.of(FRESH)
    assert told.of(replace(FRESH, database_staleness=MINUTE)) == [
        ("WARNING", "the issuer has not read its database for 0:01:00: it may be away")
    ]
    assert told.of(FRESH) == [("INFO", "the issuer reads its database again")]


def test_never_is_no_time() -> None:
    assert to_timedelta(float("inf")) is None
    assert to_timedelta(1.5) == timedelta(seconds=1.5)
