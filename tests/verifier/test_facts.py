"""Live facts: found as long as they matter, dropped after, whatever their number."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier import RefreshRequired, Revoked
from watchword_verifier._facts import Fact, Facts, Subject, UnknownFact, key_of, read_fact

NAMES = ("a", "b", str(UUID(int=1)), str(UUID(int=2)))
FACTS = st.one_of(
    st.builds(
        Fact,
        st.sampled_from(["jti", "sid"]),
        st.sampled_from(NAMES),
        st.just(0),
        st.integers(0, 100),
    ),
    st.builds(
        Fact,
        st.sampled_from(["client", "stale"]),
        st.sampled_from(NAMES),
        st.integers(0, 3),
        st.integers(0, 100),
    ),
)
TOKENS = st.tuples(
    st.sampled_from(NAMES),
    st.one_of(st.none(), st.sampled_from(NAMES)),
    st.sampled_from(NAMES),
    st.integers(0, 3),
    st.integers(0, 3),
)


def subject(token: tuple[str, str | None, str, int, int]) -> Subject:
    jti, sid, client, cep, cv = token
    return Subject(key_of(jti), None if sid is None else key_of(sid), client, cep, cv)


def plainly(facts: list[Fact], token: tuple[str, str | None, str, int, int]) -> object:
    """The contract, word by word."""
    jti, sid, client, cep, cv = token
    verdict = None
    for fact in facts:
        if (fact.kind, fact.subject) in (("jti", jti), ("sid", sid)):
            return Revoked
        if (fact.kind, fact.subject) == ("client", client) and cep < fact.version:
            return Revoked
        if (fact.kind, fact.subject) == ("stale", sid) and cv < fact.version:
            verdict = RefreshRequired
    return verdict


@given(st.lists(FACTS, max_size=30), st.lists(TOKENS, max_size=10), st.integers(-10, 140))
def test_facts_are_what_the_contract_says(facts: list[Fact], tokens: list, now: int) -> None:
    """What still matters is found; beyond that nothing but what covers it is kept."""
    live, leeway = Facts(), 10
    for fact in facts:
        live.add(fact)
    for token in tokens:
        assert live.judge(subject(token)) is plainly(facts, token)
    while live.drop_expired(now, leeway, limit=2):
        pass
    left = [fact for fact in facts if fact.expires_at is None or fact.expires_at >= now - leeway]
    keys = {(fact.kind, fact.subject) for fact in left}
    assert len(live) == len(keys)
    for token in tokens:
        lost = plainly(left, token)
        told = live.judge(subject(token))
        assert told is lost or lost is not Revoked  # a higher version may outlive its own fact
        if lost is Revoked:
            assert told is Revoked


def test_a_million_names_of_one_second_are_dropped_in_portions() -> None:
    facts = Facts()
    for _ in range(25_000):
        facts.add(Fact("jti", str(uuid4()), 0, 100))
    dropped = [facts.drop_expired(1000, 30) for _ in range(4)]
    assert dropped == [10_000, 10_000, 5_000, 0]
    assert len(facts) == 0


@pytest.mark.parametrize(("kind", "error"), [("client", Revoked), ("stale", RefreshRequired)])
def test_a_lower_version_takes_no_higher_one_back(kind: str, error: object) -> None:
    """DIST-9: facts only add up."""
    facts = Facts()
    for version in (1, 3, 2):
        facts.add(Fact(kind, "a", version, 100))
    for version in range(5):
        verdict = facts.judge(Subject("j", "a", "a", version, version))
        assert verdict is (error if version < 3 else None)


def test_a_fact_that_comes_again_lives_as_long_as_the_later() -> None:
    facts = Facts()
    for expiry in (100, 200, 150):
        facts.add(Fact("jti", "a", 0, expiry))
    facts.drop_expired(190, 10)
    assert facts.judge(Subject("a", None, "c", 0, 0)) is Revoked
    facts.drop_expired(211, 10)
    assert facts.judge(Subject("a", None, "c", 0, 0)) is None


@pytest.mark.parametrize(
    "member",
    [
        *(None, 1, "a", [], {}, {"exp": 1}, {"user": "a", "exp": 1}),
        *({"jti": 1, "exp": 1}, {"jti": "a"}, {"jti": "a", "exp": 1.5}, {"jti": "a", "exp": True}),
        *({"jti": "a", "exp": None}, {"jti": "a", "sid": "b", "exp": 1}),
        *({"client": "a", "exp": 1}, {"client": "a", "cep": "1", "exp": 1}),
        *({"stale": "a", "exp": 1}, {"stale": "a", "cv": True, "exp": 1}),
        *({"kid": "a", "exp": 1}, {"kid": ["a"]}),
    ],
)
def test_what_is_no_fact_is_refused(member: object) -> None:
    with pytest.raises(UnknownFact):
        read_fact(member)


@given(st.uuids(), st.text(max_size=40))
def test_uuids_are_told_apart_from_all_else(one: UUID, other: str) -> None:
    assert key_of(str(one)) == one.int
    assert key_of(other) == other or len(other) == 36


@pytest.mark.parametrize("text", ["x" * 36, "-" * 36, "01920f3c-9b10-7abc-8def-0123456789ag"])
def test_a_name_as_long_as_a_uuid_is_a_name(text: str) -> None:
    assert key_of(text) == text
