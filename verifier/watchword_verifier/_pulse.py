"""How old the newest word of the feed is: heartbeats against this process's clocks."""

# By so much clocks may drift apart without one of them being wrong: NTP slews no faster.
_DRIFT = 0.0005


class Pulse:
    """The delay of heartbeats, and the time since the newest one that this process kept up with.

    Heartbeats that only have to rise could be replayed slower and slower, by somebody who writes to
    Redis, and each would look new. So each is measured against the quickest one before it, by the
    monotonic clock. That is late, too, when the server's clock was set back: hence a heartbeat
    counts as late only as far as the wall clock says so as well. And the quickest may have been
    held back itself, and all after it by as much: hence it is at least as late as the wall clock
    says, but for `leeway`, by which that may be wrong. What came over TLS from the issuer is no
    replay: it sets the measure anew.

    All times are in seconds; `sent` is the heartbeat's own, in the server's clock.
    """

    def __init__(self, leeway: float) -> None:
        self._leeway = leeway
        self._quickest: float | None = None
        self._measured_at = 0.0
        self._kept_up_at = float("-inf")

    def forget(self) -> None:
        """Another clock begins: that of a new epoch's database."""
        self._quickest = None

    def delay(self, sent: float, *, monotonic: float, wall: float, trusted: bool) -> float:
        """By how much a heartbeat that was just received is late, at least."""
        origin = monotonic - sent
        by_wall = max(0.0, wall - sent)
        if trusted:
            self._quickest, self._measured_at = origin, monotonic
            return 0.0
        if self._quickest is None:
            self._quickest, self._measured_at = origin, monotonic
            return by_wall
        allowed = self._quickest + _DRIFT * (monotonic - self._measured_at)
        if origin <= allowed:
            self._quickest, self._measured_at = origin, monotonic
        return max(0.0, min(origin - allowed, by_wall), by_wall - self._leeway)

    def keep_up(self, received_at: float, delay: float) -> None:
        """Note that all that a heartbeat names was processed; it was received then, so late."""
        self._kept_up_at = max(self._kept_up_at, received_at - delay)

    def fall_behind(self) -> None:
        """Note that this process no longer has all that it kept up with."""
        self._kept_up_at = float("-inf")

    def age(self, monotonic: float) -> float:
        """Seconds since the newest heartbeat with which this process kept up; infinite before."""
        return monotonic - self._kept_up_at
