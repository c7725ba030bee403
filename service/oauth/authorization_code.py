"""Authorization codes: how one is spelled, and what must fit when it is redeemed. AC-3 to AC-9."""

from hashlib import sha256

from service.oauth.errors import InvalidGrant, InvalidRequest, OAuthError
from service.oauth.pkce import proves

PREFIX = "wwc_"
CODE_BYTES = 32

_REFUSED = "the authorization code is invalid, expired, used, or not for this client"


def digest_code(code: str) -> bytes:
    """SHA-256 of a code: enough for 256 random bits."""
    return sha256(code.encode()).digest()


def refused(reason: str) -> InvalidGrant:
    """One answer for all that is wrong with a code."""
    return InvalidGrant(_REFUSED, reason=reason)


def redemption_fault(
    *,
    code_challenge: str | None,
    code_verifier: str | None,
    redirect_uri: str,
    sent_redirect_uri: str | None,
) -> OAuthError | None:
    """What of a redemption does not fit the request that the code came from; None if all does."""
    if code_challenge is None:
        if code_verifier is not None:
            # RFC 9700 §4.8.2: else whoever strips the challenge from a request goes unnoticed.
            return InvalidRequest("there was no code_challenge: send no code_verifier")
        if sent_redirect_uri is None:
            # RFC 6749 §4.1.3; with PKCE it is not needed (OAuth 2.1 §10.2).
            return InvalidRequest("the parameter redirect_uri is missing")
    elif code_verifier is None or not proves(code_verifier, code_challenge):
        return refused("the code_verifier is missing or wrong")
    if sent_redirect_uri is not None and sent_redirect_uri != redirect_uri:
        return refused("another redirect_uri")
    return None
