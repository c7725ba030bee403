"""PKCE: RFC 7636."""

import string
from base64 import urlsafe_b64encode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth import pkce as module
from service.oauth.pkce import challenge_fault, is_verifier, proves

# RFC 7636 appendix B
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"

SIGNS = string.ascii_letters + string.digits + "-._~"
VERIFIERS = st.text(SIGNS, min_size=43, max_size=128)


def test_the_vector_of_the_rfc() -> None:
    """AC-3: RFC 7636 appendix B."""
    assert proves(VERIFIER, CHALLENGE)
    assert challenge_fault(CHALLENGE, "S256") is None


@given(VERIFIERS, VERIFIERS)
def test_a_verifier_proves_its_own_challenge_and_no_other(one: str, other: str) -> None:
    """AC-3: RFC 7636 §4.6."""
    challenge = urlsafe_b64encode(sha256(one.encode()).digest()).decode().rstrip("=")
    assert challenge_fault(challenge, "S256") is None
    assert proves(one, challenge)
    assert proves(other, challenge) == (one == other)


@given(st.text())
def test_what_is_no_verifier_proves_nothing(text: str) -> None:
    """AC-3: not even the challenge that is its SHA-256."""
    challenge = urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")
    assert proves(text, challenge) == is_verifier(text)


def test_a_verifier_has_43_to_128_unreserved_characters() -> None:
    """AC-3: RFC 7636 §4.1."""
    assert {chr(code) for code in range(0x250) if is_verifier(chr(code) * 43)} == set(SIGNS)
    lengths = [length for length in range(200) if is_verifier("a" * length)]
    assert lengths == list(range(43, 129))
    assert not is_verifier("a" * 43 + "\n")


@pytest.mark.parametrize("verifier", ["", CHALLENGE, VERIFIER[:-1], VERIFIER + "=", VERIFIER * 3])
def test_another_verifier_proves_nothing(verifier: str) -> None:
    """AC-3, ATK-46: the challenge itself neither, which who sees the request has."""
    assert not proves(verifier, CHALLENGE)


def test_challenges_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """AC-3, ATK-40."""
    seen: list[bytes] = []
    monkeypatch.setattr(module, "compare_digest", lambda a, b: not seen.append(b) and a == b)
    assert proves(VERIFIER, CHALLENGE)
    assert seen == [CHALLENGE.encode()]


@pytest.mark.parametrize("challenge", [CHALLENGE, VERIFIER, None])
@pytest.mark.parametrize("method", [None, "", "plain", "s256", "S256 ", "S512", "none"])
def test_another_method_is_refused(challenge: str | None, method: str | None) -> None:
    """AC-2, ATK-45: left out, it would mean `plain`."""
    assert challenge_fault(challenge, method)


@pytest.mark.parametrize(
    "challenge",
    [
        None,
        "",
        CHALLENGE[:-1],
        CHALLENGE + "A",
        CHALLENGE + "=",
        CHALLENGE + "\n",
        CHALLENGE[:-1] + "~",
        CHALLENGE[:-1] + "+",
        CHALLENGE[:-1] + "é",
    ],
)
def test_no_challenge(challenge: str | None) -> None:
    """AC-2, ATK-45: missing, 42 and 44 characters, padded, of another alphabet."""
    assert challenge_fault(challenge, "S256")
