"""What the contract says of a session, without a database: docs/explanation/refresh-tokens.md."""

from dataclasses import dataclass, field, replace
from uuid import UUID

from service.oauth.user import KnownUser

WINDOW_SECONDS = 30.0


@dataclass(frozen=True)
class State:
    """What the row must say. `current`: the living life of the database wrote it."""

    generation: int = 0
    age: float = 0.0
    current: bool = True
    dead: bool = False

    def present(self, generation: int, window: float) -> "tuple[State, bool]":
        """What a presentation makes of it, and whether it is answered with the successor."""
        if self.dead:
            return self, False
        ahead = generation - self.generation
        if ahead == 0 or (ahead > 0 and not self.current):
            return State(generation + 1), True
        if ahead == -1 and self.age < window:
            return self, True
        return replace(self, dead=True), False


@dataclass
class Tracked:
    """A session, every string that was given out for it, and what its honest client knows."""

    id: UUID
    user: KnownUser
    client_id: str
    window: float
    strings: list[str]
    state: State = field(default_factory=State)
    # The honest client holds the string of this generation; None: nothing was promised to it.
    held: int | None = 0
    # Seconds since an attempt with that string began, of which no answer came.
    waiting: float | None = None
    lost: bool = False

    def at(self, place: int) -> int:
        """The generation of the string that far from the newest one, as the row has it."""
        return min(max(0, self.state.generation + place), len(self.strings) - 1)

    def answered(self, generation: int, successor: str) -> None:
        """Of each string there is one successor, whichever pod, retry or life gave it (RT-9)."""
        if generation + 1 == len(self.strings):
            self.strings.append(successor)
        assert self.strings[generation + 1] == successor, "a string has two successors"

    def pass_time(self, seconds: float) -> None:
        """An attempt that is repeated too late was promised nothing."""
        self.state = replace(self.state, age=self.state.age + seconds)
        if self.waiting is not None:
            self.waiting += seconds
            if self.waiting >= self.window:
                self.held = None
