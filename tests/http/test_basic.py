"""HTTP Basic, byte by byte: RFC 7617, and the form-encoding that RFC 6749 §2.3.1 puts inside."""

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote_plus

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.http.client_authentication import parse_basic
from service.oauth.errors import InvalidClient
from tests.conftest import MakeClient
from tests.http.refusals import GRANT, assert_refused

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1)


def encode(text: str | bytes) -> bytes:
    return b64encode(text.encode() if isinstance(text, str) else text)


def test_the_vector() -> None:
    """TOK-13: the first colon parts id and secret, then each is form-decoded by itself."""
    header = b"Basic bXkrY2xpZW50JTNBMTpwJTI1c3MlMkJ3JTI2cmQlM0ElQzMlQTk="
    credentials = parse_basic(header)
    assert (credentials.client_id, credentials.secret) == ("my client:1", "p%ss+w&rd:é")


@settings(deadline=None)
@given(TEXTS, TEXTS)
def test_encoded_credentials_come_back(client_id: str, secret: str) -> None:
    """TOK-13."""
    header = b"Basic " + encode(f"{quote_plus(client_id)}:{quote_plus(secret)}")
    credentials = parse_basic(header)
    assert (credentials.client_id, credentials.secret) == (client_id, secret)


@settings(deadline=None)
@given(st.binary() | st.binary().map(lambda raw: b"Basic " + b64encode(raw)))
def test_any_bytes_are_credentials_or_refused(header: bytes) -> None:
    """TOK-13, ATK-30: nothing but InvalidClient is ever raised."""
    try:
        credentials = parse_basic(header)
    except InvalidClient as refusal:
        assert refusal.description == "client authentication failed"
    else:
        assert credentials.client_id
        assert credentials.secret


@pytest.mark.parametrize("text", ["a-Z_0:wws_-x", "a:b"])
def test_generated_ids_and_secrets_need_no_encoding(text: str) -> None:
    """TOK-14."""
    credentials = parse_basic(b"Basic " + encode(text))
    assert f"{credentials.client_id}:{credentials.secret}" == text


# {id} and {secret} are those of a client that may have a token.
BROKEN = {
    "no colon": b"Basic " + encode("{id}"),
    "empty user": b"Basic " + encode(":{secret}"),
    "empty password": b"Basic " + encode("{id}:"),
    "colon alone": b"Basic " + encode(":"),
    "two colons": b"Basic " + encode("{id}:{secret}:"),
    "two colons before": b"Basic " + encode("{id}::{secret}"),
    "tab for a space": b"Basic\t" + encode("{id}:{secret}"),
    "tab after the space": b"Basic \t" + encode("{id}:{secret}"),
    "no space": b"Basic" + encode("{id}:{secret}"),
    "colon for a space": b"Basic:" + encode("{id}:{secret}"),
    "not encoded": b"Basic {id}:{secret}",
    "base64url": b"Basic " + urlsafe_b64encode(b"{id}:{secret}\xc3\xbe\xc3\xbf"),
    "no padding": b"Basic " + encode("{id}:{secret}").rstrip(b"="),
    "padding in the middle": b"Basic " + encode("{id}:") + encode("{secret}"),
    "CRLF inside": b"Basic " + encode("{id}:{secret}")[:8] + b"\r\n" + encode("x"),
    "CRLF at the end": b"Basic " + encode("{id}:{secret}") + b"\r\n",
    "comma and another": b"Basic " + encode("{id}:{secret}") + b", Bearer a",
    "scheme alone": b"Basic",
    "scheme and a space": b"Basic ",
    "nothing": b"",
    "64 kB": b"Basic " + encode("{id}:" + "a" * 65536),
    "64 kB of nonsense": b"Basic " + b"\xff" * 65536,
    "not UTF-8": b"Basic " + encode(b"{id}:\xff"),
    "not UTF-8 when decoded": b"Basic " + encode("{id}:%FF"),
    "surrogate": b"Basic " + encode("{id}:%ED%A0%80"),
    "NUL": b"Basic " + encode("{id}%00:{secret}"),
    "raw NUL": b"Basic " + encode("{id}:{secret}\0"),
    "Bearer": b"Bearer {secret}",
    "Digest": b'Digest username="{id}"',
}


@pytest.mark.parametrize("template", BROKEN.values(), ids=BROKEN)
async def test_a_broken_header_is_a_failed_authentication(
    http: httpx.AsyncClient, make_client: MakeClient, template: bytes
) -> None:
    """ATK-30, TOK-13."""
    client = await make_client()
    header = fill(template, client.id, client.secret)
    answer = await http.post("/token", data=GRANT, headers=[(b"authorization", header)])
    assert_refused(answer, "invalid_client", 401)


def fill(template: bytes, client_id: str, secret: str) -> bytes:
    """A template with an id and a secret for {id} and {secret}, also where it is base64."""
    raise NotImplementedError
