"""A client: RFC 6749 §2; what can be registered, and which secret is its own."""

from dataclasses import fields, replace
from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.flows.manage_clients import new_secret
from service.oauth import client as module
from service.oauth.client import Client, digest_secret, is_client_id
from service.oauth.registration import Registration

ISSUER = "https://auth.example"
WELL = Registration(
    id="orders-worker",
    name="Orders, worker",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",
    grant_types=("client_credentials",),
    audiences=("https://orders.example",),
    scopes=("orders:read", "orders:write"),
    default_scopes=("orders:read",),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
)
PUBLIC = replace(WELL, type="public", token_endpoint_auth_method="none", grant_types=())


def client_with(*secrets: str) -> Client:
    return Client(
        id="a-client",
        name="A client",
        type="confidential",
        token_endpoint_auth_method="client_secret_basic",
        grant_types=(),
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


def test_what_can_be_registered() -> None:
    for registration in (
        WELL,
        PUBLIC,
        replace(WELL, token_endpoint_auth_method="client_secret_post"),
        replace(WELL, grant_types=(), audiences=(), scopes=(), default_scopes=()),
        replace(WELL, audiences=("orders", "urn:example:orders"), serves=("orders",)),
        replace(WELL, access_token_ttl=timedelta(seconds=60)),
        replace(WELL, access_token_ttl=timedelta(seconds=600)),
        replace(WELL, name="Bücher 📚"),
    ):
        assert registration.faults(ISSUER) == []


FAULTS = {
    "id like a user's": (WELL, {"id": "0199d2c1-7b1e-7c55-9f6e-0a4b8f0e2d11"}, "id"),
    "id with a space": (WELL, {"id": "orders worker"}, "id"),
    "no name": (WELL, {"name": ""}, "name"),
    "name with a line break": (WELL, {"name": "a\nb"}, "name"),
    "name with an override": (WELL, {"name": "a\u202eb"}, "name"),
    "long name": (WELL, {"name": "a" * 201}, "name"),
    "confidential without a secret": (WELL, {"token_endpoint_auth_method": "none"}, "a public"),
    "unknown method": (WELL, {"token_endpoint_auth_method": "private_key_jwt"}, "a public"),
    "no method": (WELL, {"token_endpoint_auth_method": ""}, "a public"),
    "unknown type": (PUBLIC, {"type": "native"}, "a public"),
    "public with a secret": (
        PUBLIC,
        {"token_endpoint_auth_method": "client_secret_basic"},
        "a public",
    ),
    "unknown grant": (WELL, {"grant_types": ("password",)}, "grant types"),
    "public with a grant of its own": (PUBLIC, {"grant_types": ("client_credentials",)}, "a publ"),
    "two scopes in a value": (WELL, {"scopes": ("orders:read b",)}, "scope values"),
    "default beyond the scopes": (WELL, {"default_scopes": ("c",)}, "default scopes"),
    "short life": (WELL, {"access_token_ttl": timedelta(seconds=59)}, "access token lifetime"),
    "long life": (WELL, {"access_token_ttl": timedelta(seconds=601)}, "access token lifetime"),
    "no audience": (WELL, {"audiences": ()}, "client_credentials needs an audience"),
    "empty audience": (WELL, {"audiences": ("",)}, "an audience is"),
    "audience with a space": (WELL, {"audiences": ("a b",)}, "an audience is"),
    "long audience": (WELL, {"audiences": ("a" * 256,)}, "an audience is"),
    "served audience with a space": (WELL, {"serves": ("a b",)}, "an audience is"),
    "itself as audience": (WELL, {"audiences": ("orders-worker",)}, "an audience can't be"),
    "the issuer as audience": (WELL, {"audiences": (ISSUER,)}, "an audience can't be"),
}


@pytest.mark.parametrize(("well", "members", "begins"), FAULTS.values(), ids=FAULTS)
def test_what_can_not_be_registered(
    well: Registration, members: dict[str, object], begins: str
) -> None:
    """ATK-109, CC-1, CC-2, AT-2, AT-3: each fault is said, in a sentence of its own."""
    faults = replace(well, **members).faults(ISSUER)
    assert any(fault.startswith(begins) for fault in faults)
    assert not any("\n" in fault for fault in faults)


def test_all_faults_are_said_at_once() -> None:
    registration = replace(WELL, id="?", name="", audiences=(), scopes=("a b",))
    assert len(registration.faults(ISSUER)) == 5


def test_each_fault_names_a_member_of_the_registration() -> None:
    """So that a form can show it where it belongs."""
    members = {field.name for field in fields(Registration)}
    wrong: dict[str, object] = {
        "id": "a",
        "name": "",
        "token_endpoint_auth_method": "none",
        "grant_types": ("password",),
        "audiences": ("a b",),
        "scopes": ('"',),
        "default_scopes": ("y",),
        "serves": ("",),
        "access_token_ttl": timedelta(seconds=1),
        "session_idle_ttl": timedelta(seconds=1),
        "session_absolute_ttl": timedelta(days=366),
        "grace": timedelta(seconds=61),
        "refresh_delivery": "mail",
        "signing_alg": "none",
        "administrator": True,
    }
    for name, value in wrong.items():
        faults = replace(WELL, **{name: value}).named_faults(ISSUER)  # pyright: ignore[reportArgumentType]
        assert name in {member for member, _ in faults}, name
        assert {member for member, _ in faults} <= members


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"audiences": (f"{ISSUER}/admin",)}, "are for administrators"),
        ({"scopes": ("orders:read", "watchword:admin")}, "are for administrators"),
        ({"administrator": True}, "an administrator has the audience"),
        ({"signing_alg": "HS256"}, "tokens are signed with RS256 or ES256"),
    ],
)
def test_who_is_no_administrator_has_nothing_of_one(changed: dict[str, object], fault: str) -> None:
    """DESIGN §6, ATK-109: neither the audience nor the scope of /admin alone."""
    assert [it for it in replace(WELL, **changed).faults(ISSUER) if fault in it]


def test_what_administration_needs_comes_and_goes_with_the_mark() -> None:
    """The audience and the scope are added behind the others, once."""
    marked = replace(WELL, administrator=True).for_administration(ISSUER)
    assert marked.for_administration(ISSUER) == marked
    assert (marked.audiences[-1], marked.scopes[-1]) == (f"{ISSUER}/admin", "watchword:admin")
    assert marked.faults(ISSUER) == []
    assert replace(marked, administrator=False).for_administration(ISSUER) == WELL
