"""ID Tokens and what UserInfo tells: OpenID Connect Core §2, §3.1.3.6, §5.3."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.access_token import is_access_token_type, read_access_token, session_claims
from service.oauth.id_token import (
    TYP,
    IdTokenHint,
    at_hash,
    id_token_claims,
    read_id_token_hint,
    userinfo_claims,
)
from service.oauth.session import Session
from service.oauth.user import User
from tests.oauth.clients import CLIENT

ISSUER = "https://auth.example"
USER_ID = UUID("0199d2c1-7b1e-7c55-9f6e-0a4b8f0e2d11")
SESSION_ID = UUID("0199d2c1-7b1e-7c55-9f6e-0a4b8f0e2d12")
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC)
SECONDS = 1_767_323_045
# OpenID Connect Core §A.3: the access token of the at_hash beside it.
ACCESS_TOKEN = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"
HEADER = {"typ": "JWT", "alg": "RS256", "kid": "k"}

SESSION = Session(
    id=SESSION_ID,
    user_id=USER_ID,
    client_id="web",
    client_epoch=0,
    generation=0,
    scopes=("openid",),
    audiences=("https://orders.example",),
    roles=("clerk",),
    claims_version=0,
    auth_time=NOW - timedelta(hours=1),
    acr=None,
    amr=("pwd",),
    idle_expires_at=NOW + timedelta(days=1),
    expires_at=NOW + timedelta(days=1),
    now=NOW,
)


def claims(session: Session = SESSION, nonce: str | None = "n-1") -> dict[str, Any]:
    return id_token_claims(
        issuer=ISSUER, client_id="web", session=session, access_token=ACCESS_TOKEN, nonce=nonce
    )


def test_claims_are_these_and_no_others() -> None:
    """IDT-1, IDT-3: no e-mail address, no roles, no azp; integers; 600 seconds."""
    assert claims() == {
        "iss": ISSUER,
        "sub": str(USER_ID),
        "aud": "web",
        "iat": SECONDS,
        "exp": SECONDS + 600,
        "auth_time": SECONDS - 3600,
        "nonce": "n-1",
        "at_hash": "77QmUPtjPfzWtF2AnpK9RQ",
        "sid": str(SESSION_ID),
        "amr": ("pwd",),
    }
    assert {type(claims()[name]) for name in ("iat", "exp", "auth_time")} == {int}


def test_the_vector_of_at_hash() -> None:
    """IDT-1: Core §3.1.3.6."""
    assert at_hash(ACCESS_TOKEN) == "77QmUPtjPfzWtF2AnpK9RQ"


@given(st.text(), st.none() | st.text(), st.lists(st.text(min_size=1), max_size=2).map(tuple))
def test_what_is_not_known_is_left_out(nonce: str, acr: str | None, amr: tuple[str, ...]) -> None:
    """IDT-1: never an empty text; the nonce byte for byte, AUTHZ-12."""
    written = claims(replace(SESSION, acr=acr, amr=amr), nonce)
    assert written.get("nonce", "") == nonce
    assert written.get("acr", "") == (acr or "")
    assert written.get("amr", ()) == amr
    assert "" not in written.values()
    assert () not in written.values()


def test_a_refresh_repeats_all_but_the_nonce_and_the_time() -> None:
    """RT-16: Core §12.2."""
    later = claims(replace(SESSION, now=NOW + timedelta(minutes=5), generation=3), nonce=None)
    renewed = {"iat": SECONDS + 300, "exp": SECONDS + 900}
    assert later == {k: v for k, v in claims().items() if k != "nonce"} | renewed


def test_an_id_token_is_a_hint_of_its_user_and_client() -> None:
    """AUTHZ-13, RPL-1: also long after its end, which nobody judges here."""
    hint = IdTokenHint(user_id=USER_ID, client_id="web", session_id=SESSION_ID)
    assert read_id_token_hint(HEADER, claims(), ISSUER) == hint
    old = claims() | {"exp": 1, "iat": 0}
    assert read_id_token_hint(HEADER, old, ISSUER) == hint
    without = {name: value for name, value in claims().items() if name != "sid"}
    assert read_id_token_hint(HEADER, without, ISSUER) == replace(hint, session_id=None)


@pytest.mark.parametrize("typ", [None, "", "jwt", "at+jwt", "logout+jwt", "JOSE", 1, ["JWT"]])
def test_another_type_is_no_hint(typ: object) -> None:
    """IDT-2, ATK-13."""
    assert read_id_token_hint({"alg": "RS256", "typ": typ}, claims(), ISSUER) is None
    assert read_id_token_hint({"alg": "RS256"}, claims(), ISSUER) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("iss", None),
        ("iss", ISSUER + "/"),
        ("iss", [ISSUER]),
        ("aud", None),
        ("aud", ["web"]),
        ("aud", "https://orders.example"),
        ("aud", str(USER_ID)),
        ("aud", ""),
        ("sub", None),
        ("sub", "web"),
        ("sub", USER_ID.hex),
        ("sub", str(USER_ID).upper()),
        ("sub", f"urn:uuid:{USER_ID}"),
        ("sub", 7),
        ("sid", None),
        ("sid", "x"),
        ("sid", [str(SESSION_ID)]),
    ],
)
def test_what_this_issuer_did_not_write_is_no_hint(name: str, value: object) -> None:
    """AUTHZ-13, RPL-1, ATK-17."""
    assert read_id_token_hint(HEADER, claims() | {name: value}, ISSUER) is None


JSON = st.recursive(st.none() | st.integers() | st.text(), lambda it: st.lists(it, max_size=2))


@given(
    st.dictionaries(st.sampled_from(["typ", "alg"]), JSON),
    st.dictionaries(st.sampled_from(["iss", "sub", "aud", "sid", "exp"]), JSON),
)
def test_any_claims_are_a_hint_or_none(header: dict[str, Any], changed: dict[str, Any]) -> None:
    """AUTHZ-13: nothing is ever raised."""
    hint = read_id_token_hint(HEADER | header, claims() | changed, ISSUER)
    assert hint is None or str(hint.user_id) == (claims() | changed)["sub"]


def test_id_tokens_and_access_tokens_exclude_each_other() -> None:
    """IDT-2, ATK-13: by type and by claims."""
    written = session_claims(
        issuer=ISSUER,
        client=CLIENT,
        session=SESSION,
        audience="https://orders.example",
        scope=("openid",),
        jti=SESSION_ID,
    )
    access = json.loads(json.dumps(written))
    assert read_access_token(access, ISSUER)
    assert read_access_token(claims(), ISSUER) is None
    assert not is_access_token_type({"typ": TYP})
    assert read_id_token_hint({"typ": "at+jwt"}, access, ISSUER) is None
    assert read_id_token_hint(HEADER, access, ISSUER) is None


USER = User(
    administrator=False,
    id=USER_ID,
    username="anna",
    email="anna@example.com",
    full_name="Anna Ärmel",
    avatar_url="https://pictures.example/anna",
    roles=("clerk",),
    created_at=NOW,
    disabled_at=None,
)
PROFILE = {
    "name": "Anna Ärmel",
    "preferred_username": "anna",
    "picture": "https://pictures.example/anna",
}
EMAIL = {"email": "anna@example.com", "email_verified": False}


@pytest.mark.parametrize(
    ("scope", "told"),
    [
        (("openid",), {}),
        (("openid", "profile"), PROFILE),
        (("openid", "email"), EMAIL),
        (("email", "openid", "profile", "orders:read"), PROFILE | EMAIL),
        (("openid", "address", "phone", "roles", "Profile", "emails"), {}),
    ],
)
def test_userinfo_tells_what_the_scope_says(scope: tuple[str, ...], told: dict[str, Any]) -> None:
    """IDT-3: Core §5.4; `sub` always, and the same as in the ID Token."""
    assert userinfo_claims(USER, scope) == {"sub": claims()["sub"], **told}


def test_userinfo_leaves_out_what_the_user_has_not_said() -> None:
    """IDT-3: Core §5.3.2: no null and no empty text; `email_verified` is a boolean."""
    unknown = replace(USER, username=None, email=None, full_name=None, avatar_url=None)
    assert userinfo_claims(unknown, ("openid", "profile", "email")) == {"sub": str(USER_ID)}
    assert userinfo_claims(USER, ("email",))["email_verified"] is False
