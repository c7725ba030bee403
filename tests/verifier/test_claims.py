"""Claims: a mapping that stays as it was verified, with names for the common ones. RS-8."""

from datetime import UTC, datetime
from typing import Any

import pytest
from watchword_verifier import Claims, InsufficientRole, InsufficientScope

MACHINE: dict[str, Any] = {
    "iss": "https://auth.example",
    "sub": "orders",
    "aud": "https://orders.example",
    "client_id": "orders",
    "scope": "orders:read  orders:write",
    "iat": 1_727_000_000,
    "exp": 1_727_000_300,
    "jti": "01920f3c-9b10-7abc-8def-0123456789ab",
}
USER = {**MACHINE, "sub": "01920f3c", "sid": "01920f3d", "roles": ["clerk", "auditor"]}


def test_a_clients_token_speaks_for_the_client() -> None:
    claims = Claims(MACHINE)
    assert (claims.subject, claims.client_id, claims.issuer) == ("orders", "orders", MACHINE["iss"])
    assert (claims.is_user, claims.session_id, claims.roles) == (False, None, ())
    assert claims.issued_at == datetime.fromtimestamp(1_727_000_000, UTC)
    assert claims.expires_at.tzinfo is UTC


def test_roles_are_a_users() -> None:
    """A client has none, whatever its token says."""
    claims = Claims(USER)
    assert (claims.is_user, claims.session_id) == (True, "01920f3d")
    assert claims.has_role("clerk", "auditor")
    claims.require_role("clerk")
    with pytest.raises(InsufficientRole) as raised:
        claims.require_role("clerk", "admin")
    assert raised.value.needed == ("clerk", "admin")
    for roles in (["admin"], "admin", None, 1):
        claims = Claims({**MACHINE, "roles": roles})
        assert claims.roles == ()
        assert not claims.has_role("admin")


def test_every_scope_is_needed() -> None:
    claims = Claims(MACHINE)
    assert claims.scopes == {"orders:read", "orders:write"}
    assert claims.has_scope()
    claims.require_scope("orders:write", "orders:read")
    for names in (("orders",), ("orders:read", "orders:delete"), ("",), ("ORDERS:READ",)):
        assert not claims.has_scope(*names)
        with pytest.raises(InsufficientScope):
            claims.require_scope(*names)


def test_it_is_a_mapping_of_its_own() -> None:
    members = dict(USER)
    claims = Claims(members)
    members["sub"] = "root"
    assert claims["sub"] == claims.subject == "01920f3c"
    assert dict(claims) == USER
    assert (len(claims), "roles" in claims, claims.get("x")) == (len(USER), True, None)
    with pytest.raises(AttributeError):
        claims.subject = "root"  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(AttributeError):
        claims.other = "root"  # pyright: ignore[reportAttributeAccessIssue]


def test_two_are_equal_when_their_claims_are() -> None:
    assert Claims(USER) == Claims(USER)
    assert Claims(USER) != Claims(MACHINE)
    assert len({Claims(USER), Claims(dict(USER)), Claims(MACHINE)}) == 2


def test_what_is_shown_of_it_names_nobody_but_the_token() -> None:
    """ATK-96: fit for a log, like the ids in it."""
    assert repr(Claims(USER)) == (
        "Claims(subject='01920f3c', client_id='orders', jti='01920f3c-9b10-7abc-8def-0123456789ab')"
    )
