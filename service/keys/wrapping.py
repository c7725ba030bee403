"""Wrapping: private keys at rest under AES-256-GCM, bound to what they are for."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class UnwrapError(Exception):
    """The wrapped bytes do not belong to this master key and this use."""


def associated_data(issuer: str, purpose: str, alg: str, kid: str) -> bytes:
    """What a wrapped key is bound to: it unwraps for no other issuer, purpose or algorithm."""
    return b"\0".join(part.encode() for part in (issuer, purpose, alg, kid))


def wrap(master_key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    """The plain bytes under AES-256-GCM: a random nonce, then ciphertext and tag."""
    nonce = secrets.token_bytes(_NONCE_BYTES)
    return nonce + AESGCM(master_key).encrypt(nonce, plain, bound_to)


def unwrap(master_key: bytes, wrapped: bytes, bound_to: bytes) -> bytes:
    """The plain bytes. Raises UnwrapError."""
    nonce, ciphertext = wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:]
    try:
        return AESGCM(master_key).decrypt(nonce, ciphertext, bound_to)
    except (InvalidTag, ValueError):
        raise UnwrapError from None
