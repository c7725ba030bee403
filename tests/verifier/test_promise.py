"""What a verifier promises, whatever happens in whatever order.

Tokens are issued, revoked, refreshed; pods publish late or not at all; Redis is flushed and mended;
verifiers look, fall silent, restart. No revoked token is accepted later than max_staleness after
its revocation was acknowledged; no good one is ever called bad; and 503 is said only while stale.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
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

from service.oauth.feed import milliseconds
from service.oauth.user import KnownUser
from tests.conftest import MakeSettings
from tests.verifier.promise_world import STALENESS, Time, World, open_world

VERIFIERS = 2
WHICH = st.integers(0, VERIFIERS - 1)
ANY = st.integers(0, 50)
# The pod's reading may be a second old, and steps take a while.
LIMIT = STALENESS.total_seconds() + 1.5


@dataclass(slots=True)
class Token:
    """A token, and what the world has done to it; moments by the shared clock."""

    text: str
    client_id: str
    session_id: UUID | None = None
    user: KnownUser | None = None
    revoked_at: float | None = None
    stale: bool = False


class Promise(RuleBasedStateMachine):
    """Rules are what may happen; the invariant is the promise."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.tokens: list[Token] = []
        self.clients: list[str] = []
        self.roles = 0

    def now(self) -> float:
        return time.monotonic() + self.world.time.passed

    def pick(self, which: int) -> Token:
        return self.tokens[which % len(self.tokens)]

    def void(self, *tokens: Token) -> None:
        """Acknowledged: from here on the time runs."""
        for token in tokens:
            if token.revoked_at is None:
                token.revoked_at = self.now()

    @initialize()
    def start(self) -> None:
        self.world.begin_anew(VERIFIERS)
        self.clients = [self.world.make_client() for _ in range(2)]
        self.machine(0)
        self.person(1)

    @rule(which=ANY)
    def machine(self, which: int) -> None:
        client_id = self.clients[which % 2]
        self.tokens.append(Token(self.world.machine_token(client_id), client_id))

    @rule(which=ANY)
    def person(self, which: int) -> None:
        client_id = self.clients[which % 2]
        user, tokens = self.world.begin(client_id)
        token = Token(tokens.access_token, client_id, tokens.session_id, user)
        self.tokens.append(token)

    @rule(which=ANY)
    def revoke_one(self, which: int) -> None:
        token = self.pick(which)
        self.world.revoke_token(token.text)
        self.void(token)

    @rule(which=ANY)
    def end_session(self, which: int) -> None:
        people = [it for it in self.tokens if it.session_id is not None]
        session_id = people[which % len(people)].session_id
        assert session_id is not None
        self.world.end_session(session_id)
        self.void(*(it for it in people if it.session_id == session_id))

    @rule(which=ANY)
    def revoke_client(self, which: int) -> None:
        client_id = self.clients[which % 2]
        self.world.revoke_client(client_id)
        self.void(*(it for it in self.tokens if it.client_id == client_id))

    @rule(which=ANY)
    def change_roles(self, which: int) -> None:
        token = self.pick(which)
        if token.user is not None and token.revoked_at is None:
            self.roles += 1
            self.world.set_roles(token.user, (f"role-{self.roles}",))
            token.stale = True

    @rule(publishes=st.booleans())
    def pod_works(self, publishes: bool) -> None:
        """At a nudge, or at its tick."""
        if publishes:
            self.world.publish()
        self.world.tick()

    @rule()
    def redis_is_flushed(self) -> None:
        self.world.flush_redis()

    @rule(which=WHICH)
    def look(self, which: int) -> None:
        self.world.look(which)

    @rule(which=WHICH)
    def catch_up(self, which: int) -> None:
        self.world.tick()
        self.world.tick()
        self.world.look(which)
        self.world.look(which)

    @precondition(lambda self: self.world.time.passed < 150)
    @rule()
    def all_is_well_for_a_while(self) -> None:
        """Whatever was revoked before is void at every verifier after this."""
        self.world.time.passed += LIMIT + 0.5
        self.world.publish()
        for which in range(VERIFIERS):
            self.catch_up(which)

    @rule(which=WHICH)
    def restart(self, which: int) -> None:
        self.world.restart(which)

    @precondition(lambda self: self.world.time.passed < 150)
    @rule(seconds=st.sampled_from([0.5, 2.0, 4.0, 7.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.time.passed += seconds

    @invariant()
    def the_promise_holds(self) -> None:
        for which in range(len(self.world.verifiers)):
            for token in self.tokens:
                self.judge(token, which, self.world.verdict(which, token.text))

    def judge(self, token: Token, which: int, verdict: str) -> None:
        verifier = self.world.verifiers[which]
        fresh = verifier.engine.status().fresh
        if verdict == "RevocationsStale":
            assert not fresh
        elif token.revoked_at is not None:
            if verdict == "good":
                assert self.now() - token.revoked_at < LIMIT, token
            else:
                assert verdict in ("Revoked", "RefreshRequired")
        elif verdict != "good":
            assert token.stale, token
            assert verdict == "RefreshRequired"


@pytest.fixture
def world(make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """The server's clock and the verifiers' are moved together."""

    def share(passing: Time) -> None:
        monkeypatch.setattr(
            "service.flows.beat_feed.milliseconds",
            lambda at: milliseconds(at) + int(passing.passed * 1000),
        )

    # A look at Redis is over at once; nothing comes of waiting there.
    monkeypatch.setattr("watchword_verifier._follow._BEAT_SECONDS", 0.005)
    monkeypatch.setattr("watchword_verifier._follow._LOOK_SECONDS", 0.005)
    with open_world(make_settings, share) as world:
        yield world


def run(world: World, examples: int, steps: int) -> None:
    def machine() -> Promise:
        world.time.passed = 0.0
        return Promise(world)

    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            phases=[Phase.generate],
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_the_promise(world: World) -> None:
    """DIST-1 to DIST-9, ATK-103."""
    run(world, examples=4, steps=25)


@pytest.mark.slow
def test_the_promise_for_longer(world: World) -> None:
    """The same, with longer histories."""
    run(world, examples=6, steps=40)
