"""HTTP Basic, byte by byte: RFC 7617, and the form-encoding that RFC 6749 §2.3.1 puts inside."""

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote_plus

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.app import App
from service.http.client_authentication import parse_basic
from service.oauth.client import digest_secret
from service.oauth.errors import InvalidClient
from service.sql.clients import insert_secret
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
    except InvalidClient:
        return
    assert credentials.client_id
    assert credentials.secret


def test_the_first_colon_parts() -> None:
    """TOK-13: RFC 7617 §2, an id has none."""
    credentials = parse_basic(b"Basic " + encode("a:b:c:"))
    assert (credentials.client_id, credentials.secret) == ("a", "b:c:")


@pytest.mark.parametrize("text", ["", "a", ":", "a:", ":b"])
def test_both_id_and_secret_are_needed(text: str) -> None:
    """ATK-30."""
    with pytest.raises(InvalidClient):
        parse_basic(b"Basic " + encode(text))


@pytest.mark.parametrize("text", ["a-Z_0:wws_-x", "a:b"])
def test_generated_ids_and_secrets_need_no_encoding(text: str) -> None:
    """TOK-14."""
    credentials = parse_basic(b"Basic " + encode(text))
    assert f"{credentials.client_id}:{credentials.secret}" == text


def broken(client_id: str, secret: str) -> dict[str, bytes]:
    """Headers that would be well but for one fault each."""
    pair, right = f"{client_id}:{secret}", encode(f"{client_id}:{secret}")
    return {
        "no colon": b"Basic " + encode(client_id),
        "empty user": b"Basic " + encode(f":{secret}"),
        "empty password": b"Basic " + encode(f"{client_id}:"),
        "colon alone": b"Basic " + encode(":"),
        "two colons": b"Basic " + encode(f"{client_id}::{secret}"),
        "colon at the end": b"Basic " + encode(f"{pair}:"),
        "tab for a space": b"Basic\t" + right,
        "tab after the space": b"Basic \t" + right,
        "no space": b"Basic" + right,
        "colon for a space": b"Basic:" + right,
        "not encoded": f"Basic {pair}".encode(),
        "base64url": b"Basic " + urlsafe_b64encode(f"{client_id}:???>>>~~~{secret}".encode()),
        "no padding": b"Basic " + encode(pair + "x" * (1 - len(pair) % 3)).rstrip(b"="),
        "padding in the middle": b"Basic " + encode(f"{client_id}:a") + encode(secret),
        "CRLF inside": b"Basic " + right[:8] + b"\r\n" + right[8:],
        "CRLF at the end": b"Basic " + right + b"\r\n",
        "comma and another": b"Basic " + right + b", Bearer a",
        "scheme alone": b"Basic",
        "scheme and a space": b"Basic ",
        "nothing": b"",
        "64 kB": b"Basic " + encode(f"{client_id}:{'a' * 48_000}"),
        "64 kB of nonsense": b"Basic " + b"\xff" * 65_536,
        "not UTF-8": b"Basic " + encode(f"{client_id}:".encode() + b"\xff"),
        "not UTF-8 when decoded": b"Basic " + encode(f"{client_id}:%FF"),
        "surrogate": b"Basic " + encode(f"{client_id}:%ED%A0%80"),
        "NUL in the id": b"Basic " + encode(f"{client_id}%00:{secret}"),
        "NUL in the secret": b"Basic " + encode(f"{pair}\0"),
        "Bearer": f"Bearer {secret}".encode(),
        "Digest": f'Digest username="{client_id}"'.encode(),
    }


@pytest.mark.parametrize("fault", broken("id", "secret"))
async def test_a_broken_header_is_a_failed_authentication(
    http: httpx.AsyncClient, make_client: MakeClient, fault: str
) -> None:
    """ATK-30, TOK-13."""
    client = await make_client()
    header = broken(client.id, client.secret)[fault]
    answer = await http.post("/token", data=GRANT, headers=[(b"authorization", header)])
    assert_refused(answer, "invalid_client", 401)


@pytest.mark.parametrize(
    "sent",
    ["p%ss+w&rd:é", "p%25ss+w%26rd%3A%C3%A9", quote_plus(quote_plus("p%ss+w&rd:é"))],
    ids=["raw", "spaces raw", "encoded twice"],
)
async def test_special_characters_are_taken_in_their_encoded_form_alone(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, sent: str
) -> None:
    """ATK-31, TOK-14: an imported secret; the encoded form is right, what looks like it is not."""
    client, secret = await make_client(), "p%ss+w&rd:é"
    async with app.services.database.connection() as connection:
        await insert_secret(connection, client.id, digest_secret(secret))
    for text, status in ((quote_plus(secret), 200), (sent, 401)):
        header = b"Basic " + encode(f"{client.id}:{text}")
        answer = await http.post("/token", data=GRANT, headers=[(b"authorization", header)])
        assert answer.status_code == status
