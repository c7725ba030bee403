"""Signers: key id, algorithm, sign(bytes). A PKCS#11 or cloud signer fits behind the same."""

import json
from hashlib import sha256
from typing import Any, Protocol

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
    load_pem_private_key,
)
from jwt.algorithms import RSAAlgorithm

from service.oauth.jws import encode_base64url

RS256 = "RS256"
_RSA_BITS = 2048
_MAX_RSA_BITS = 4096
_EXPONENT = 65537
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)


class Signer(Protocol):
    """Signs bytes; what it signs with stays inside."""

    kid: str
    alg: str

    def sign(self, message: bytes) -> bytes:
        """The JWS signature of the message (RFC 7518 §3)."""
        ...


class RsaSigner:
    """An RSA key in memory: RSASSA-PKCS1-v1_5 with SHA-256, RFC 7518 §3.3."""

    alg = RS256

    def __init__(self, private_key: rsa.RSAPrivateKey) -> None:
        self._private_key = private_key
        self.public_jwk = public_jwk(private_key.public_key())
        self.kid: str = self.public_jwk["kid"]

    @classmethod
    def generate(cls) -> "RsaSigner":
        """A new key; takes 50 to 500 ms of CPU."""
        return cls(rsa.generate_private_key(public_exponent=_EXPONENT, key_size=_RSA_BITS))

    @classmethod
    def load(cls, der: bytes) -> "RsaSigner":
        """The key of a PKCS#8 document; takes tens of ms: load once, keep the signer."""
        private_key = load_der_private_key(der, password=None)
        if not isinstance(private_key, rsa.RSAPrivateKey):
            raise TypeError("not an RSA key")
        return cls(private_key)

    @classmethod
    def load_pem(cls, pem: bytes) -> "RsaSigner":
        """The key of a PEM file. Raises ValueError, of which no word is secret."""
        try:
            key = load_pem_private_key(pem, password=None)
        except (TypeError, ValueError, UnsupportedAlgorithm):
            raise ValueError("not a private key in PEM form without a passphrase") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise ValueError("not an RSA key")  # noqa: TRY004 (a file's content, not a caller's fault)
        if not _RSA_BITS <= key.key_size <= _MAX_RSA_BITS:
            raise ValueError(
                f"an RSA key has {_RSA_BITS} to {_MAX_RSA_BITS} bits, not {key.key_size}"
            )
        if key.public_key().public_numbers().e != _EXPONENT:
            raise ValueError(f"an RSA key has the public exponent {_EXPONENT}")  # JWKS-2
        return cls(key)

    def private_bytes(self) -> bytes:
        """The PKCS#8 document, in clear: wrap it before it goes anywhere."""
        return self._private_key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())

    def sign(self, message: bytes) -> bytes:
        """The signature."""
        return _RS256.sign(message, self._private_key)


class Verifier:
    """A public key that checks signatures of exactly one algorithm (RFC 8725 §3.1)."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        key = RSAAlgorithm.from_jwk(jwk)
        if jwk["alg"] != RS256 or not isinstance(key, rsa.RSAPublicKey):
            raise TypeError("not an RS256 key")
        self.alg: str = jwk["alg"]
        self._key = key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        return _RS256.verify(message, self._key, signature)


def public_jwk(key: rsa.RSAPublicKey) -> dict[str, Any]:
    """The public members of a JWK and no others (JWKS-2), `kid` its thumbprint."""
    numbers = key.public_numbers()
    jwk = {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}
    return {**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": RS256}


def thumbprint(jwk: dict[str, Any]) -> str:
    """RFC 7638 §3: SHA-256 of the required members, in order, without white space."""
    required = {
        "RSA": ("e", "kty", "n"),
        "EC": ("crv", "kty", "x", "y"),
        "OKP": ("crv", "kty", "x"),
    }
    members = {name: jwk[name] for name in required[jwk["kty"]]}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return encode_base64url(sha256(canonical).digest())


def _integer(number: int) -> str:
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8))
