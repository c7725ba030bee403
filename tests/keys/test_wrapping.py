"""Private keys at rest: AES-256-GCM, bound to what they are for. JWKS-7."""

import pytest

from service.keys.wrapping import UnwrapError, associated_data, unwrap, wrap

MASTER_KEY = bytes(range(32))
PLAIN = b"a private key"
BOUND_TO = associated_data("https://auth.example.com", "token", "RS256", "kid-1")


def test_what_is_wrapped_unwraps() -> None:
    assert unwrap(MASTER_KEY, wrap(MASTER_KEY, PLAIN, BOUND_TO), BOUND_TO) == PLAIN
    assert unwrap(MASTER_KEY, wrap(MASTER_KEY, b"", BOUND_TO), BOUND_TO) == b""


def test_wrapped_key_shows_nothing_and_never_repeats() -> None:
    """A nonce of 12 random bytes, ciphertext, a tag of 16."""
    wrapped = {wrap(MASTER_KEY, PLAIN, BOUND_TO) for _ in range(50)}
    assert len({each[:12] for each in wrapped}) == 50
    assert {len(each) for each in wrapped} == {12 + len(PLAIN) + 16}
    assert not any(PLAIN in each for each in wrapped)


def test_any_flipped_bit_is_refused() -> None:
    """In the nonce, the ciphertext and the tag."""
    wrapped = wrap(MASTER_KEY, PLAIN, BOUND_TO)
    for bit in range(len(wrapped) * 8):
        flipped = bytearray(wrapped)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnwrapError):
            unwrap(MASTER_KEY, bytes(flipped), BOUND_TO)


def test_any_other_length_is_refused() -> None:
    wrapped = wrap(MASTER_KEY, PLAIN, BOUND_TO)
    for length in range(len(wrapped)):
        with pytest.raises(UnwrapError):
            unwrap(MASTER_KEY, wrapped[:length], BOUND_TO)
    with pytest.raises(UnwrapError):
        unwrap(MASTER_KEY, wrapped + b"\0", BOUND_TO)


def test_any_flipped_bit_of_the_master_key_is_refused() -> None:
    wrapped = wrap(MASTER_KEY, PLAIN, BOUND_TO)
    for bit in range(256):
        other = bytearray(MASTER_KEY)
        other[bit // 8] ^= 1 << bit % 8
        with pytest.raises(UnwrapError):
            unwrap(bytes(other), wrapped, BOUND_TO)


@pytest.mark.parametrize(
    "other",
    [
        ("https://auth.example.org", "token", "RS256", "kid-1"),
        ("https://auth.example.com/", "token", "RS256", "kid-1"),
        ("https://auth.example.com", "feed", "RS256", "kid-1"),
        ("https://auth.example.com", "token", "PS256", "kid-1"),
        ("https://auth.example.com", "token", "RS256", "kid-2"),
        ("https://auth.example.com", "token", "RS256", ""),
        ("https://auth.example.comtoken", "", "RS256", "kid-1"),
        ("https://auth.example.com", "tokenRS256", "", "kid-1"),
    ],
    ids="-".join,
)
def test_key_unwraps_for_nothing_else(other: tuple[str, str, str, str]) -> None:
    """Issuer, purpose, algorithm and kid are bound, each by itself."""
    wrapped = wrap(MASTER_KEY, PLAIN, BOUND_TO)
    with pytest.raises(UnwrapError):
        unwrap(MASTER_KEY, wrapped, associated_data(*other))
