"""UUIDv7 (RFC 9562 §5.7): time-ordered ids for tokens, sessions and feed epochs."""

from uuid import UUID

RANDOM_BYTES = 10


def uuid7(milliseconds: int, random: bytes) -> UUID:
    """A UUIDv7 of a Unix time in milliseconds and 10 random bytes, of which 74 bits are used."""
    number = (milliseconds & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random)
    number = number & ~(0xF << 76) | 0x7 << 76
    return UUID(int=number & ~(0x3 << 62) | 0x2 << 62)


def read_uuid(text: str) -> UUID | None:
    """The UUID that is written so; None for any other spelling, and for what is none."""
    try:
        found = UUID(text)
    except ValueError:
        return None
    return found if str(found) == text else None


def unix_milliseconds(uuid: UUID) -> int:
    """The Unix time in milliseconds at which a UUIDv7 was made."""
    return uuid.int >> 80


def next_epoch(previous: UUID, milliseconds: int, random: bytes) -> UUID:
    """An epoch's id that sorts after the previous one's, even where the clock fell back."""
    return uuid7(max(milliseconds, unix_milliseconds(previous) + 1), random)
