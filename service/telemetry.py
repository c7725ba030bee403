"""Logs and metrics: structlog set-up, what is never logged, and every Prometheus metric."""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec
import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

log: structlog.stdlib.BoundLogger = structlog.get_logger()

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

# Names of fields that could carry a secret by mistake; their values never reach a line.
_SECRET_FIELDS = frozenset(
    {"token", "access_token", "refresh_token", "secret", "client_secret", "password", "assertion"}
)


def set_up_logging(level: str, file: BinaryIO | None = None) -> None:
    """Log JSON lines to standard output or a file, one line an event; those of libraries too."""
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=_processors(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.BytesLoggerFactory(file=file or sys.stdout.buffer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_Forward(logging.WARNING)], force=True)


def _processors() -> Sequence[Any]:
    """What makes an event a line."""
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.ExceptionRenderer(),
        _redact,
        structlog.processors.JSONRenderer(serializer=_encode),
    ]


def _encode(event: dict[str, Any], **_: Any) -> bytes:
    try:
        return msgspec.json.encode(event, enc_hook=str)
    except (UnicodeError, TypeError, ValueError):  # such as a lone surrogate, by a stranger's hand
        return json.dumps(event, default=str, skipkeys=True).encode()


def _redact(_logger: Any, _method: str, event: dict[str, Any]) -> dict[str, Any]:
    for name in _SECRET_FIELDS & event.keys():
        event[name] = "(hidden)"
    return event


class _Forward(logging.Handler):
    """Lines of libraries, as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        say = log.error if record.levelno >= logging.ERROR else log.warning
        details = {"exc_info": record.exc_info} if record.exc_info else {}
        try:
            say("library", logger=record.name, message=record.getMessage(), **details)
        except Exception:  # noqa: BLE001 (as logging has it: a faulty line never fails its caller)
            self.handleError(record)


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "watchword_http_requests", "Requests.", ("endpoint", "status"), registry=registry
        )
        self.latency = Histogram(
            "watchword_http_request_duration_seconds",
            "Time from a request's head to the end of its answer, less what it asked to wait for.",
            ("endpoint",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.tokens = Counter(
            "watchword_access_tokens_issued", "Access tokens.", ("grant_type",), registry=registry
        )
        self.refusals = Counter(
            "watchword_refusals",
            "Refusals by error code.",
            ("endpoint", "error"),
            registry=registry,
        )
        self.refreshes = Counter(
            "watchword_refreshes",
            "Presentations of refresh tokens by verdict.",
            ("verdict",),
            registry=registry,
        )
        self.logins = Counter(
            "watchword_logins", "Proofs of passwords by result.", ("result",), registry=registry
        )
        self.login_alarms = Counter(
            "watchword_login_alarms",
            "Counts of failed logins that crossed their line, by counter.",
            ("counter",),
            registry=registry,
        )
        self.hashing = Gauge(
            "watchword_password_hashes", "Passwords by state.", ("state",), registry=registry
        )
        self.revocations = Counter(
            "watchword_revocations", "Facts written.", ("kind",), registry=registry
        )
        self.published = Counter(
            "watchword_feed_entries_published", "Entries signed by this pod.", registry=registry
        )
        self.publish_lag = Histogram(
            "watchword_feed_publish_duration_seconds",
            "From the start of a publication to its copy in Redis.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.revocation_seen = Histogram(
            "watchword_revocation_seen_seconds",
            "From a fact's writing to a verifier's receipt, which may come up to a second late.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.verifiers = Gauge(
            "watchword_verifiers",
            "Verifiers that report: current, behind for more than 5 s, or missing for 30 s.",
            ("state",),
            registry=registry,
        )
        self.feed_head = Gauge("watchword_feed_head", "The newest number.", registry=registry)
        self.feed_repairs = Counter(
            "watchword_feed_repairs", "Streams mended, by cause.", ("cause",), registry=registry
        )
        self.feed_followers = Gauge(
            "watchword_feed_followers",
            "Followers that wait for news over HTTP.",
            registry=registry,
        )
        self.heartbeat_at = Gauge(
            "watchword_feed_heartbeat_timestamp_seconds",
            "Time of the newest heartbeat that this pod saw in Redis.",
            registry=registry,
        )
        self.away = Gauge(
            "watchword_dependency_away", "1 while it is away.", ("dependency",), registry=registry
        )
        self.keys_age = Gauge(
            "watchword_keys_age_seconds",
            "Since PostgreSQL last confirmed the signing keys.",
            registry=registry,
        )
