"""Logs: structlog set-up, and what is never logged."""

import json
import logging
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO

import msgspec
import structlog

log: structlog.stdlib.BoundLogger = structlog.get_logger()

# Names of fields that could carry a secret by mistake; their values never reach a line.
_SECRET_FIELDS = frozenset(
    {
        *("token", "access_token", "refresh_token", "id_token", "secret", "client_secret"),
        *("password", "assertion", "code", "code_verifier", "cookie", "csrf", "handle"),
    }
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
