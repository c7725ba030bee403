"""Signers: key id, algorithm, sign(bytes); whether the key is in memory or in hardware."""

from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)

from service.keys.jwk import ALGORITHMS, algorithm_of, public_jwk
from service.oauth.signing_key import ES256, MAX_RSA_BITS, RS256, RSA_BITS

_EXPONENT = 65537
_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class SignerUnavailable(Exception):
    """What signs does not answer at present; the text says which."""


class Signer(Protocol):
    """Signs bytes; what it signs with stays inside."""

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public half."""
        ...

    @property
    def alg(self) -> str:
        """Its one algorithm (RFC 7518 §3.1)."""
        ...

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public half."""
        ...

    @property
    def in_memory(self) -> bool:
        """Whether the key is here, so that signing never fails."""
        ...

    def sign(self, message: bytes) -> bytes:
        """The JWS signature of the message (RFC 7518 §3). Raises SignerUnavailable."""
        ...


class PrivateKey:
    """A private key in memory: RSASSA-PKCS1-v1_5 or ECDSA, with SHA-256, RFC 7518 §3.3 and §3.4."""

    in_memory = True

    def __init__(self, key: _PrivateKey) -> None:
        self._key = key
        self.alg = algorithm_of(key)
        self._algorithm = ALGORITHMS[self.alg]
        self.public_jwk = public_jwk(key.public_key())
        self.kid: str = self.public_jwk["kid"]

    @classmethod
    def generate(cls, alg: str = RS256, bits: int = RSA_BITS) -> "PrivateKey":
        """A new key; an RSA key takes 50 ms to some seconds of CPU, by its bits."""
        if alg == ES256:
            return cls(ec.generate_private_key(ec.SECP256R1()))
        return cls(rsa.generate_private_key(public_exponent=_EXPONENT, key_size=bits))

    @classmethod
    def load(cls, der: bytes) -> "PrivateKey":
        """The key of a PKCS#8 document; takes tens of ms: load once, keep the signer."""
        return cls(_known(load_der_private_key(der, password=None)))

    @classmethod
    def load_pem(cls, pem: bytes) -> "PrivateKey":
        """The key of a PEM file. Raises ValueError, of which no word is secret."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise ValueError("not a private key in PEM form without a passphrase") from None
        try:
            key = _known(key)
        except TypeError as error:
            raise ValueError(str(error)) from None
        if isinstance(key, rsa.RSAPrivateKey):
            _check_rsa(key)
        return cls(key)

    def private_bytes(self) -> bytes:
        """The PKCS#8 document, in clear: wrap it before it goes anywhere."""
        return self._key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return self._algorithm.sign(message, self._key)


def _known(key: object) -> _PrivateKey:
    """The key, of a kind that can sign here. Raises TypeError."""
    algorithm_of(key)
    if not isinstance(key, _PrivateKey):
        raise TypeError("not a private key")
    return key


def _check_rsa(key: rsa.RSAPrivateKey) -> None:
    if not RSA_BITS <= key.key_size <= MAX_RSA_BITS:
        raise ValueError(f"an RSA key has {RSA_BITS} to {MAX_RSA_BITS} bits, not {key.key_size}")
    if key.public_key().public_numbers().e != _EXPONENT:
        raise ValueError(f"an RSA key has the public exponent {_EXPONENT}")  # JWKS-2
