"""Public keys as JWKs (RFC 7517), and what checks a signature with one."""

import json
from hashlib import sha256
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import Algorithm, ECAlgorithm, RSAAlgorithm

from service.oauth.jws import encode_base64url
from service.oauth.signing_key import ES256, RS256

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey

# How each algorithm signs and verifies: RFC 7518 §3.3 and §3.4.
ALGORITHMS: dict[str, Algorithm] = {
    RS256: RSAAlgorithm(RSAAlgorithm.SHA256),
    ES256: ECAlgorithm(ECAlgorithm.SHA256, ec.SECP256R1),
}
_COORDINATE_BYTES = 32


class Verifier:
    """A public key that checks signatures of exactly one algorithm (RFC 8725 §3.1)."""

    def __init__(self, jwk: dict[str, Any]) -> None:
        self.alg: str = jwk["alg"]
        if self.alg not in ALGORITHMS:
            raise TypeError(f"not a key for {' or '.join(ALGORITHMS)}")
        self._algorithm = ALGORITHMS[self.alg]
        key = self._algorithm.from_jwk(jwk)
        if not isinstance(key, PublicKey) or algorithm_of(key) != self.alg:
            raise TypeError(f"not a public key for {self.alg}")
        self._key = key

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        return self._algorithm.verify(message, self._key, signature)


def algorithm_of(key: object) -> str:
    """The one algorithm for which a key may be used. Raises TypeError where there is none."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return RS256
    if isinstance(key, ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) and isinstance(
        key.curve, ec.SECP256R1
    ):
        return ES256
    raise TypeError("neither an RSA key nor one of the curve P-256")


def public_jwk(key: PublicKey) -> dict[str, Any]:
    """The public members of a JWK and no others (JWKS-2), `kid` its thumbprint."""
    alg = algorithm_of(key)
    jwk = _rsa_members(key) if isinstance(key, rsa.RSAPublicKey) else _ec_members(key)
    return {**jwk, "kid": thumbprint(jwk), "use": "sig", "alg": alg}


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


def _rsa_members(key: rsa.RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {"kty": "RSA", "n": _integer(numbers.n), "e": _integer(numbers.e)}


def _ec_members(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    """RFC 7518 §6.2.1.2: coordinates have their full length, leading zeros too."""
    numbers = key.public_numbers()
    x, y = (encode_base64url(it.to_bytes(_COORDINATE_BYTES)) for it in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": "P-256", "x": x, "y": y}


def _integer(number: int) -> str:
    return encode_base64url(number.to_bytes((number.bit_length() + 7) // 8))
