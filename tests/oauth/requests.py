"""A good authorization request; tests change what they are about."""

from dataclasses import replace

from service.oauth.authorization_request import AuthorizationRequest, read_request, read_target
from service.oauth.client import Client
from tests.oauth.clients import CLIENT

CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
CALLBACK = "https://app.example/cb"
GOOD = {
    "client_id": "web",
    "redirect_uri": CALLBACK,
    "response_type": "code",
    "scope": "openid orders:read",
    "state": "s+%20ü",
    "nonce": "n",
    "code_challenge": CHALLENGE,
    "code_challenge_method": "S256",
}
WAIVED = replace(CLIENT, require_pkce=False)
ONE_URI = replace(CLIENT, redirect_uris=(CALLBACK,))

Pairs = list[tuple[str, str]]


def pairs_with(**changed: str | None) -> Pairs:
    """A good request's parameters, changed; None leaves one out."""
    named = GOOD | changed
    return [(name, value) for name, value in named.items() if value is not None]


def read(pairs: Pairs, client: Client = CLIENT) -> AuthorizationRequest:
    return read_request(pairs, read_target(pairs, client), client)
