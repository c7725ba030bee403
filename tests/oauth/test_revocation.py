"""Facts: what voids tokens, how it stands in the feed, how long it lasts. DIST-1 to DIST-7."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.revocation import (
    CLIENT_FACT_TTL,
    FACT_TTL,
    KINDS,
    MAX_TOKEN_FACTS,
    Fact,
    read_fact,
)

MOMENTS = st.datetimes(
    datetime(1970, 1, 2),  # noqa: DTZ001 (aware by `timezones`)
    datetime(9999, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
)
FACTS = st.one_of(
    st.builds(Fact, st.sampled_from(["jti", "sid"]), st.text(), st.just(0), MOMENTS),
    st.builds(
        Fact, st.sampled_from(["client", "stale"]), st.text(), st.integers(0, 2**53), MOMENTS
    ),
    st.builds(Fact, st.just("kid"), st.text(), st.just(0), st.none()),
)
AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
EXP = 1_767_323_045


@given(FACTS)
def test_fact_is_read_as_it_was_written(fact: Fact) -> None:
    """DIST-1 to DIST-7: through JSON, with the expiry rounded up to a second."""
    read = read_fact(json.loads(json.dumps(fact.as_member())))
    assert read is not None
    assert (read.kind, read.subject, read.version) == (fact.kind, fact.subject, fact.version)
    if fact.expires_at is None:
        assert read.expires_at is None
    else:
        assert read.expires_at is not None
        assert timedelta(0) <= read.expires_at - fact.expires_at <= timedelta(seconds=1)


@pytest.mark.parametrize(
    ("fact", "member"),
    [
        (Fact("jti", "j", 0, AT), {"jti": "j", "exp": EXP}),
        (Fact("sid", "s", 0, AT), {"sid": "s", "exp": EXP}),
        (Fact("client", "c", 3, AT), {"client": "c", "cep": 3, "exp": EXP}),
        (Fact("stale", "s", 4, AT), {"stale": "s", "cv": 4, "exp": EXP}),
        (Fact("kid", "k", 0, None), {"kid": "k"}),
        (Fact("jti", "j", 0, AT + timedelta(microseconds=1)), {"jti": "j", "exp": EXP + 1}),
    ],
    ids=lambda value: value.kind if isinstance(value, Fact) else None,
)
def test_member_of_each_kind(fact: Fact, member: dict[str, object]) -> None:
    """The feed's contract: never who, never why; a killed key never expires."""
    assert fact.as_member() == member
    assert {fact.kind} <= set(KINDS)


@pytest.mark.parametrize(
    "member",
    [
        *(None, 1, "jti", [], ["jti"], {}),
        {"exp": EXP},
        {"jti": "j"},
        {"jti": "j", "exp": None},
        {"jti": "j", "exp": str(EXP)},
        {"jti": "j", "exp": float(EXP)},
        {"jti": "j", "exp": True},
        {"jti": 1, "exp": EXP},
        {"jti": None, "exp": EXP},
        {"jti": "j", "sid": "s", "exp": EXP},
        {"kid": "k", "exp": EXP},
        {"kid": ["k"]},
        {"client": "c", "cep": "3", "exp": EXP},
        {"client": "c", "cep": 3.0, "exp": EXP},
        {"client": "c", "cep": True, "exp": EXP},
        {"client": "c", "cep": None, "exp": EXP},
        {"stale": "s", "cv": [], "exp": EXP},
        {"user": "u", "exp": EXP},
        {"jti": "t", "exp": 10**12},
        {"jti": "t", "exp": -1},
    ],
    ids=str,
)
def test_member_that_is_no_fact(member: object) -> None:
    """DIST-8: an entry that a verifier can't fully understand is not taken in part."""
    assert read_fact(member) is None


def test_missing_version_is_0() -> None:
    """DIST-4: missing = 0."""
    fact = read_fact({"client": "c", "exp": EXP})
    assert fact == Fact("client", "c", 0, AT)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.dictionaries(
            st.sampled_from([*KINDS, "exp", "cep", "cv"]) | st.text(), inner
        ),
        max_leaves=6,
    )
)
def test_any_member_is_a_fact_or_nothing(member: object) -> None:
    fact = read_fact(member)
    assert fact is None or (fact.kind in KINDS and isinstance(fact.subject, str))


def test_facts_outlive_the_tokens_that_they_void() -> None:
    """DIST-1, DIST-4: 600 s + 2 minutes; a client's, + 10 minutes of a cached client."""
    assert timedelta(seconds=720) == FACT_TTL
    assert timedelta(seconds=1320) == CLIENT_FACT_TTL
    assert MAX_TOKEN_FACTS == 10_000
