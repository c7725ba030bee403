"""Compact JWS, read strictly: RFC 7515, RS-3."""

import json
import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.jws import (
    MAX_HEADER_LENGTH,
    MAX_TOKEN_LENGTH,
    CompactJws,
    decode_base64url,
    encode_base64url,
    parse_compact,
    parse_json_object,
    parse_payload,
)

# RFC 7515 Appendix A.2.1, an RS256 signature over the claims of A.1.
RFC_7515_A2 = (
    "eyJhbGciOiJSUzI1NiJ9"
    ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
    "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
    ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7"
    "AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4"
    "BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K"
    "0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqv"
    "hJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrB"
    "p0igcN_IoypGlUPQGe77Rw"
)


def compact(header: bytes, payload: bytes = b"{}", signature: bytes = b"s") -> str:
    return ".".join(map(encode_base64url, (header, payload, signature)))


SEGMENTS = st.text(string.ascii_letters + string.digits + "-_=+/. \n\0é", max_size=40)
HEADERS = st.dictionaries(st.text(max_size=5), st.none() | st.integers() | st.text(max_size=5)).map(
    lambda members: encode_base64url(json.dumps(members).encode())
)
ENCODED = st.binary(max_size=40).map(encode_base64url)


@given(
    st.text()
    | st.lists(SEGMENTS | HEADERS | ENCODED, max_size=6).map(".".join)
    | st.tuples(HEADERS, ENCODED, ENCODED).map(".".join)
)
def test_any_text_is_nothing_or_a_jws_that_encodes_to_the_same_text(text: str) -> None:
    """RS-3, ATK-19: one spelling a token, whatever the text; never an exception."""
    jws = parse_compact(text)
    if jws is None:
        return
    assert f"{jws.signing_input.decode()}.{encode_base64url(jws.signature)}" == text
    header, payload = jws.signing_input.decode().split(".")
    assert encode_base64url(jws.payload) == payload
    assert json.loads(decode_base64url(header) or b"") == jws.header


@given(st.binary(min_size=1), st.binary(min_size=1))
def test_what_is_encoded_is_read_again(payload: bytes, signature: bytes) -> None:
    """RS-3: any payload and signature bytes."""
    jws = parse_compact(compact(b'{"alg":"RS256"}', payload, signature))
    assert jws is not None
    assert (jws.header, jws.payload, jws.signature) == ({"alg": "RS256"}, payload, signature)


def test_vector_of_rfc_7515() -> None:
    """RFC 7515 Appendix A.2."""
    jws = parse_compact(RFC_7515_A2)
    assert jws is not None
    assert jws.header == {"alg": "RS256"}
    assert jws.signing_input.decode() == RFC_7515_A2.rpartition(".")[0]
    assert jws.signature[:3] == bytes([112, 46, 33])
    claims = {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}
    assert parse_payload(jws.payload) == claims


@pytest.mark.parametrize("position", range(0, len(RFC_7515_A2), 37))
def test_character_outside_the_alphabet_is_refused_anywhere(position: int) -> None:
    """RS-3, ATK-19."""
    for character in '=+/ \n\t\0{"é\u2028．':  # noqa: RUF001 (a full stop that is none)
        before, after = RFC_7515_A2[:position], RFC_7515_A2[position + 1 :]
        assert parse_compact(before + character + after) is None
        assert parse_compact(before + character + RFC_7515_A2[position:]) is None


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "...", "a", "a.b", "a.b.c.d", ".e30.e30", "e30..e30", "e30.e30."),
        *("e30.e30.e30.", ".e30.e30.e30", "e30.e30.e30.e30.e30", "e30.e30.e30\n", "a.e30.e30"),
        *("e30.A.e30", "e30.e30.A", "e30.e30.AB"),  # 6 bits, 6 bits, unused bits set
    ],
)
def test_other_than_three_canonical_segments_is_refused(text: str) -> None:
    """RS-3, ATK-19, ATK-20."""
    assert parse_compact(text) is None


@pytest.mark.parametrize(
    "header",
    [
        *(b"", b"[]", b'"x"', b"null", b"1", b"{", b"{}x", b'{"alg":}', b"{'alg':1}", b"\xff"),
        *(b'{"alg":"a","alg":"a"}', b'{"x":{"a":1,"a":2}}', b'{"alg":"a","\\u0061lg":"b"}'),
        *(b'{"x":NaN}', b'{"x":Infinity}', b'{"x":-Infinity}', b'{"x":' + b"9" * 1500 + b"e}"),
        *(b'{"crit":[]}', b'{"crit":["exp"]}', b'{"crit":null}', b'{"b64":false}', b'{"b64":true}'),
        *('{"a":1}'.encode(encoding) for encoding in ("utf-8-sig", "utf-16", "utf-32-le")),
        b'{"x":' + b"[" * 8 + b"]" * 8 + b"}",
    ],
    ids=repr,
)
def test_header_that_we_never_write_is_refused(header: bytes) -> None:
    """RS-3, ATK-8, ATK-9, ATK-20, ATK-24."""
    assert parse_compact(compact(header)) is None


def test_header_goes_8_deep_and_claims_16() -> None:
    """RS-3: the limit is exact."""
    deepest = b'{"x":' + b"[" * 7 + b"]" * 7 + b"}"
    assert parse_compact(compact(deepest)) is not None
    assert parse_payload(b'{"x":' + b"[" * 15 + b"]" * 15 + b"}") is not None
    assert parse_payload(b'{"x":' + b"[" * 16 + b"]" * 16 + b"}") is None
    assert parse_payload(b'{"x":[' + b'{"y":[' * 8 + b"]}" * 8 + b"]}") is None


def test_lengths_are_bounded() -> None:
    """RS-3, ATK-10: 16 KiB a token, 2 KiB its header; beyond, nothing is decoded."""
    longest = "e30." + "A" * (MAX_TOKEN_LENGTH - 8) + ".AAA"[:4]
    assert len(longest) == MAX_TOKEN_LENGTH == 16384
    assert parse_compact(longest) is not None
    assert parse_compact("e30.A" + longest[4:]) is None
    assert parse_compact("A" * 5_000_000) is None
    for length, refused in ((MAX_HEADER_LENGTH, False), (MAX_HEADER_LENGTH + 4, True)):
        header = b'{"x":"' + b"x" * (length * 3 // 4 - 8) + b'"}'
        assert len(encode_base64url(header)) == length
        assert (parse_compact(compact(header)) is None) == refused


def test_longer_text_is_read_where_the_caller_says_so() -> None:
    """The feed's entries may be longer than tokens."""
    text = compact(b"{}", b"x" * MAX_TOKEN_LENGTH)
    assert parse_compact(text) is None
    assert parse_compact(text, max_length=2 * MAX_TOKEN_LENGTH) is not None


@pytest.mark.parametrize(
    "payload",
    [
        b"[" * 100_000,
        b'{"x":' * 100_000,
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"x":' + b"9" * 5_000 + b"}",
        b'{"x":-' + b"9" * 5_000 + b"}",
    ],
    ids=["arrays", "objects", "closed", "digits", "minus"],
)
def test_hostile_sizes_are_refused_without_a_trace(payload: bytes) -> None:
    """ATK-10, LIB-4: neither RecursionError nor ValueError comes out."""
    assert parse_payload(payload) is None


@pytest.mark.parametrize(
    "payload", [b"[]", b'"x"', b"null", b"", b"1", b"true", b"\0", b"\xef\xbb\xbf{}"]
)
def test_claims_are_an_object(payload: bytes) -> None:
    """ATK-24."""
    assert parse_payload(payload) is None
    assert parse_payload(b"{}") == {}


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_object_is_read_as_it_was_written(value: object) -> None:
    """RS-3: strictness refuses no honest JSON."""
    raw = json.dumps({"x": value}, ensure_ascii=False).encode(errors="surrogatepass")
    assert parse_json_object(raw, max_depth=16) in ({"x": value}, None)
    assert parse_json_object(json.dumps({"x": value}).encode(), max_depth=100) == {"x": value}


@pytest.mark.parametrize(
    ("kid", "known"),
    [
        *(
            ("a", "a"),
            ("A-Z_0.9", "A-Z_0.9"),
            ("k" * 128, "k" * 128),
            ("k" * 129, None),
            ("", None),
        ),
        *((1, None), (True, None), (None, None), (["a"], None), ({"a": 1}, None), ("a\0b", None)),
        *(("../../dev/null", None), ("' OR 1=1--", None), ("a\n", None), ("é", None), ("１", None)),  # noqa: RUF001
        *(("\ud800", None), ("a b", None), ("/etc/passwd", None)),
    ],
    ids=lambda value: f"{value!a:.20}",
)
def test_kid_is_a_short_plain_text_or_nothing(kid: object, known: str | None) -> None:
    """RS-3, ATK-6."""
    assert CompactJws({"kid": kid}, b"", b"", b"").kid == known
    assert CompactJws({}, b"", b"", b"").kid is None


@given(st.binary())
def test_base64url_has_one_spelling(raw: bytes) -> None:
    """RFC 7515 §2: no padding; what decodes encodes to the same text."""
    text = encode_base64url(raw)
    assert text == urlsafe_b64encode(raw).decode().rstrip("=")
    assert decode_base64url(text) == raw
    assert decode_base64url(text + "=") is None
    assert decode_base64url(text + "\n") is None


@given(st.text())
def test_any_text_decodes_to_nothing_or_to_bytes_of_that_spelling(text: str) -> None:
    """ATK-19."""
    raw = decode_base64url(text)
    assert raw is None or encode_base64url(raw) == text


def test_vector_of_rfc_4648() -> None:
    """RFC 4648 §10, and the two characters that the URL-safe alphabet changes."""
    assert [encode_base64url(raw) for raw in (b"", b"f", b"fo", b"foo")] == [
        "",
        "Zg",
        "Zm8",
        "Zm9v",
    ]
    assert encode_base64url(b"\xfb\xff") == "-_8"
    assert decode_base64url("Zh") is None
    assert decode_base64url("Z") is None
