"""The feed's contract: entries in a hash chain, and the heartbeat. DIST-8."""

import json
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.feed import (
    Head,
    Heartbeat,
    entry_claims,
    genesis,
    heartbeat_claims,
    milliseconds,
    next_head,
    read_entry,
    read_heartbeat,
)
from service.oauth.jws import encode_base64url
from service.oauth.revocation import Fact, from_seconds, read_fact

ISSUER = "https://auth.example.com"
EPOCH = "0191f2c8-0000-7000-8000-000000000000"
AT = from_seconds(1_767_323_045)

NUMBERS = st.integers(0, 2**53)
FACTS = st.one_of(
    st.builds(Fact, st.sampled_from(["jti", "sid"]), st.text(), st.just(0), st.just(AT)),
    st.builds(Fact, st.sampled_from(["client", "stale"]), st.text(), NUMBERS, st.just(AT)),
    st.builds(Fact, st.just("kid"), st.text(), st.just(0), st.none()),
)
HEARTBEATS = st.builds(
    Heartbeat,
    epoch=st.uuids().map(str),
    head=NUMBERS,
    digest=st.binary(min_size=32, max_size=32).map(encode_base64url),
    floor=NUMBERS,
    time=NUMBERS,
    database_read_at=NUMBERS,
    killed_kids=st.lists(st.text(), max_size=3).map(tuple),
)
HEARTBEAT = Heartbeat(EPOCH, 3, "digest", 1, 1_767_323_045_000, 1_767_323_044_000, ("k",))


@given(
    st.uuids().map(str), NUMBERS, st.binary(min_size=32, max_size=32), st.lists(FACTS, max_size=4)
)
def test_entry_is_read_as_it_was_written(
    epoch: str, number: int, digest: bytes, facts: list[Fact]
) -> None:
    """DIST-8: through JSON; it follows the head in number and names its digest."""
    claims = json.loads(json.dumps(entry_claims(ISSUER, Head(epoch, number, digest), facts)))
    entry = read_entry(claims, ISSUER)
    assert entry is not None
    assert (entry.epoch, entry.number) == (epoch, number + 1)
    assert entry.prev == encode_base64url(digest)
    assert list(entry.facts) == [read_fact(fact.as_member()) for fact in facts]


@given(HEARTBEATS)
def test_heartbeat_is_read_as_it_was_written(heartbeat: Heartbeat) -> None:
    """DIST-8: through JSON."""
    claims = json.loads(json.dumps(heartbeat_claims(ISSUER, heartbeat)))
    assert read_heartbeat(claims, ISSUER) == heartbeat


def test_chain_begins_with_the_epoch_and_goes_on_with_the_signed_bytes() -> None:
    """DIST-8: an entry names the digest of the one before; the first, that of the epoch's text."""
    head = genesis(EPOCH)
    assert head == Head(EPOCH, 0, sha256(EPOCH.encode()).digest())
    first = entry_claims(ISSUER, head, [Fact("jti", "j", 0, AT)])
    assert first == {
        "iss": ISSUER,
        "epoch": EPOCH,
        "n": 1,
        "prev": encode_base64url(sha256(EPOCH.encode()).digest()),
        "facts": [{"jti": "j", "exp": 1_767_323_045}],
    }
    head = next_head(head, "signed.bytes.one")
    assert head == Head(EPOCH, 1, sha256(b"signed.bytes.one").digest())
    assert next_head(head, "signed.bytes.two").number == 2
    assert next_head(head, "signed.bytes.two").digest == sha256(b"signed.bytes.two").digest()


ENTRY = entry_claims(ISSUER, genesis(EPOCH), [Fact("jti", "j", 0, AT)])


@pytest.mark.parametrize(
    "changes",
    [
        *({"iss": value} for value in (..., None, ISSUER + "/", [ISSUER])),
        *({"epoch": value} for value in (..., None, 1, [EPOCH])),
        *({"n": value} for value in (..., None, "1", 1.0, True)),
        *({"prev": value} for value in (..., None, 1, b"")),
        *({"facts": value} for value in (..., None, {}, "x", [1], [{}], [*ENTRY["facts"], {}])),
    ],
    ids=str,
)
def test_entry_that_is_none(changes: dict[str, object]) -> None:
    """DIST-8, ATK-107: of another issuer or shape; one bad fact refuses the whole entry."""
    assert read_entry(ENTRY, ISSUER) is not None
    assert read_entry(_changed(ENTRY, changes), ISSUER) is None


@pytest.mark.parametrize(
    "changes",
    [
        *({"iss": value} for value in (..., None, ISSUER + "/", [ISSUER])),
        *({name: value} for name in ("epoch", "digest") for value in (..., None, 1)),
        *(
            {name: value}
            for name in ("head", "floor", "time", "database_read_at")
            for value in (..., None, "1", 1.0, True)
        ),
        *({"killed_kids": value} for value in (..., None, "k", {}, [1], ["k", None])),
    ],
    ids=str,
)
def test_heartbeat_that_is_none(changes: dict[str, object]) -> None:
    """DIST-8, ATK-107."""
    claims = heartbeat_claims(ISSUER, HEARTBEAT)
    assert read_heartbeat(claims, ISSUER) == HEARTBEAT
    assert read_heartbeat(_changed(claims, changes), ISSUER) is None


def _changed(claims: dict[str, object], changes: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in (claims | changes).items() if value is not ...}


def test_epoch_then_number_then_time_rise() -> None:
    """DIST-8, ATK-107: a rollback is seen by comparing; a new epoch's numbers begin at 1."""
    later_epoch = "0191f2c8-0001-7000-8000-000000000000"
    orders = [
        Heartbeat(epoch, head, "d", 1, time, 0, ()).order
        for epoch in (EPOCH, later_epoch)
        for head in (9, 10)
        for time in (1, 2)
    ]
    assert orders == sorted(orders)
    assert len(set(orders)) == 8


@given(st.integers(0, 4_000_000_000))
def test_moments_and_numbers_agree(seconds: int) -> None:
    """A heartbeat's times are milliseconds, a fact's expiry is seconds."""
    assert milliseconds(from_seconds(seconds)) == seconds * 1000
