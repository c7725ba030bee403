"""Reading an access token of ours: signature first, then claims. RFC 9068 §4."""

from service.keys.keyring import Keyring
from service.oauth.access_token import AccessToken, is_access_token_type, read_access_token
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.jws import parse_compact, parse_payload
from service.oauth.signing_key import TOKEN


def read_token(token: str, keyring: Keyring, issuer: str) -> AccessToken | None:
    """The access token that this server once signed; None for anything else.

    It may be expired or revoked. Raises TemporarilyUnavailable before the keys are loaded.
    """
    if not keyring.is_loaded():
        raise TemporarilyUnavailable("the server is starting; try again shortly")
    jws = parse_compact(token)
    if jws is None or not is_access_token_type(jws.header) or not keyring.verify(jws, TOKEN):
        return None
    claims = parse_payload(jws.payload)
    return None if claims is None else read_access_token(claims, issuer)
