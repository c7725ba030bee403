"""Compact JWS: read in one way, or not at all. RS-3."""

import json
from base64 import urlsafe_b64decode
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier import Malformed
from watchword_verifier._jws import (
    MAX_TOKEN_LENGTH,
    digest,
    parse_compact,
    parse_json_object,
    parse_payload,
)

from service.oauth.jws import encode_base64url

HEADER = b'{"alg":"RS256","kid":"a","typ":"at+jwt"}'
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Half characters are no text.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda it: st.lists(it, max_size=3) | st.dictionaries(st.text(max_size=3), it, max_size=3),
    max_leaves=8,
)


def compact(header: bytes = HEADER, payload: bytes = b"{}", signature: bytes = b"x") -> str:
    return ".".join(encode_base64url(it) for it in (header, payload, signature))


def test_its_parts_are_those_that_were_joined() -> None:
    text = compact(payload=b'{"a":1}', signature=b"\0\xff")
    jws = parse_compact(text)
    assert (jws.header.alg, jws.header.kid, jws.header.typ) == ("RS256", "a", "at+jwt")
    assert jws.signing_input == text.rpartition(".")[0].encode()
    assert (jws.payload, jws.signature) == (b'{"a":1}', b"\0\xff")


@given(
    st.text()
    | st.text(ALPHABET + ".=+/ ", max_size=60)
    | st.builds(compact, st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=9))
)
def test_any_text_is_read_or_malformed(text: str) -> None:
    """ATK-19, ATK-20: nothing else comes out of it, and what is read has no other spelling."""
    try:
        jws = parse_compact(text)
        parse_payload(jws.payload)
    except Malformed:
        return
    head = text.partition(".")[0]
    assert text == ".".join([head, encode_base64url(jws.payload), encode_base64url(jws.signature)])


@given(st.data())
def test_another_spelling_is_another_token(data: st.DataObject) -> None:
    """ATK-19: one character changed, left out or put in never leaves the same parts."""
    text = compact(payload=data.draw(st.binary(min_size=1, max_size=9)))
    before = parse_compact(text)
    at = data.draw(st.integers(0, len(text)))
    more = data.draw(st.sampled_from(["", *ALPHABET, ".", "=", "\n", "+", "ä"]))
    other = text[:at] + more + text[at + data.draw(st.integers(0, 1)) :]
    try:
        after = parse_compact(other)
    except Malformed:
        return
    assert other == text or after != before


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_unused_bits_are_zero(place: int, length: int) -> None:
    """ATK-19: of all last characters for the same bytes one is good."""
    raws = [HEADER.ljust(42 + length), b"a" * length, b"a" * length]
    segments = compact(*raws).split(".")
    good = []
    for last in ALPHABET:
        segment = segments[place][:-1] + last
        if decode_base64url_laxly(segment) == raws[place]:
            try:
                parse_compact(".".join([*segments[:place], segment, *segments[place + 1 :]]))
            except Malformed:
                continue
            good.append(segment)
    assert good == [segments[place]]


def decode_base64url_laxly(segment: str) -> bytes:
    return urlsafe_b64decode(segment + "=" * (-len(segment) % 4))


@pytest.mark.parametrize("over", [0, 1])
def test_its_length_has_a_limit(over: int) -> None:
    """ATK-10: 16 KiB, to the character."""
    texts = (
        compact(payload=b"a" * (12_100 + one), signature=b"b" * other)
        for one in range(3)
        for other in range(1, 200)
    )
    text = next(it for it in texts if len(it) == MAX_TOKEN_LENGTH + over)
    if over:
        with pytest.raises(Malformed, match="too long"):
            parse_compact(text)
    else:
        assert parse_compact(text)
    assert parse_compact(text, max_length=MAX_TOKEN_LENGTH + 1)


@given(st.binary() | st.text().map(str.encode) | VALUES.map(lambda it: json.dumps(it).encode()))
def test_any_bytes_are_an_object_or_malformed(raw: bytes) -> None:
    """LIB-3: a number too long, half a character, whatever it is."""
    try:
        parse_json_object(raw, max_depth=4)
    except Malformed:
        return
    json.loads(raw).keys()


@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), VALUES, max_size=4))
def test_every_object_is_read(value: dict[str, object]) -> None:
    """In either spelling of what is not ASCII."""
    for is_ascii in (True, False):
        raw = json.dumps(value, ensure_ascii=is_ascii).encode()
        assert parse_json_object(raw, max_depth=50) == value


@pytest.mark.parametrize(
    "raw",
    [
        *(b'{"a":1,"a":1}', b'{"a":{"b":1,"b":2}}', b'{"\\u0061":1,"a":2}', b'{"a":NaN}'),
        *(b'{"a":Infinity}', b'{"a":-Infinity}', b'{"a":"\\ud800"}', b'{"\\udfff":1}'),
        *(b"\xef\xbb\xbf{}", b"{}{}", b"{},", b'{"a":"\xff"}', b"{'a':1}", b'{"a":01}'),
        *(b'{"a":' + b"9" * 4301 + b"}", b"[" * 100_000, b'{"a":' * 100_000, b'{"a":"\n"}'),
    ],
    ids=lambda raw: f"{raw[:20]!r}",
)
def test_what_can_be_read_in_two_ways_is_malformed(raw: bytes) -> None:
    """ATK-9, ATK-10, ATK-20."""
    with pytest.raises(Malformed):
        parse_json_object(raw, max_depth=50)


@pytest.mark.parametrize(("open_", "close"), [("[", "]"), ('{"a":', "}")])
def test_depth_counts_what_is_open_at_once(open_: str, close: str) -> None:
    """ATK-10: many brackets side by side are not deep."""
    deep = f'{{"a":{open_ * 3}1{close * 3}}}'.encode()
    assert parse_json_object(deep, max_depth=4)
    with pytest.raises(Malformed, match="deep"):
        parse_json_object(deep, max_depth=3)
    wide = f'{{"a":[{",".join([f"{open_}1{close}"] * 50)}]}}'.encode()
    assert parse_json_object(wide, max_depth=3)


@given(st.text())
def test_a_digest_is_sha_256_as_the_server_writes_it(text: str) -> None:
    raw = text.encode("utf-8", "replace").decode()
    assert digest(raw) == encode_base64url(sha256(raw.encode()).digest())
