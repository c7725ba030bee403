"""The two clocks of a process."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Clock:
    """`wall` judges tokens, in seconds since 1970; `monotonic` says how long ago things were."""

    wall: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
