"""The feed's state: every vector of the contract, and what somebody who writes to Redis may try.

DIST-8, ATK-107.
"""

import json
from dataclasses import replace
from typing import Any

import pytest
from watchword_verifier import RefreshRequired, Revoked
from watchword_verifier._facts import Subject, subject_of
from watchword_verifier._feed import KilledFeedKey, UnknownFeedKey
from watchword_verifier._feed_claims import Faulty, place_of

from service.oauth.feed import Head, next_head
from tests.vectors import signed
from tests.vectors.make import FILE
from tests.verifier.parts import Parts

VECTORS = json.loads(FILE.read_text())
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in VECTORS["cases"]}
VERDICTS = {None: "good", Revoked: "revoked", RefreshRequired: "refresh"}


def judge(parts: Parts, token: dict[str, Any]) -> str:
    if token["kid"] in parts.keys.tokens.killed:
        return "revoked"
    return VERDICTS[parts.facts.judge(subject_of(token["claims"]))]


def take(parts: Parts, page: dict[str, Any]) -> dict[str, Any]:
    """What becomes of a page of the vectors."""
    parts.trust(*(VECTORS["keys"][name] for name in page["keys"]))
    seconds = page["wall_clock_ms"] / 1000
    parts.times.wall = parts.times.monotonic = seconds
    heartbeat = entries = None
    if page["heartbeat"] is not None:
        try:
            heartbeat = "accepted" if parts.hear(page["heartbeat"]) else "ignored"
        except Faulty:
            heartbeat = "refused"
    try:
        if page["entries"]:
            parts.feed.take(page["epoch"], page["entries"])
        entries = "taken"
    except Faulty:
        entries = "refused"
    parts.facts.drop_expired(seconds, parts.leeway)
    return {"heartbeat": heartbeat, "entries": entries, "fresh": parts.age < parts.max_staleness}


@pytest.mark.parametrize("name", CASES)
def test_each_vector_is_judged_as_stated(name: str) -> None:
    case = CASES[name]
    parts = Parts(max_staleness=VECTORS["max_staleness_seconds"], leeway=VECTORS["leeway_seconds"])
    for earlier in case["before"]:
        take(parts, CASES[earlier]["page"])
    verdict = dict(case["verdict"])
    tokens = verdict.pop("tokens")
    assert take(parts, case["page"]) == verdict
    stated = {token: kind for kind, names in tokens.items() for token in names}
    assert {it: judge(parts, VECTORS["tokens"][it]) for it in stated} == stated


FACT = {"jti": "01920f3c-9b10-7abc-8def-000000000001", "exp": signed.EXPIRY}


class Stream:
    """What the service signs, one entry after the other."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.heads: list[Head] = [signed.HEAD_0]

    def add(self, count: int = 1) -> None:
        for _ in range(count):
            jws = signed.entry(self.heads[-1], [FACT])
            self.entries.append(jws)
            self.heads.append(next_head(self.heads[-1], jws))

    def beat(self, parts: Parts, number: int | None = None, **members: object) -> str:
        """The heartbeat of this moment over a head."""
        head = self.heads[-1 if number is None else number]
        time = int(parts.times.wall * 1000)
        return signed.heartbeat(head, **{"time": time, "database_read_at": time, **members})


@pytest.fixture
def parts() -> Parts:
    parts = Parts()
    parts.trust(signed.SECOND.public_jwk)
    return parts


@pytest.fixture
def stream() -> Stream:
    return Stream()


def test_what_is_proven_of_a_page_is_taken(parts: Parts, stream: Stream) -> None:
    """A forged entry at the end takes nothing of what stands before it."""
    stream.add(3)
    parts.hear(stream.beat(parts))
    forged = signed.entry(stream.heads[-1], [FACT], key=signed.STRANGER)
    with pytest.raises(UnknownFeedKey):
        parts.feed.take(signed.EPOCH, [*stream.entries, forged])
    assert parts.feed.number == 3
    assert parts.age == 0
    assert parts.feed.take(signed.EPOCH, [*stream.entries]) == 0


def test_a_page_is_proven_by_its_last_signature_and_the_chain(parts: Parts, stream: Stream) -> None:
    """A byte changed in the middle breaks it; what stands before is taken by its own signature."""
    stream.add(3)
    parts.hear(stream.beat(parts))
    lie = {"client": "orders", "cep": 9, "exp": signed.EXPIRY}
    other = signed.entry(stream.heads[1], [lie], key=signed.STRANGER)
    with pytest.raises(Faulty):
        parts.feed.take(signed.EPOCH, [stream.entries[0], other, stream.entries[2]])
    assert parts.feed.number == 1
    assert parts.facts.judge(Subject("j", None, "orders", 0, 0)) is None


@pytest.mark.parametrize("facts", [[], [FACT] * 257, {}, "facts", None])
def test_an_entry_has_facts_and_not_too_many(parts: Parts, stream: Stream, facts: object) -> None:
    """It is a fault, though it is signed: what it was to say is not known."""
    parts.hear(stream.beat(parts))
    with pytest.raises(Faulty):
        parts.feed.take(signed.EPOCH, [signed.entry(signed.HEAD_0, facts)])
    assert parts.feed.number == 0
    assert parts.feed.take(signed.EPOCH, [signed.entry(signed.HEAD_0, [FACT] * 256)]) == 1


@pytest.mark.parametrize("name", ["time", "database_read_at", "head", "floor"])
@pytest.mark.parametrize("number", [-1, 1 << 53, 10**400])
def test_a_heartbeat_has_numbers_that_can_be(
    parts: Parts, stream: Stream, name: str, number: int
) -> None:
    changes = {"head": number, "floor": number} if name == "floor" else {name: number}
    with pytest.raises(Faulty):
        parts.hear(stream.beat(parts, **changes))
    assert parts.feed.epoch == ""


@pytest.mark.parametrize("kids", [[1], [None], "a", None, [["a"]]])
def test_a_heartbeat_names_killed_keys(parts: Parts, stream: Stream, kids: object) -> None:
    with pytest.raises(Faulty):
        parts.hear(stream.beat(parts, killed_kids=kids))


def test_an_entry_in_between_that_cannot_be_read_takes_nothing_along(
    parts: Parts, stream: Stream
) -> None:
    stream.add(3)
    parts.hear(stream.beat(parts))
    for junk in ("", "a.b.c", "ä", stream.entries[1][:-1], "a" * 70_000):
        with pytest.raises(Faulty):
            parts.feed.take(signed.EPOCH, [stream.entries[0], junk, stream.entries[2]])
        assert parts.feed.number == 1
    for junk in ("a.b.c", signed.entry(signed.HEAD_0, [FACT], n="1"), stream.beat(parts)):
        with pytest.raises(Faulty):
            place_of(junk)


def test_how_far_a_heartbeat_is_behind(parts: Parts, stream: Stream) -> None:
    """Infinitely, in another epoch."""
    assert parts.hear(stream.beat(parts))
    first = parts.feed.last
    assert first is not None
    assert parts.feed.lag(first) == pytest.approx(0)
    parts.times.pass_by(5)
    assert parts.hear(stream.beat(parts))
    assert parts.feed.lag(first) == pytest.approx(5)
    assert parts.feed.lag(replace(first, epoch=signed.LATER_EPOCH)) == float("inf")


def test_nothing_is_passed_over(parts: Parts, stream: Stream) -> None:
    """Deleted, reordered, held back: the follower stays where it is, and its age tells."""
    stream.add(4)
    parts.hear(stream.beat(parts))
    one, two, three, four = stream.entries
    for page in ([two], [one, three], [four, three, two, one][:2], [three, two]):
        with pytest.raises(Faulty):
            parts.feed.take(signed.EPOCH, page)
    assert parts.feed.number == 1
    assert parts.age == float("inf")
    assert parts.feed.take(signed.EPOCH, [one, two, three, four]) == 3
    assert parts.age == 0


def test_entries_that_were_seen_change_nothing(parts: Parts, stream: Stream) -> None:
    """An old stream put back, whole or in part."""
    stream.add(3)
    parts.hear(stream.beat(parts))
    parts.feed.take(signed.EPOCH, stream.entries)
    for page in (stream.entries, stream.entries[:1], stream.entries[2:]):
        assert parts.feed.take(signed.EPOCH, page) == 0
    assert parts.feed.number == 3


def test_an_old_heartbeat_is_no_news(parts: Parts, stream: Stream) -> None:
    old = stream.beat(parts)
    assert parts.hear(old)
    parts.times.pass_by(1)
    stream.add()
    parts.hear(stream.beat(parts))
    parts.feed.take(signed.EPOCH, stream.entries)
    parts.times.pass_by(20)
    assert not parts.hear(old)
    assert parts.age == 20


def test_heartbeats_that_are_replayed_slower_and_slower_grow_old(
    parts: Parts, stream: Stream
) -> None:
    """Recorded one a second, replayed one each ten: each is newer than the one before."""
    recorded = []
    for _ in range(8):
        recorded.append(stream.beat(parts))
        parts.times.pass_by(1)
    assert parts.hear(recorded[0])
    for heartbeat in recorded[1:]:
        parts.times.pass_by(10)
        assert parts.hear(heartbeat)
    assert parts.age > 60
    assert parts.hear(stream.beat(parts), trusted=True)
    assert parts.age == 0


def test_a_server_whose_clock_is_set_back_is_not_late(parts: Parts, stream: Stream) -> None:
    """Its heartbeats are as late as before, by this machine's clock on the wall."""
    ahead = int(parts.times.wall * 1000) + 20_000
    parts.hear(stream.beat(parts, time=ahead))
    for step in range(1, 30):  # the server's clock stands until the time has caught up
        parts.times.pass_by(1)
        assert parts.hear(stream.beat(parts, time=ahead + step))
        assert parts.age < 11


def test_a_stolen_feed_key_cannot_kill_the_good_one(parts: Parts, stream: Stream) -> None:
    """The key set, fetched over TLS, decides; a heartbeat waits for it."""
    parts.trust(signed.SECOND.public_jwk, signed.THIRD.public_jwk)
    parts.hear(stream.beat(parts))
    parts.times.pass_by(1)
    lie = stream.beat(parts, key=signed.THIRD, killed_kids=[signed.SECOND.kid])
    with pytest.raises(KilledFeedKey) as raised:
        parts.feed.hear(lie, parts.times.now())
    parts.trust(signed.SECOND.public_jwk)  # the thief's key was killed at the issuer
    parts.feed.trust_feed_keys(raised.value)
    with pytest.raises(UnknownFeedKey):
        parts.feed.hear(lie, parts.times.now())
    parts.times.pass_by(1)
    truth = stream.beat(parts, killed_kids=[signed.THIRD.kid])
    assert parts.feed.hear(truth, parts.times.now())
    assert parts.age == 0


def test_a_feed_key_that_dies_in_a_later_epoch_is_asked_about_again(
    parts: Parts, stream: Stream
) -> None:
    parts.trust(signed.SECOND.public_jwk, signed.THIRD.public_jwk)
    kids = [signed.THIRD.kid]
    assert parts.hear(stream.beat(parts, killed_kids=kids))  # it is still listed
    parts.times.pass_by(1)
    later = signed.heartbeat(
        signed.genesis(signed.LATER_EPOCH),
        time=int(parts.times.wall * 1000),
        database_read_at=0,
        killed_kids=kids,
    )
    with pytest.raises(KilledFeedKey):
        parts.feed.hear(later, parts.times.now())


def test_beginning_again_is_stale_until_the_floor_was_read_to_the_head(
    parts: Parts, stream: Stream
) -> None:
    stream.add(2)
    parts.hear(stream.beat(parts))
    parts.feed.take(signed.EPOCH, stream.entries)
    parts.feed.begin_again()
    assert parts.age == float("inf")
    parts.times.pass_by(1)
    parts.hear(stream.beat(parts))
    assert parts.age == float("inf")
    parts.feed.take(signed.EPOCH, stream.entries)
    assert parts.age == 0
    assert len(parts.facts) == 1


def test_nothing_is_taken_before_the_first_heartbeat(parts: Parts, stream: Stream) -> None:
    stream.add()
    parts.feed.begin_again()
    assert parts.feed.take(signed.EPOCH, stream.entries) == 0
    assert (parts.feed.epoch, parts.feed.number, parts.age) == ("", 0, float("inf"))
    assert parts.feed.database_age(parts.times.monotonic) == float("inf")
