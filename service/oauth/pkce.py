"""Proof Key for Code Exchange: RFC 7636, with the method S256 alone (RFC 9700 §2.1.1)."""

import re
from hashlib import sha256
from hmac import compare_digest

from service.oauth.jws import encode_base64url

METHOD = "S256"

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def challenge_fault(challenge: str | None, method: str | None) -> str | None:
    """Why an authorization request can't have this challenge; None when it can (AC-2).

    A method that is left out means `plain` (RFC 7636 §4.3), by which the challenge would be the
    secret itself, in a URL.
    """
    if challenge is None:
        return "code_challenge is missing: send the one of PKCE (RFC 7636)"
    if method != METHOD:
        return "code_challenge_method must be S256"
    if not _CHALLENGE.fullmatch(challenge):
        return "code_challenge must be the 43 characters of base64url of a SHA-256"
    return None


def is_verifier(text: str) -> bool:
    """Whether the text can be a code_verifier (RFC 7636 §4.1)."""
    return _VERIFIER.fullmatch(text) is not None


def proves(verifier: str, challenge: str) -> bool:
    """Whether the verifier is the challenge's (RFC 7636 §4.6); compared in constant time."""
    if not is_verifier(verifier):
        return False
    derived = encode_base64url(sha256(verifier.encode()).digest())
    return compare_digest(derived.encode(), challenge.encode())
