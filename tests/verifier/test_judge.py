"""Judging a token: remembered or not, it is as good as its key, its time and the feed say."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier import (
    BadSignature,
    Expired,
    InvalidToken,
    KeysUnavailable,
    Malformed,
    Options,
    RefreshRequired,
    Revoked,
    UnknownKey,
    VerifierError,
    WrongAudience,
)
from watchword_verifier._engine import Engine
from watchword_verifier._facts import Fact
from watchword_verifier._key_set import HARD_LIMIT

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.conftest import AUDIENCE
from tests.verifier.parts import ISSUER, Times

SIGNER, NEXT = (PrivateKey.generate() for _ in range(2))
SID = "01920f3c-1111-7222-8333-444455556666"


class Bench:
    """A judge with keys, facts and clocks that a test moves; nothing of it waits."""

    def __init__(self, **options: Any) -> None:
        self.times = Times()
        chosen = Options(issuer=ISSUER, audience=AUDIENCE, **options)
        self.engine = Engine(chosen, self.times.clock())
        self.keys, self.facts = self.engine._keys.tokens, self.engine._facts
        self.judge = self.engine._judge.judge
        self.publish(SIGNER)

    def publish(self, *signers: PrivateKey) -> None:
        keys = [signer.public_jwk for signer in signers]
        self.keys.load(json.dumps({"keys": keys}).encode(), age=0)

    def token(self, signer: PrivateKey = SIGNER, **changes: object) -> str:
        now = int(self.times.wall)
        honest = {
            "iss": ISSUER,
            "sub": "orders",
            "aud": AUDIENCE,
            "client_id": "orders",
            "scope": "a",
            "iat": now,
            "exp": now + 300,
            "jti": str(uuid4()),
            "cep": 1,
        }
        return sign(signer, "at+jwt", {**honest, **changes})


@pytest.fixture(params=[0, 10_000], ids=["remembering none", "remembering"])
def bench(request: pytest.FixtureRequest) -> Bench:
    return Bench(cache_size=request.param)


def test_a_token_is_judged_alike_as_often_as_it_comes(bench: Bench) -> None:
    token = bench.token()
    first = bench.judge(token)
    assert all(bench.judge(token) == first for _ in range(3))


def test_a_remembered_token_is_not_read_again() -> None:
    bench = Bench()
    token = bench.token()
    assert bench.judge(token) is bench.judge(token)


def test_a_refused_token_is_not_remembered() -> None:
    bench = Bench()
    forged = bench.token().rpartition(".")[0] + "." + bench.token().rpartition(".")[2]
    for token, error in (
        (forged, BadSignature),
        (bench.token(aud="other"), WrongAudience),
        (bench.token(exp=int(bench.times.wall) - 100, iat=0), Malformed),
        (bench.token(NEXT), UnknownKey),
    ):
        for _ in range(2):
            with pytest.raises(error):
                bench.judge(token)
    assert len(bench.engine._judge.cache) == 0


def test_a_remembered_token_expires(bench: Bench) -> None:
    """By the wall clock, also one that is set back and forth."""
    token = bench.token()
    assert bench.judge(token)
    bench.times.pass_by(329)
    assert bench.judge(token)
    bench.times.pass_by(1)
    with pytest.raises(Expired):
        bench.judge(token)
    bench.times.wall -= 10
    assert bench.judge(token)


@pytest.mark.parametrize(
    ("fact", "error"),
    [
        (Fact("client", "orders", 2, 9_999_999_999), Revoked),
        (Fact("sid", SID, 0, 9_999_999_999), Revoked),
        (Fact("stale", SID, 3, 9_999_999_999), RefreshRequired),
    ],
)
def test_a_remembered_token_is_revoked(bench: Bench, fact: Fact, error: type[Exception]) -> None:
    """DIST-2, DIST-4, DIST-7: at the very next request; its like from after it is good."""
    token = bench.token(sid=SID, cv=2)
    assert bench.judge(token)
    bench.facts.add(fact)
    with pytest.raises(error):
        bench.judge(token)
    later = str(uuid4()) if fact.kind == "sid" else SID
    assert bench.judge(bench.token(sid=later, cv=3, cep=2))


def test_a_remembered_token_goes_with_its_key(bench: Bench) -> None:
    """ATK-7, DIST-6: removed is unknown, killed is revoked, another key of that name is none."""
    token = bench.token()
    bench.publish(SIGNER, NEXT)
    assert bench.judge(token)
    bench.publish(NEXT)
    with pytest.raises(UnknownKey):
        bench.judge(token)
    keys = [NEXT.public_jwk, {**PrivateKey.generate().public_jwk, "kid": SIGNER.kid}]
    bench.keys.load(json.dumps({"keys": keys}).encode(), age=0)
    with pytest.raises(BadSignature):
        bench.judge(token)
    bench.publish(SIGNER, NEXT)
    assert bench.judge(token)
    bench.engine._keys.tokens.kill([SIGNER.kid])
    with pytest.raises(Revoked):
        bench.judge(token)


def test_a_remembered_token_needs_keys_that_are_young_enough(bench: Bench) -> None:
    """RS-5: 503, for good and forged ones alike."""
    bench.judge(bench.token())
    bench.times.pass_by(HARD_LIMIT - 1)
    token = bench.token()
    assert bench.judge(token)
    bench.times.pass_by(1)
    for each in (token, bench.token(NEXT), "a.b.c"):
        with pytest.raises(KeysUnavailable):
            bench.judge(each)


@pytest.mark.parametrize("token", ["a" * 16_385, "a" * 50_000_000, "ä", "\ud800", ""])
def test_what_is_no_token_costs_nothing(bench: Bench, token: str) -> None:
    """ATK-10: not even its digest."""
    with pytest.raises(Malformed):
        bench.judge(token)


BENCH = Bench()
GOOD = BENCH.token()


@given(
    st.text()
    | st.builds(
        lambda at, more: GOOD[:at] + more + GOOD[at:],
        st.integers(0, len(GOOD)),
        st.text(min_size=1),
    )
    | st.builds(
        lambda at, count: GOOD[:at] + GOOD[at + count :],
        st.integers(0, len(GOOD) - 1),
        st.integers(1, 700),
    )
)
def test_any_text_but_the_token_is_refused(text: str) -> None:
    """RS-3: and nothing but a refusal comes out of it."""
    assert BENCH.judge(GOOD)
    with pytest.raises(InvalidToken) as raised:
        BENCH.judge(text)
    assert isinstance(raised.value, VerifierError)
    assert len(str(raised.value)) < 100
