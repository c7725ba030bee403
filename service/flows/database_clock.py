"""PostgreSQL's clock, as far as this pod knows it: what a statement may wait for is told by it."""

import time
from datetime import datetime, timedelta

from service.sql.connection import STATEMENT_SECONDS


class DatabaseClock:
    """Carries the clock of the newest answer on by the pod's own monotonic one."""

    def __init__(self) -> None:
        self._zero: datetime | None = None

    def learn(self, now: datetime) -> None:
        """Take the clock over from an answer that has just come."""
        self._zero = now - timedelta(seconds=time.monotonic())

    def deadline(self) -> datetime | None:
        """When a statement that is sent now is given up; None before the first answer."""
        if self._zero is None:
            return None
        return self._zero + timedelta(seconds=time.monotonic() + STATEMENT_SECONDS)
