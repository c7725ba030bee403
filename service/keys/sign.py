"""Signing: claims to a compact JWS, RFC 7515 §5.1."""

import json
from typing import Any

from service.keys.signer import Signer
from service.oauth.jws import encode_base64url


def sign(signer: Signer, typ: str, claims: dict[str, Any]) -> str:
    """The claims as a signed compact JWS with `typ`, `alg` and `kid` in its header (AT-1)."""
    header = {"alg": signer.alg, "kid": signer.kid, "typ": typ}
    message = f"{_segment(header)}.{_segment(claims)}"
    return f"{message}.{encode_base64url(signer.sign(message.encode()))}"


def _segment(members: dict[str, Any]) -> str:
    return encode_base64url(json.dumps(members, separators=(",", ":")).encode())
