"""Signing: claims to a compact JWS, RFC 7515 §5.1."""

from functools import lru_cache
from typing import Any

import msgspec

from service.keys.signer import Signer
from service.oauth.jws import encode_base64url


def sign(signer: Signer, typ: str, claims: dict[str, Any]) -> str:
    """The claims as a signed compact JWS with `typ`, `alg` and `kid` in its header (AT-1)."""
    message = f"{_header(signer.alg, signer.kid, typ)}.{encode_base64url(_encode(claims))}"
    return f"{message}.{encode_base64url(signer.sign(message.encode()))}"


_encode = msgspec.json.Encoder().encode


@lru_cache(maxsize=64)
def _header(alg: str, kid: str, typ: str) -> str:
    return encode_base64url(_encode({"alg": alg, "kid": kid, "typ": typ}))
