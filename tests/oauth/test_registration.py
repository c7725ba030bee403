"""What can be registered of a client: RFC 6749 §2, RFC 9700 §2."""

from dataclasses import fields, replace
from datetime import timedelta

import pytest

from service.oauth.code_rules import warnings
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
        "redirect_uris": ("http://app.example",),
        "post_logout_redirect_uris": ("/out",),
        "require_pkce": False,
        "consent": "never",
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
    by_default = replace(marked, default_scopes=("watchword:admin",))
    assert by_default.for_administration(ISSUER) == by_default
    lost = replace(by_default, administrator=False).for_administration(ISSUER)
    assert lost == replace(WELL, default_scopes=())


WEB = replace(
    WELL,
    grant_types=("authorization_code", "refresh_token"),
    scopes=("openid", "profile", "email", "offline_access", "orders:read"),
    default_scopes=(),
    redirect_uris=("https://app.example/callback",),
    post_logout_redirect_uris=("https://app.example/",),
)
NATIVE = replace(
    WEB,
    type="public",
    token_endpoint_auth_method="none",
    redirect_uris=("com.example.app:/callback", "http://127.0.0.1/callback"),
)
OIDC = replace(WEB, audiences=(), scopes=("openid", "profile"), grant_types=("authorization_code",))


@pytest.mark.parametrize(
    "registration",
    [
        WEB,
        NATIVE,
        OIDC,
        replace(OIDC, scopes=("openid", "address", "phone", "email")),
        replace(WEB, require_pkce=False),
        replace(WEB, consent="skip"),
        replace(WEB, consent="skip", redirect_uris=("http://localhost:8080/cb",)),
        replace(NATIVE, consent="skip", redirect_uris=("https://app.example/cb",)),
        replace(NATIVE, first_party=True, grant_types=("authorization_code", "refresh_token")),
        replace(WEB, redirect_uris=tuple(f"https://app.example/{n}" for n in range(20))),
        replace(WELL, redirect_uris=("https://app.example/cb",)),
        replace(WEB, grant_types=("authorization_code",), scopes=("orders:read",)),
    ],
)
def test_a_client_of_the_code_flow(registration: Registration) -> None:
    """AC-2, CONF-3, AT-3: an API's scopes need an audience, those of OpenID Connect none."""
    assert registration.faults(ISSUER) == []


CODE_FAULTS = {
    "no redirect URI": (WEB, {"redirect_uris": ()}, "authorization_code needs a redirect URI"),
    "no scope": (WEB, {"scopes": ()}, "authorization_code needs a scope"),
    "a fragment": (WEB, {"redirect_uris": ("https://a.example/#",)}, "no redirect URI: 'https://a"),
    "a line break": (WEB, {"redirect_uris": ("https://a.example/\n",)}, "no redirect URI: "),
    "one of many": (
        WEB,
        {"redirect_uris": ("https://a.example/", "http://a.example/")},
        "no redirect URI: 'http://a.example/'; write https://",
    ),
    "after logout": (WEB, {"post_logout_redirect_uris": ("/",)}, "no redirect URI: '/'"),
    "unused and bad": (WELL, {"redirect_uris": ("javascript:x",)}, "no redirect URI: "),
    "own scheme and secret": (WEB, {"redirect_uris": ("com.example.app:/cb",)}, "no redirect URI"),
    "21": (
        WEB,
        {"redirect_uris": tuple(f"https://app.example/{n}" for n in range(21))},
        "a client has at most 20",
    ),
    "21 after logout": (
        WEB,
        {"post_logout_redirect_uris": tuple(f"https://app.example/{n}" for n in range(21))},
        "a client has at most 20",
    ),
    "public without PKCE": (NATIVE, {"require_pkce": False}, "only a confidential client"),
    "no openid, no PKCE": (
        replace(WEB, scopes=("orders:read",)),
        {"require_pkce": False},
        "only a confidential client",
    ),
    "no codes, no PKCE": (WELL, {"require_pkce": False}, "only a confidential client"),
    "openid without codes": (WELL, {"scopes": ("orders:read", "openid")}, "the scope openid"),
    "offline without refresh": (
        WEB,
        {"grant_types": ("authorization_code",)},
        "the scope offline_access",
    ),
    "offline without codes": (
        WEB,
        {"grant_types": ("refresh_token",)},
        "the scope offline_access",
    ),
    "codes and a cookie": (
        replace(NATIVE, first_party=True),
        {"refresh_delivery": "cookie"},
        "a client with a cookie",
    ),
    "another consent": (WEB, {"consent": "never"}, "consent is ask or skip"),
    "consent by scheme": (NATIVE, {"consent": "skip"}, "another app could pass"),
    "consent by port": (
        NATIVE,
        {"consent": "skip", "redirect_uris": ("https://a.example/", "http://127.0.0.1/")},
        "another app could pass",
    ),
    "an API's scope": (
        OIDC,
        {"scopes": ("openid", "orders:read")},
        "authorization_code needs an audience",
    ),
    "no scope at all": (
        replace(WELL, scopes=(), default_scopes=()),
        {"grant_types": ("refresh_token",), "audiences": ()},
        "refresh_token needs an audience",
    ),
    "its own tokens": (
        OIDC,
        {"grant_types": ("authorization_code", "client_credentials")},
        "client_credentials needs an audience",
    ),
}


@pytest.mark.parametrize(("well", "members", "begins"), CODE_FAULTS.values(), ids=CODE_FAULTS)
def test_what_no_client_of_the_code_flow_can_be(
    well: Registration, members: dict[str, object], begins: str
) -> None:
    """AUTHZ-4, AUTHZ-17, AC-2, CONF-3, AT-3, ATK-63, ATK-109: one fault, in one sentence."""
    faults = replace(well, **members).faults(ISSUER)
    assert [fault for fault in faults if fault.startswith(begins)], faults
    assert all(fault.isprintable() for fault in faults)
    assert well.faults(ISSUER) == []


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({}, []),
        ({"redirect_uris": ("http://127.0.0.1/cb", "https://localhost.example/")}, []),
        ({"redirect_uris": ("http://localhost.example/cb",)}, []),
        ({"redirect_uris": ("http://localhost",)}, ["localhost"]),
        ({"redirect_uris": ("http://localhost:8080/cb",)}, ["localhost"]),
        ({"require_pkce": False}, ["without PKCE"]),
        (
            {"require_pkce": False, "redirect_uris": ("https://a.example", "http://localhost?x")},
            ["localhost", "without PKCE"],
        ),
    ],
)
def test_what_is_worth_a_second_thought_is_said(
    changed: dict[str, object], said: list[str]
) -> None:
    """AUTHZ-3, CONF-3: RFC 8252 §8.3."""
    found = warnings(replace(WEB, **changed))
    assert len(found) == len(said)
    assert all(map(str.startswith, found, said))
