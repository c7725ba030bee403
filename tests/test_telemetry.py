"""Logs: JSON, one line an event, nothing secret by name, and nothing that breaks a line."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import structlog
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from service import telemetry
from service.metrics import Metrics
from service.telemetry import set_up_logging

Lines = Callable[[], list[dict]]
LEVELS = ["debug", "info", "warning", "error"]


class Log:
    """A log set up as a pod's, and what it has written."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written = io.BytesIO()
        self.monkeypatch = monkeypatch

    def set_up(self, level: str) -> structlog.stdlib.BoundLogger:
        set_up_logging(level, self.written)
        log = structlog.get_logger()
        self.monkeypatch.setattr(telemetry, "log", log)  # the suite's own is bound already
        return log

    def lines(self) -> list[dict]:
        """Every line so far, each of which is JSON by itself."""
        raw = self.written.getvalue()
        self.written.seek(0)
        self.written.truncate()
        assert raw.endswith(b"\n") or not raw
        return [json.loads(line) for line in raw.splitlines()]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    config, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield Log(monkeypatch)
    structlog.configure(**config)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_an_event_is_one_line_of_json(log: Log) -> None:
    log.set_up("info").info("ready", issuer="https://auth.example.com", pods=3, error=None)
    (line,) = log.lines()
    assert datetime.fromisoformat(line.pop("at")).tzinfo
    assert line == {
        "event": "ready",
        "level": "info",
        "issuer": "https://auth.example.com",
        "pods": 3,
        "error": None,
    }


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_written(log: Log, level: str) -> None:
    logger = log.set_up(level)
    for each in LEVELS:
        getattr(logger, each)("said")
    assert [line["level"] for line in log.lines()] == LEVELS[LEVELS.index(level) :]


@pytest.mark.parametrize("name", sorted(telemetry._SECRET_FIELDS))
def test_a_field_that_is_named_as_a_secret_is_hidden(log: Log, name: str) -> None:
    log.set_up("info").info("leaky", **{name: "hunter2", "client_id": "demo"})
    assert b"hunter2" not in log.written.getvalue()
    (line,) = log.lines()
    assert (line[name], line["client_id"]) == ("(hidden)", "demo")


def test_an_exception_is_rendered_on_the_same_line(log: Log) -> None:
    logger = log.set_up("info")
    try:
        int("1\n1")
    except ValueError as error:
        caught = error
        logger.exception("failure")
    logger.error("failure", exc_info=caught)
    for line in log.lines():
        assert line["level"] == "error"
        assert line["exception"].startswith("Traceback (most recent call last):\n")
        assert line["exception"].endswith(f"ValueError: {caught}")
        assert "exc_info" not in line


# Line ends of every kind, what ends a string, what no UTF-8 has; and what is no JSON at all.
@given(text=st.text() | st.sampled_from(['\r\n\x85\u2028"}{', "\x00\x1b[31m", "\ud800", "\udcff"]))
@examples(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_breaks_a_line(log: Log, text: str) -> None:
    log.set_up("info").info("odd", text=text)
    (line,) = log.lines()
    assert line["text"] == text


def test_values_that_json_lacks_are_written_as_text(log: Log) -> None:
    odd = {
        "path": Path("/keys"),
        "duration": timedelta(seconds=3),
        "id": UUID(int=1),
        "error": ValueError("no"),
        "number": 1 << 80,
        "nested": {"\ud800": [object]},
    }
    log.set_up("info").info("odd", **odd)
    (line,) = log.lines()
    assert line["path"] == "/keys"
    assert line["error"] == "no"
    assert set(odd) < set(line)


def test_lines_of_libraries_are_lines_of_ours_from_warning_on(log: Log) -> None:
    log.set_up("info")
    library = logging.getLogger("some.library")
    library.debug("unsaid")
    library.info("unsaid")
    library.warning("slow: %d ms", 7)
    library.error("lost")
    assert [(line["level"], line["message"]) for line in log.lines()] == [
        ("warning", "slow: 7 ms"),
        ("error", "lost"),
    ]
    library.error("task failed", exc_info=OSError("gone"))
    (line,) = log.lines()
    assert (line["event"], line["logger"]) == ("library", "some.library")
    assert line["exception"].endswith("OSError: gone")


def test_a_faulty_line_of_a_library_fails_nobody(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    log.set_up("info")
    logging.getLogger("some.library").warning("%d", "no number")
    assert log.lines() == []


def test_metrics_of_two_pods_in_a_process_are_apart() -> None:
    one, other = Metrics(), Metrics()
    one.refusals.labels("/token", "invalid_client").inc()
    name, labels = "watchword_refusals_total", {"route": "/token", "error": "invalid_client"}
    assert one.registry.get_sample_value(name, labels) == 1
    assert other.registry.get_sample_value(name, labels) is None
