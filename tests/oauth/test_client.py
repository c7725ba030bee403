"""A client: RFC 6749 §2; its id, and which secret is its own."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.flows.manage_clients import new_secret
from service.oauth import client as module
from service.oauth.client import Client, digest_secret, is_client_id


def client_with(*secrets: str) -> Client:
    return Client(
        id="a-client",
        name="A client",
        type="confidential",
        token_endpoint_auth_method="client_secret_basic",
        grant_types=(),
        redirect_uris=(),
        post_logout_redirect_uris=(),
        require_pkce=True,
        consent="ask",
        audiences=(),
        scopes=(),
        default_scopes=(),
        serves=(),
        access_token_ttl=timedelta(seconds=300),
        session_idle_ttl=timedelta(days=7),
        session_absolute_ttl=timedelta(days=30),
        grace=timedelta(seconds=30),
        shadow_until=None,
        first_party=False,
        refresh_delivery="body",
        allowed_origins=(),
        signing_alg="RS256",
        administrator=False,
        epoch=0,
        enabled=True,
        secret_digests=tuple(sha256(secret.encode()).digest() for secret in secrets),
    )


@settings(deadline=None)
@given(st.lists(st.text(), max_size=2), st.text())
def test_a_secret_is_the_clients_if_its_digest_is_stored(secrets: list[str], text: str) -> None:
    """TOK-16: any of two, and nothing else; without a secret, nothing at all (ATK-109)."""
    client = client_with(*secrets)
    assert all(client.has_secret(secret) for secret in secrets)
    assert client.has_secret(text) == (text in secrets)


def test_every_stored_digest_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """ATK-40: also after a match."""
    seen: list[bytes] = []
    monkeypatch.setattr(module, "compare_digest", lambda a, b: not seen.append(b) and a == b)
    client = client_with("one", "two")
    for secret, match in (("one", True), ("two", True), ("three", False)):
        seen.clear()
        assert client.has_secret(secret) is match
        assert seen == list(client.secret_digests)


def test_a_digest_is_sha_256() -> None:
    """TOK-16: FIPS 180-2 appendix B.1."""
    vector = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert digest_secret("abc").hex() == vector


def test_generated_secrets_are_long_and_need_no_encoding() -> None:
    """TOK-14, TOK-16: 256 bits; base64url of 32 bytes is 43 characters."""
    secrets = {new_secret() for _ in range(100)}
    assert len(secrets) == 100
    for secret in secrets:
        assert secret.startswith("wws_")
        assert len(secret) == 4 + 43
        assert secret.replace("-", "").replace("_", "").isalnum()
        assert secret.isascii()


@pytest.mark.parametrize("text", ["abc", "a-b_C9", "a" * 64, "0199d2c1", "deadbeef" * 3, "---"])
def test_a_client_id(text: str) -> None:
    """TOK-14."""
    assert is_client_id(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ab",
        "a" * 65,
        "a b",
        "a:b",
        "abc\n",
        "ab\0",
        "äbc",
        "ab%",
        "0199d2c1-7b1e-7c55-9f6e-0a4b8f0e2d11",
        "0199D2C1-7B1E-7C55-9F6E-0A4B8F0E2D11",
        "0199d2c17b1e7c559f6e0a4b8f0e2d11",
        "00000000-0000-0000-0000-000000000000",
        "wws_JG3Xs0cnbq0GC6m4hpVxZQyT7OaH2BvKDLtEwRuI1fk",
    ],
)
def test_no_client_id(text: str) -> None:
    """CC-2: never a user's (RFC 9700 §4.15); ATK-96: never a secret, since ids are logged."""
    assert not is_client_id(text)


@settings(deadline=None)
@given(st.uuids(), st.booleans())
def test_no_uuid_is_a_client_id(user_id: UUID, upper: bool) -> None:
    """CC-2."""
    for text in (str(user_id), user_id.hex):
        assert not is_client_id(text.upper() if upper else text)


@settings(deadline=None)
@given(st.text(max_size=70))
def test_only_unreserved_signs_are_in_a_client_id(text: str) -> None:
    """TOK-14: so that an id is the same encoded and raw, and needs no escape in a log."""
    if is_client_id(text):
        assert text.isascii()
        assert text.replace("-", "a").replace("_", "a").isalnum()
        assert 3 <= len(text) <= 64
