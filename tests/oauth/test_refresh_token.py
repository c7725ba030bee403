"""The refresh token's string: one spelling, proven by its MAC. RT-2, RT-12."""

import base64
import hmac
import struct
from dataclasses import replace
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.refresh_token import (
    MAX_GENERATION,
    PREFIX,
    RefreshToken,
    RefreshTokens,
    UnknownRefreshKey,
)

ISSUER = "https://auth.example.com"
KEYS = {7: bytes(range(32)), 9: b"\x09" * 32}
TOKENS = RefreshTokens(ISSUER, KEYS)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

A_TOKEN = RefreshToken(
    key_id=7,
    session_id=UUID("0191f2c8-0000-7000-8000-000000000000"),
    generation=3,
    secret=bytes(range(32, 64)),
)
TEXT = TOKENS.write(A_TOKEN)

ANY_TOKEN = st.builds(
    RefreshToken,
    key_id=st.sampled_from(sorted(KEYS)),
    session_id=st.uuids(),
    generation=st.integers(0, MAX_GENERATION),
    secret=st.binary(min_size=32, max_size=32),
)


def spell(raw: bytes) -> str:
    return "wwr_" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


def mint(*, version: int = 1, key_id: int = 7, issuer: str = ISSUER, key: bytes = KEYS[7]) -> str:
    """A token as the format's description says, worked out without the code under test."""
    body = struct.pack(">BH", version, key_id) + bytes.fromhex("0191f2c8000070008000000000000000")
    body += struct.pack(">I", 3) + bytes(range(32, 64))
    text = b"watchword refresh\x00" + issuer.encode() + b"\x00" + body
    return spell(body + hmac.digest(key, text, "sha256"))


def test_a_fixed_token_has_a_fixed_spelling() -> None:
    """The format is a contract: tokens outlive releases, and every pod must spell them alike."""
    assert mint() == TEXT
    assert TEXT == (
        "wwr_AQAHAZHyyAAAcACAAAAAAAAAAAAAAAMgISIjJCUmJygpKissLS4vMDEy"
        "MzQ1Njc4OTo7PD0-P5Zz_0bBAoeqempuoWLOEOcnWtmWW5QvWyEO4QLcsE8f"
    )


def test_the_string_is_120_characters_with_the_prefix_for_secret_scanners() -> None:
    assert len(TEXT) == 120
    assert TEXT.startswith(PREFIX)
    raw = base64.urlsafe_b64decode(TEXT.removeprefix(PREFIX))
    assert len(raw) == 87
    assert raw[0] == 1
    assert raw[1:3] == (7).to_bytes(2, "big")
    assert raw[3:19] == A_TOKEN.session_id.bytes
    assert raw[19:23] == (3).to_bytes(4, "big")
    assert raw[23:55] == A_TOKEN.secret


@given(ANY_TOKEN)
def test_a_token_is_read_as_it_was_written(token: RefreshToken) -> None:
    text = TOKENS.write(token)
    assert len(text) == 120
    assert TOKENS.read(text) == token


@given(ANY_TOKEN.filter(lambda token: token.generation < MAX_GENERATION))
def test_the_successor_follows_from_the_token_alone(token: RefreshToken) -> None:
    """RT-12: nothing is stored to answer a retry; every pod works out the very same string."""
    successor = token.successor
    assert successor == token.successor
    assert successor == replace(token, generation=token.generation + 1)
    assert TOKENS.write(successor) == RefreshTokens(ISSUER, dict(KEYS)).write(token.successor)
    assert TOKENS.write(successor) != TOKENS.write(token)


@given(ANY_TOKEN, ANY_TOKEN)
def test_two_tokens_never_have_one_spelling(one: RefreshToken, other: RefreshToken) -> None:
    assert (TOKENS.write(one) == TOKENS.write(other)) == (one == other)


def test_every_flipped_bit_is_refused() -> None:
    """ATK-57. A flipped key id names a key that is not here, which is not good either."""
    for bit in range(87 * 8):
        raw = bytearray(base64.urlsafe_b64decode(TEXT.removeprefix(PREFIX)))
        raw[bit // 8] ^= 1 << bit % 8
        if bit // 8 in (1, 2):
            with pytest.raises(UnknownRefreshKey):
                TOKENS.read(spell(bytes(raw)))
        else:
            assert TOKENS.read(spell(bytes(raw))) is None, bit


def read_or_none(text: str) -> RefreshToken | None:
    try:
        return TOKENS.read(text)
    except UnknownRefreshKey:
        return None


def test_every_changed_character_is_refused() -> None:
    """Only one spelling is good: no other case, padding, alphabet or space in any place."""
    for place, right in enumerate(TEXT):
        for other in set(f"{ALPHABET}+/= .\n\0é{right.swapcase()}") - {right}:
            changed = TEXT[:place] + other + TEXT[place + 1 :]
            assert read_or_none(changed) is None, (place, other)


@pytest.mark.parametrize(
    "text",
    [
        "",
        PREFIX,
        TEXT[:-1],
        TEXT[1:],
        TEXT + "A",
        TEXT + "=",
        TEXT + "\n",
        " " + TEXT,
        TEXT.upper(),
        TEXT.replace("wwr_", "wws_"),
        TEXT.replace("wwr_", "WWR_"),
        TEXT.removeprefix(PREFIX),
        "wwr_" + TEXT.removeprefix(PREFIX)[::-1],
        PREFIX + "A" * 116,
        PREFIX + "/" * 116,
        PREFIX + "é" * 116,
        "\ud800" * 120,
        "0" * 10_000,
    ],
)
def test_another_spelling_is_no_token(text: str) -> None:
    assert read_or_none(text) is None


@given(st.one_of(st.text(max_size=130), st.text(ALPHABET, min_size=116, max_size=116)))
def test_no_text_makes_the_reader_fail(text: str) -> None:
    """ATK-57: guesses are refused before the database hears of them."""
    assert read_or_none(text) is None
    assert read_or_none(PREFIX + text) is None


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_though_its_mac_is_right(version: int) -> None:
    assert TOKENS.read(mint(version=version)) is None


def test_an_unknown_key_id_is_named_before_the_mac_is_looked_at() -> None:
    """A roll-out of master keys: another pod may have it. No key, no MAC to compare."""
    for key in (KEYS[7], b"?" * 32):
        with pytest.raises(UnknownRefreshKey) as raised:
            TOKENS.read(mint(key_id=8, key=key))
        assert raised.value.key_id == 8


def test_an_unknown_key_id_in_another_version_is_no_token() -> None:
    assert TOKENS.read(mint(version=2, key_id=8)) is None


def test_a_token_under_another_key_of_the_same_id_is_refused() -> None:
    assert TOKENS.read(mint(key=b"?" * 32)) is None


def test_a_token_of_another_key_id_under_this_key_is_refused() -> None:
    """The key id is under the MAC too."""
    assert TOKENS.read(mint(key_id=9)) is None


@pytest.mark.parametrize(
    "issuer", ["https://auth.example.co", "https://auth.example.com/", "", f"{ISSUER}\0"]
)
def test_a_token_of_another_issuer_is_refused(issuer: str) -> None:
    """Two servers may share master keys by mistake; their tokens stay apart (ATK-102)."""
    assert TOKENS.read(mint(issuer=issuer)) is None


def test_every_key_reads_its_own_tokens_and_a_successor_keeps_its_key() -> None:
    """A new current key changes no session: the successor must be the same on every pod."""
    for key_id in KEYS:
        token = replace(A_TOKEN, key_id=key_id)
        assert TOKENS.read(TOKENS.write(token.successor)) == token.successor
        assert token.successor.key_id == key_id


def test_the_database_knows_the_secret_by_its_digest_alone() -> None:
    assert A_TOKEN.secret_digest == sha256(bytes(range(32, 64))).digest()


def test_a_token_shows_no_secret_where_it_is_printed() -> None:
    """ATK-96: not in a log line or a traceback."""
    assert "secret=" not in repr(A_TOKEN)
    assert repr(A_TOKEN.secret) not in repr(A_TOKEN)
