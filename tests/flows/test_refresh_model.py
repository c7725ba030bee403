"""What must hold of sessions, whatever clients, thieves, crashes and operators do to them.

Honest clients lose answers and try again, thieves copy any string and present it at any time, time
passes, crashes forget the last rotations, fail-overs forget revocations too, and everything may
happen at once on two pods. A model without a database says after each step what must be so.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from tests.conftest import MakeSettings
from tests.flows.refresh_world import PODS, World, open_world
from tests.flows.session_model import WINDOW_SECONDS, State, Tracked

WINDOWS = (WINDOW_SECONDS, 0.0)
MAX_SESSIONS = 3

WHICH = st.integers(0, MAX_SESSIONS - 1)
POD = st.integers(0, PODS - 1)
# Which string, counted from the one that the row calls the newest.
PLACE = st.one_of(st.integers(-2, 2), st.integers(-9, 9))


class Sessions(RuleBasedStateMachine):
    """Rules are what may happen; the invariant is the contract."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.sessions: list[Tracked] = []
        self.standby: dict[UUID, State] = {}
        self.points: list[dict[UUID, State]] = []
        self.clients: dict[float, str] = {}

    def states(self) -> dict[UUID, State]:
        return {session.id: session.state for session in self.sessions}

    def note(self, *, durable: bool) -> None:
        self.world.note(durable=durable)
        self.points = [*([] if durable else self.points), self.states()]

    def pick(self, which: int) -> Tracked:
        return self.sessions[which % len(self.sessions)]

    @initialize()
    def start(self) -> None:
        self.clients = dict(zip(WINDOWS, self.world.begin_anew(WINDOWS), strict=True))
        self.begin(WINDOW_SECONDS)
        self.begin(WINDOW_SECONDS)
        self.catch_up()

    @precondition(lambda self: len(self.sessions) < MAX_SESSIONS)
    @rule(window=st.sampled_from(WINDOWS))
    def begin(self, window: float) -> None:
        client_id = self.clients[window]
        user, tokens = self.world.begin(client_id)
        self.sessions.append(
            Tracked(
                id=tokens.session_id,
                user=user,
                client_id=client_id,
                window=window,
                strings=[tokens.refresh_token],
            )
        )
        self.points = [self.states()]

    @rule(
        which=WHICH,
        pods=st.lists(POD, min_size=1, max_size=5),
        copies=st.integers(1, 2),
        lost=st.booleans(),
    )
    def honest(self, which: int, pods: list[int], copies: int, *, lost: bool) -> None:
        """The client refreshes, or tries again; requests may be doubled, the last answer lost."""
        for number, pod in enumerate(pods, start=1):
            self.refresh(self.pick(which), pod, copies, lost=lost and number == len(pods))

    def refresh(self, session: Tracked, pod: int, copies: int, *, lost: bool) -> None:
        held = session.held
        if held is None or session.state.dead:
            return
        if not session.window:  # it has to keep its refreshes apart, and gets no second try
            copies = 1
        self.present(session, [(held, (pod + i) % PODS) for i in range(copies)])
        assert not session.state.dead
        session.held = None if lost and not session.window else held if lost else held + 1
        session.waiting = (session.waiting or 0.0) if lost else None

    @rule(which=WHICH, place=PLACE, pod=POD)
    def thief(self, which: int, place: int, pod: int) -> None:
        """Any string that ever was given out, by whatever way it was copied."""
        self.steal(self.pick(which), [(place, pod)])

    @rule(which=WHICH, tries=st.lists(st.tuples(PLACE, POD), min_size=2, max_size=3))
    def thieves(self, which: int, tries: list[tuple[int, int]]) -> None:
        """Several at once: what comes of it must come of some order too."""
        self.steal(self.pick(which), tries)

    def steal(self, session: Tracked, tries: list[tuple[int, int]]) -> None:
        before = session.state
        self.present(session, [(session.at(place), pod) for place, pod in tries])
        if session.state != before:
            session.held = None

    @rule(which=WHICH, place=PLACE, pod=POD)
    def wrong_client(self, which: int, place: int, pod: int) -> None:
        """RT-1: nothing comes of it."""
        session = self.pick(which)
        (other,) = set(self.clients.values()) - {session.client_id}
        token = session.strings[session.at(place)]
        assert self.world.present(other, (pod, token)) == [None]
        self.note(durable=True)

    def present(self, session: Tracked, tries: list[tuple[int, int]]) -> None:
        """Present strings together; outcomes and row must be those of some order of them."""
        tokens = [(pod, session.strings[generation]) for generation, pod in tries]
        answers = self.world.present(session.client_id, *tokens)
        for (generation, _), answer in zip(tries, answers, strict=True):
            if answer is not None:
                session.answered(generation, answer)
        found = tuple(answer is not None for answer in answers)
        generation, living = self.world.rows().get(session.id, (0, False))
        allowed: list[State] = []
        for order in permutations(range(len(tries))):
            state, outcomes = session.state, [False] * len(tries)
            for place in order:
                state, outcomes[place] = state.present(tries[place][0], session.window)
            same = state.dead or state.generation == generation
            if tuple(outcomes) == found and state.dead is not living and same:
                allowed.append(state)
        assert allowed, (session.state, tries, found, generation, living)
        rotated = allowed[0] != session.state and not allowed[0].dead and session.state.current
        # A session that ended keeps the generation that it had.
        session.state = replace(allowed[0], generation=generation)
        self.note(durable=not rotated)

    @rule(seconds=st.sampled_from([12.0, 31.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.pass_time(seconds)
        for session in self.sessions:
            session.pass_time(seconds)

        def older(states: dict[UUID, State]) -> dict[UUID, State]:
            return {id_: replace(it, age=it.age + seconds) for id_, it in states.items()}

        self.standby, self.points = older(self.standby), [older(it) for it in self.points]

    @rule(depth=st.integers(0, 4), which=WHICH, places=st.lists(st.integers(0, 4), max_size=2))
    def crash(self, depth: int, which: int, places: list[int]) -> None:
        """PostgreSQL forgets rotations that it had not written to disk, and nothing else.

        Thieves may be the first to come afterwards.
        """
        lost = self.world.crash(depth)
        for session in self.sessions:
            then = self.points[-1 - lost][session.id]
            session.state = replace(then, current=False, dead=session.state.dead)
        self.points = [self.states()]
        for place in places:
            self.steal(self.pick(which), [(place, 0)])

    @rule(fails=st.booleans())
    def standby_takes_part(self, *, fails: bool) -> None:
        """It gets what the primary has, or takes its place."""
        if fails:
            self.fail_over()
        else:
            self.catch_up()

    def catch_up(self) -> None:
        self.world.catch_up()
        self.standby = self.states()

    def fail_over(self) -> None:
        """The standby knows nothing of what happened since; the feed knows what was revoked."""
        self.world.fail_over()
        for session in self.sessions:
            then = self.standby.get(session.id)
            if then is None:
                session.lost, then = True, replace(session.state, dead=True)
            session.state = replace(then, current=False, dead=session.state.dead or then.dead)
        self.standby = self.states()
        self.points = [self.states()]

    @rule(which=WHICH, how=st.sampled_from(["session", "session", "user", "user", "client"]))
    def revoke(self, which: int, how: str) -> None:
        """Acknowledged: from here on nothing brings it back."""
        session = self.pick(which)
        if session.lost:
            return
        ended = [session]
        match how:
            case "session":
                self.world.end(session.id)
            case "user":
                self.world.end_user(session.user)
            case _:
                self.world.end_client(session.client_id)
                ended = [it for it in self.sessions if it.client_id == session.client_id]
        for it in ended:
            it.state = replace(it.state, dead=True)
        self.points = [self.states()]

    @invariant()
    def rows_are_as_the_contract_says(self) -> None:
        """One unspent string for each living session, and no end is ever undone."""
        rows = self.world.rows()
        for session in self.sessions:
            state = session.state
            assert (session.id in rows) is not session.lost
            if not session.lost:
                assert rows[session.id] == (state.generation, not state.dead), session


@pytest.fixture
def world(make_settings: MakeSettings) -> Iterator[World]:
    with open_world(make_settings) as world:
        yield world


def run(world: World, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: Sessions(world),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_what_must_hold_holds(world: World) -> None:
    """RT-1, RT-2, RT-5, RT-6, RT-8 to RT-13, RT-15; ATK-49, ATK-50, ATK-53, ATK-104."""
    run(world, examples=25, steps=25)


@pytest.mark.slow
def test_what_must_hold_holds_for_longer(world: World) -> None:
    """The same, with longer histories."""
    run(world, examples=20, steps=50)
