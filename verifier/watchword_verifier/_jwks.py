"""JWK Sets (RFC 7517): which keys of one may verify, each with exactly one algorithm."""

import re
from collections.abc import Collection, Mapping
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import get_default_algorithms

from watchword_verifier._errors import Malformed
from watchword_verifier._jws import CompactJws, parse_json_object

MAX_LENGTH = 256 * 1024
_MAX_KEYS = 50
_MAX_DEPTH = 8
_MIN_RSA_BITS, _MAX_RSA_BITS = 2048, 4096
_EXPONENT = 65537

_KID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_ALGORITHMS = get_default_algorithms()
# What a key of each algorithm must be, by its members (RFC 7518 §6, RFC 8037 §2).
_MEMBERS: dict[str, dict[str, str]] = {
    "RS256": {"kty": "RSA"},
    "PS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
}
ALGORITHMS = frozenset(_MEMBERS)
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})


class UnfitKeySet(Exception):
    """A document that is no JWK Set that can be used; what one had before goes on."""


class PublicKey:
    """A public key that verifies signatures of exactly one algorithm (RFC 8725 §3.1)."""

    __slots__ = ("_algorithm", "_key", "alg", "kid", "members")

    def __init__(self, members: Mapping[str, Any]) -> None:
        """Raises ValueError when the JWK is not a key that may verify."""
        self.kid: str = members["kid"]
        self.alg: str = members["alg"]
        self.members = dict(members)
        self._algorithm = _ALGORITHMS[self.alg]
        self._key = self._algorithm.from_jwk(self.members)
        if isinstance(self._key, rsa.RSAPublicKey):
            bits, exponent = self._key.key_size, self._key.public_numbers().e
            if not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS or exponent != _EXPONENT:
                raise ValueError(f"an RSA key of {bits} bits with the exponent {exponent}")

    def verifies(self, jws: CompactJws) -> bool:
        """Whether this key made the signature, by its own algorithm."""
        return jws.header.alg == self.alg and bool(
            self._algorithm.verify(jws.signing_input, self._key, jws.signature)
        )


def read_key_set(raw: bytes, algorithms: Collection[str]) -> dict[str, PublicKey]:
    """The keys of a JWK Set that may verify, by their `kid` (RS-6).

    A key of another use or algorithm, or one that is weak, private or can't be read, is left out.
    Raises UnfitKeySet when that leaves none, or the document is no JWK Set, too large, or names
    one `kid` twice.
    """
    members = _read_members(raw)
    kids = [member.get("kid") for member in members]
    if len(kids) != len({str(kid) for kid in kids}):
        raise UnfitKeySet("two keys have the same kid")
    keys = [key for member in members if (key := _read_key(member, algorithms)) is not None]
    if not keys:
        raise UnfitKeySet("it has no key that may verify")
    return {key.kid: key for key in keys}


def _read_members(raw: bytes) -> list[dict[str, Any]]:
    if len(raw) > MAX_LENGTH:
        raise UnfitKeySet("it is too large")
    try:
        members = parse_json_object(raw, max_depth=_MAX_DEPTH).get("keys")
    except Malformed as error:
        raise UnfitKeySet(f"it is {error}") from None
    if not isinstance(members, list) or not all(isinstance(it, dict) for it in members):
        raise UnfitKeySet("it has no list of keys")
    if len(members) > _MAX_KEYS:
        raise UnfitKeySet("it has too many keys")
    return members


def _is_to_verify(member: dict[str, Any]) -> bool:
    operations = member.get("key_ops", ["verify"])
    return (
        member.get("use", "sig") == "sig"
        and not _PRIVATE & member.keys()
        and isinstance(operations, list)
        and "verify" in operations
    )


def _read_key(member: dict[str, Any], algorithms: Collection[str]) -> PublicKey | None:
    kid, alg = member.get("kid"), member.get("alg")
    if not isinstance(kid, str) or not _KID.fullmatch(kid):
        return None
    if not isinstance(alg, str) or alg not in algorithms or not _is_to_verify(member):
        return None
    if any(member.get(name) != value for name, value in _MEMBERS[alg].items()):
        return None
    try:
        return PublicKey(member)
    except (ValueError, TypeError, KeyError, jwt.PyJWTError):
        return None
