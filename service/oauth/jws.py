"""Compact JWS (RFC 7515 §7.1), read strictly: one spelling, no duplicate names, bounded size."""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NoReturn

MAX_TOKEN_LENGTH = 16 * 1024
MAX_HEADER_LENGTH = 2 * 1024
_MAX_HEADER_DEPTH = 8
_MAX_PAYLOAD_DEPTH = 16

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_KID = re.compile(r"[A-Za-z0-9._-]{1,128}")


@dataclass(frozen=True, slots=True)
class CompactJws:
    """The three parts of a compact JWS; nothing in it is proven before its signature is."""

    header: dict[str, Any]
    signing_input: bytes
    payload: bytes
    signature: bytes

    @property
    def kid(self) -> str | None:
        """The key id, where it is a string that can be one of ours."""
        kid = self.header.get("kid")
        return kid if isinstance(kid, str) and _KID.fullmatch(kid) else None


def parse_compact(token: str, *, max_length: int = MAX_TOKEN_LENGTH) -> CompactJws | None:
    """The parts of a compact JWS; None for anything that this server can't have written.

    RS-3: length, three canonical base64url segments, a small JSON header without duplicate names,
    no `crit`; `jku`, `jwk`, `x5u` and `x5c` are never followed (RFC 8725 §3.10).
    """
    if len(token) > max_length or not _COMPACT.fullmatch(token):
        return None
    head, body, tail = token.split(".")
    if len(head) > MAX_HEADER_LENGTH:
        return None
    header, payload, signature = _header(head), decode_base64url(body), decode_base64url(tail)
    if header is None or payload is None or signature is None:
        return None
    return CompactJws(header, token[: len(head) + 1 + len(body)].encode(), payload, signature)


@lru_cache(maxsize=256)
def _header(segment: str) -> dict[str, Any] | None:
    """A header from its segment; all tokens of one key have the same. Never changed by a caller."""
    raw = decode_base64url(segment)
    header = None if raw is None else parse_json_object(raw, max_depth=_MAX_HEADER_DEPTH)
    return None if header is None or "crit" in header or "b64" in header else header


def parse_payload(payload: bytes) -> dict[str, Any] | None:
    """The claims of a JWT; None unless they are a JSON object without duplicate names."""
    return parse_json_object(payload, max_depth=_MAX_PAYLOAD_DEPTH)


def encode_base64url(raw: bytes) -> str:
    """Base64url without padding (RFC 7515 §2)."""
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_base64url(text: str) -> bytes | None:
    """The bytes of an unpadded base64url text; None for a second spelling of the same bytes."""
    try:
        raw = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    # Without this, unused bits of the last character would make a second valid spelling.
    return raw if encode_base64url(raw) == text else None


def parse_json_object(raw: bytes, *, max_depth: int) -> dict[str, Any] | None:
    """A JSON object in UTF-8, without duplicate names, NaN or Infinity, bounded in depth."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique_names, parse_constant=_refuse_constant
        )
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and _depth_fits(value, max_depth) else None


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _depth_fits(value: Any, depth: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    if depth == 0:
        return False
    members = value.values() if isinstance(value, dict) else value
    return all(_depth_fits(member, depth - 1) for member in members)
