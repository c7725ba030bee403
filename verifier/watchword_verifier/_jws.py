"""Compact JWS (RFC 7515 §7.1), read strictly: one spelling, no duplicate names, bounded size."""

import json
import re
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any, NoReturn

from watchword_verifier._errors import Malformed

MAX_TOKEN_LENGTH = 16 * 1024
_MAX_HEADER_LENGTH = 2 * 1024
_MAX_HEADER_DEPTH = 8
_MAX_PAYLOAD_DEPTH = 16

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_KID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
# Which last characters leave no bits over, by the length of the text modulo 4: without this,
# unused bits would make a second valid spelling of the same bytes.
_LAST = {0: _ALPHABET, 1: b"", 2: b"AQgw", 3: b"AEIMQUYcgkosw048"}


@dataclass(frozen=True, slots=True)
class Header:
    """What a JWS header says; nothing of it is proven before the signature is.

    `jku`, `jwk`, `x5u` and `x5c` are not even read (RFC 8725 §3.10).
    """

    typ: str
    alg: str
    kid: str


@dataclass(frozen=True, slots=True)
class CompactJws:
    """The parts of a compact JWS, decoded; the payload as it was signed."""

    header: Header
    signing_input: bytes
    payload: bytes
    signature: bytes


def parse_compact(text: str, *, max_length: int = MAX_TOKEN_LENGTH) -> CompactJws:
    """The parts of a compact JWS. Raises Malformed (RS-3).

    Checked in this order: length, three segments of the base64url alphabet, a small header that is
    a JSON object without duplicate names and without `crit`, one canonical spelling.
    """
    if len(text) > max_length or not text.isascii():
        raise Malformed("too long, or not ASCII")
    raw = text.encode()
    head, _, rest = raw.partition(b".")
    body, _, tail = rest.partition(b".")
    # All that is not of the alphabet are the two dots between three parts that are not empty.
    if raw.translate(None, _ALPHABET) != b".." or not (head and body and tail):
        raise Malformed("not three base64url segments")
    header = _header(head)
    if header is None:
        raise Malformed("not the header of a token")
    payload, signature = _decode(body), _decode(tail)
    if payload is None or signature is None:
        raise Malformed("not canonical base64url")
    return CompactJws(header, raw[: len(head) + 1 + len(body)], payload, signature)


@lru_cache(maxsize=256)
def _header(segment: bytes) -> Header | None:
    """A header from its segment; all tokens of one key have the same."""
    if len(segment) > _MAX_HEADER_LENGTH or (raw := _decode(segment)) is None:
        return None
    try:
        members = parse_json_object(raw, max_depth=_MAX_HEADER_DEPTH)
    except Malformed:
        return None
    # RFC 7515 §4.1.11: a critical extension that is not understood; RFC 7797: b64.
    if "crit" in members or "b64" in members:
        return None
    typ, alg, kid = (members.get(name) for name in ("typ", "alg", "kid"))
    if not (isinstance(typ, str) and isinstance(alg, str) and isinstance(kid, str)):
        return None
    return Header(typ, alg, kid) if _KID.fullmatch(kid) else None


def parse_payload(payload: bytes) -> dict[str, Any]:
    """The claims of a JWT. Raises Malformed unless they are a JSON object without duplicates."""
    return parse_json_object(payload, max_depth=_MAX_PAYLOAD_DEPTH)


def parse_json_object(raw: bytes, *, max_depth: int) -> dict[str, Any]:
    """A JSON object in UTF-8, without duplicate names, NaN, Infinity or lone surrogates.

    Raises Malformed.
    """
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant
        )
        if b"\\u" in raw:  # escapes can spell half a character, which no UTF-8 has
            json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Malformed("not JSON, or JSON that can be read in two ways") from None
    if not isinstance(value, dict):
        raise Malformed("not a JSON object")
    # As deep as it has brackets at the most: counting them is cheaper than walking.
    if raw.count(b"{") + raw.count(b"[") > max_depth and not _depth_fits(value, max_depth):
        raise Malformed("nested too deeply")
    return value


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _depth_fits(value: object, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    members = value.values() if isinstance(value, dict) else value
    return all(_depth_fits(member, depth - 1) for member in members)


def _decode(segment: bytes) -> bytes | None:
    """The bytes of unpadded base64url (RFC 7515 §2); None for a second spelling of the same."""
    over = len(segment) % 4
    if segment[-1] not in _LAST[over]:
        return None
    return a2b_base64(segment.translate(_TO_STANDARD) + b"=" * (-over % 4))


def digest(text: str) -> str:
    """SHA-256 of a text's bytes as unpadded base64url: what the feed's chain is made of."""
    raw = b2a_base64(sha256(text.encode()).digest(), newline=False)
    return raw.rstrip(b"=").decode().replace("+", "-").replace("/", "_")
