"""Whatever somebody who writes to Redis does, and in whatever order: no fact is made or hidden.

ATK-107, DIST-8. A fact that the follower lacks is younger than it says that its news is, but for
what the contract forgives: what the first heartbeat was late by and clocks that drift apart, both
no further than the leeway, and a wall clock that is behind.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from watchword_verifier import Revoked
from watchword_verifier._facts import Subject, key_of

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.vectors import signed
from tests.verifier.feed_model import World

ANY = st.integers(0, 1000)
PIECES = st.lists(ANY, max_size=6)


class Following(RuleBasedStateMachine):
    """Rules are what server, network and attacker may do."""

    def __init__(self) -> None:
        super().__init__()
        self.begin(0.0)

    @initialize(ahead=st.sampled_from([0.0, 0.0, 20.0, -20.0]))
    def begin(self, ahead: float) -> None:
        self.world = World(ahead)
        self.server = self.world.server

    @rule(seconds=st.floats(0.001, 40))
    def time_passes(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule(count=st.integers(1, 3))
    def the_server_revokes(self, count: int) -> None:
        self.server.revoke(count, self.world.now)

    @rule()
    def the_server_beats(self) -> None:
        self.world.wait(0.001)
        self.server.beat(self.world.now)

    @rule()
    def the_server_begins_an_epoch(self) -> None:
        if len(self.server.epochs) < 4:
            self.server.begin_epoch(self.world.now)

    @rule(trusted=st.booleans())
    def all_is_delivered(self, trusted: bool) -> None:
        self.world.wait(0.001)
        self.world.deliver(trusted=trusted)
        feed, epoch = self.world.parts.feed, self.server.epochs[-1]
        if feed.epoch:  # one that begins with another clock than the server's refuses it
            assert (feed.epoch, feed.number) == (epoch.name, len(epoch.entries))
            assert self.world.parts.age <= max(0.0, self.world.ahead) + 0.01

    @rule(which=ANY)
    def a_heartbeat_is_replayed(self, which: int) -> None:
        if self.server.heartbeats:
            jws, sent_at = self.server.heartbeats[-1 - which % len(self.server.heartbeats)]
            self.world.hear(jws, sent_at)

    @rule(seconds=st.floats(1, 120), count=st.integers(1, 4))
    def all_is_shown_as_it_was_but_later(self, seconds: float, count: int) -> None:
        """Each by the same time, so that none is later than the one before."""
        recorded = []
        for _ in range(count):
            self.world.wait(1)
            self.server.beat(self.world.now)
            recorded.append((self.server.heartbeats[-1], list(self.server.epochs[-1].entries)))
        self.server.revoke(1, self.world.now)
        self.world.wait(seconds)
        for (jws, sent_at), entries in recorded:
            self.world.wait(1)
            self.world.hear(jws, sent_at)
            self.world.take(self.server.epochs[-1].name, entries)

    @rule(of=ANY, under=ANY, pieces=PIECES)
    def entries_are_shown_in_any_choice_and_order(
        self, of: int, under: int, pieces: list[int]
    ) -> None:
        epochs = self.server.epochs
        entries = epochs[of % len(epochs)].entries
        page = [entries[piece % len(entries)] for piece in pieces] if entries else []
        self.world.take(epochs[under % len(epochs)].name, page)

    @rule(back=st.integers(-1, 2), count=st.integers(1, 4), forged=st.booleans(), at=ANY)
    def a_run_of_entries_is_shown(self, back: int, count: int, forged: bool, at: int) -> None:
        """From about where the follower is; whole, or with one of them by the attacker's key."""
        epoch = self.server.epochs[-1]
        begin = max(0, self.world.parts.feed.number - back)
        page = epoch.entries[begin : begin + count]
        if page:
            if forged:
                place = at % len(page)
                head = epoch.heads[begin + place]
                lie = [{"jti": "nobody", "exp": 9_999_999_999}]
                page[place] = signed.entry(head, lie, key=signed.STRANGER)
            self.world.take(epoch.name, page)

    @rule(which=ANY, at=st.floats(0, 1))
    def a_byte_is_changed(self, which: int, at: float) -> None:
        known = [jws for jws, _ in self.server.heartbeats] + self.server.epochs[-1].entries
        if known:
            jws = known[which % len(known)]
            place = int(at * (len(jws) - 1))
            changed = jws[:place] + ("A" if jws[place] != "A" else "B") + jws[place + 1 :]
            self.world.hear(changed, self.world.now)
            self.world.take(self.server.epochs[-1].name, [changed])

    @rule(key=st.sampled_from([signed.STRANGER, signed.THIRD]), head=st.integers(0, 5))
    def a_heartbeat_is_forged(self, key: PrivateKey, head: int) -> None:
        claims = {"iss": signed.ISSUER, "epoch": "f" * 36, "head": head, "digest": "", "floor": 1}
        now = int(self.world.now * 1000)
        claims |= {"time": now, "database_read_at": now, "killed_kids": [signed.SECOND.kid]}
        self.world.hear(sign(key, "revocation-heartbeat+jwt", claims), self.world.now)

    @rule()
    def what_has_expired_is_dropped(self) -> None:
        self.world.parts.facts.drop_expired(self.world.parts.times.wall, 30)

    @invariant()
    def what_it_lacks_is_younger_than_its_news(self) -> None:
        limit = self.world.parts.age + self.world.deception
        for fact in self.server.facts:
            # Facts outlive their tokens by 2 minutes: what of them is dropped by then is no loss.
            if self.world.now - fact.at > limit and fact.expires_at - 120 > self.world.now:
                assert self.is_void(fact.jti), fact

    @invariant()
    def nothing_is_void_that_nobody_revoked(self) -> None:
        assert not self.is_void("nobody")
        assert len(self.world.parts.facts) <= len(self.server.facts)
        assert not self.world.parts.keys.tokens.killed

    @invariant()
    def its_place_is_one_that_the_server_was_at(self) -> None:
        feed = self.world.parts.feed
        if feed.epoch:
            (epoch,) = (it for it in self.server.epochs if it.name == feed.epoch)
            assert 0 <= feed.number <= len(epoch.entries)
            if feed._digest is not None and feed.number:
                assert feed._digest == signed.digest(epoch.heads[feed.number])

    def is_void(self, jti: str) -> bool:
        token = Subject(key_of(jti), None, "orders", 0, 0)
        return self.world.parts.facts.judge(token) is Revoked


TestFollowing = Following.TestCase
TestFollowing.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
