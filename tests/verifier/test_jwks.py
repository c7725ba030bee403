"""JWK Sets: which keys of one may verify, and what is left out. RS-6, ATK-21."""

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import example, given
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from watchword_verifier._jwks import ALGORITHMS, MAX_LENGTH, UnfitKeySet, read_key_set
from watchword_verifier._jws import CompactJws, Header

from tests.verifier.test_jws import VALUES

MAKERS = get_default_algorithms()
PRIVATE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "PS256": rsa.generate_private_key(65537, 3072),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def jwk(alg: str, /, **changes: Any) -> dict[str, Any]:
    members = MAKERS[alg].to_jwk(PRIVATE[alg].public_key(), as_dict=True)
    return {**members, "kid": alg, "alg": alg, "use": "sig", **changes}


def document(*keys: object, **more: object) -> bytes:
    return json.dumps({"keys": keys, **more}).encode()


def signed(alg: str, *, named: str, message: bytes = b"a.b") -> CompactJws:
    signature = MAKERS[alg].sign(message, PRIVATE[alg])
    return CompactJws(Header("at+jwt", named, alg), message, b"b", signature)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_key_verifies_by_its_own_algorithm_alone(alg: str) -> None:
    """ATK-3: whatever the header says, and whatever else the key could do."""
    keys = read_key_set(document(*map(jwk, sorted(ALGORITHMS))), ALGORITHMS)
    assert set(keys) == ALGORITHMS
    good = signed(alg, named=alg)
    assert keys[alg].verifies(good)
    for other in ALGORITHMS - {alg}:
        assert not keys[alg].verifies(signed(alg, named=other))
        assert not keys[alg].verifies(signed(other, named=alg))
        assert not keys[other].verifies(good)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
@given(signature=st.binary(max_size=600))
@example(signature=b"")
@example(signature=bytes(64))
@example(signature=bytes(256))
@example(signature=b"\xff" * 64)
def test_any_other_signature_is_none(alg: str, signature: bytes) -> None:
    """ATK-18: of any length; refused, not raised."""
    (key,) = read_key_set(document(jwk(alg)), ALGORITHMS).values()
    good = signed(alg, named=alg)
    forged = CompactJws(good.header, good.signing_input, good.payload, signature)
    assert not key.verifies(forged)


@pytest.mark.parametrize("alg", sorted(ALGORITHMS))
def test_a_whole_private_key_is_left_out(alg: str) -> None:
    """ATK-21: who publishes it has lost it."""
    private = {**jwk(alg, kid="private"), **MAKERS[alg].to_jwk(PRIVATE[alg], as_dict=True)}
    private.pop("key_ops", None)
    keys = read_key_set(document(private, jwk("RS256", kid="good")), ALGORITHMS)
    assert list(keys) == ["good"]


def test_only_algorithms_that_are_allowed_are_read() -> None:
    raw = document(*map(jwk, sorted(ALGORITHMS)))
    assert set(read_key_set(raw, ("ES256",))) == {"ES256"}
    with pytest.raises(UnfitKeySet):
        read_key_set(raw, ("RS384",))


def test_a_set_has_fifty_keys_and_256_kib_at_the_most() -> None:
    many = [jwk("RS256", kid=str(number)) for number in range(51)]
    assert len(read_key_set(document(*many[:50]), ALGORITHMS)) == 50
    with pytest.raises(UnfitKeySet, match="too many"):
        read_key_set(document(*many), ALGORITHMS)
    raw = document(jwk("RS256"))
    assert read_key_set(raw.ljust(MAX_LENGTH), ALGORITHMS)
    with pytest.raises(UnfitKeySet, match="too large"):
        read_key_set(raw.ljust(MAX_LENGTH + 1), ALGORITHMS)


@given(st.binary() | VALUES.map(lambda it: json.dumps({"keys": it}).encode()))
def test_any_document_is_a_set_or_unfit(raw: bytes) -> None:
    with pytest.raises(UnfitKeySet):
        read_key_set(raw, ALGORITHMS)


MEMBERS = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "d"])
TEXTS = st.sampled_from(["", "AQAB", "AQ", "A" * 700, "AA==", "!", "RSA", "EC", "OKP", "P-256"])


@given(
    st.sampled_from(sorted(ALGORITHMS)),
    st.dictionaries(MEMBERS, VALUES | TEXTS, min_size=1, max_size=3),
    st.sets(MEMBERS, max_size=2),
)
@example("RS256", {"e": "A" * 6000 + "AQ"}, set())
@example("RS256", {"n": "_" * 180_000}, set())
def test_any_member_makes_a_key_that_verifies_or_is_left_out(
    alg: str, changes: dict[str, Any], left_out: set[str]
) -> None:
    """ATK-21: the good one beside it stays, unless both have one `kid`."""
    bad = {name: it for name, it in jwk(alg, **changes).items() if name not in left_out}
    good = jwk("RS256", kid="good")
    try:
        keys = read_key_set(document(bad, good), ALGORITHMS)
    except UnfitKeySet:
        return  # nested too deeply, for one
    assert "good" in keys
    for kid, key in keys.items():
        assert (key.kid, key.alg) == (kid, key.members["alg"])
        assert "d" not in key.members
        assert not key.verifies(CompactJws(Header("", key.alg, kid), b"a.b", b"b", b"x"))
