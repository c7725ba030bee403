"""Client credentials in a request: RFC 6749 §2.3.1, by the Authorization header or the body."""

import binascii
from base64 import b64decode
from urllib.parse import unquote_to_bytes

from litestar.types import Scope

from service.flows.authenticate_client import Credentials
from service.http.form import Form
from service.http.headers import header_values
from service.oauth.errors import InvalidClient, InvalidRequest

_REFUSED = "client authentication failed"


def has_authorization(scope: Scope) -> bool:
    """Whether the client tried the Authorization header, so that a 401 with a challenge is due."""
    return bool(header_values(scope["headers"], b"authorization"))


def read_credentials(scope: Scope, form: Form) -> Credentials:
    """What the request says of its client.

    Raises InvalidRequest for more than one method (TOK-11), InvalidClient for none or for one
    that this server does not have.
    """
    headers = header_values(scope["headers"], b"authorization")
    client_id, secret = form.get("client_id"), form.get("client_secret")
    assertion = form.get("client_assertion") or form.get("client_assertion_type")
    if len(headers) > 1 or sum((bool(headers), secret is not None, assertion is not None)) > 1:
        raise InvalidRequest("authenticate the client by one method, once")
    if assertion:
        raise InvalidClient(_REFUSED, reason="client assertions are not supported")
    if headers:
        credentials = parse_basic(headers[0])
        if client_id not in (None, credentials.client_id):
            raise InvalidRequest("client_id is not the client of the Authorization header")
        return credentials
    if form.is_empty and scope["query_string"]:
        # RFC 6749 §2.3.1: parameters MUST NOT stand in the URL (TOK-2).
        raise InvalidRequest("send the parameters in the body")
    if client_id is None:
        raise InvalidClient(_REFUSED, reason="no client credentials")
    return Credentials(client_id=client_id, secret=secret)


def parse_basic(header: bytes) -> Credentials:
    """The id and secret of an HTTP Basic header, each form-decoded by itself (RFC 6749 §2.3.1).

    Raises InvalidClient.
    """
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        raise InvalidClient(_REFUSED, reason="an Authorization scheme other than Basic")
    try:
        user, colon, password = b64decode(encoded.strip(b" "), validate=True).partition(b":")
        client_id, secret = _form_decode(user), _form_decode(password)
    except (binascii.Error, UnicodeDecodeError):
        raise InvalidClient(_REFUSED, reason="Basic credentials that can't be decoded") from None
    if not (colon and client_id and secret):
        raise InvalidClient(_REFUSED, reason="Basic credentials without id or secret")
    return Credentials(client_id=client_id, secret=secret)


def _form_decode(raw: bytes) -> str:
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
