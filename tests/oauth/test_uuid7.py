"""UUIDv7: RFC 9562 §5.7."""

from uuid import RFC_4122, UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from service.oauth.uuid7 import RANDOM_BYTES, next_epoch, read_uuid, uuid7

TIMES = st.integers(0, (1 << 48) - 2)
RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
# What of the random bytes is used: all but the 4 bits of the version and the 2 of the variant.
USED = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)


def test_the_vector() -> None:
    """AT-4: RFC 9562 appendix A.6."""
    random = bytes.fromhex("0cc318c4dc0c0c07398f")
    assert uuid7(0x017F22E279B0, random) == UUID("017F22E2-79B0-7CC3-98C4-DC0C0C07398F")


@settings(deadline=None)
@given(TIMES, RANDOM)
def test_time_version_variant_and_74_random_bits(milliseconds: int, random: bytes) -> None:
    """AT-4."""
    made = uuid7(milliseconds, random)
    assert (made.version, made.variant) == (7, RFC_4122)
    assert made.int >> 80 == milliseconds
    assert made.int & USED == int.from_bytes(random) & USED
    assert USED.bit_count() == 74


@settings(deadline=None)
@given(TIMES, TIMES, RANDOM, RANDOM)
def test_later_ones_sort_after(one: int, other: int, random: bytes, more: bytes) -> None:
    """AT-4: as numbers, as bytes and as text."""
    first, second = uuid7(min(one, other), random), uuid7(max(one, other) + 1, more)
    assert first < second
    assert first.bytes < second.bytes
    assert str(first) < str(second)


@settings(deadline=None)
@given(TIMES, TIMES, RANDOM, RANDOM)
def test_an_epoch_sorts_after_the_one_before_it(
    before: int, now: int, random: bytes, more: bytes
) -> None:
    """Even where the clock fell back."""
    previous = uuid7(before, random)
    epoch = next_epoch(previous, now, more)
    assert epoch > previous
    assert epoch.version == 7
    assert epoch.int >> 80 == max(now, before + 1)


def test_a_uuid_has_one_spelling() -> None:
    """ATK-97: what Python would read as well is none."""
    text = "01a1fd52-3991-7b98-b0e3-b7a63839c280"
    assert str(read_uuid(text)) == text
    for other in (
        text.upper(),
        text.replace("-", ""),
        f"{{{text}}}",
        f"urn:uuid:{text}",
        f"{text} ",
    ):
        assert read_uuid(other) is None
    for other in ("", "x", "\0", "\N{ARABIC-INDIC DIGIT ONE}" * 32, text[:-1], text * 2):
        assert read_uuid(other) is None
