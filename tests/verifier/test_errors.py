"""Errors: their place in the tree, and what a resource server answers with. RS-1, RS-2."""

import inspect
import json
import re

import pytest
import watchword_verifier
from watchword_verifier import (
    InsufficientRole,
    InsufficientScope,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    RefreshRequired,
    TokenError,
    Unavailable,
    VerifierError,
    bearer_token,
    metadata_path,
    metadata_url,
    protected_resource_metadata,
)

ERRORS = [
    it
    for _, it in inspect.getmembers(watchword_verifier, inspect.isclass)
    if issubclass(it, VerifierError)
]


def make(kind: type[VerifierError]) -> VerifierError:
    named = kind in (InsufficientScope, InsufficientRole)
    return kind("orders:read") if named else kind("the reason, for the log")


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_each_error_says_what_to_answer(kind: type[VerifierError]) -> None:
    if kind is VerifierError:
        return
    error = make(kind)
    headers, body = dict(error.headers()), json.loads(error.body())
    assert "the reason" not in f"{headers}{body}"
    assert headers["cache-control"] == "no-store"
    if isinstance(error, Unavailable):
        assert (error.status, headers["retry-after"]) == (503, "1")
        assert "www-authenticate" not in headers
    elif isinstance(error, TokenError):
        assert error.status in (400, 401, 403)
        assert ("www-authenticate" in headers) == (kind is not InsufficientRole)
    if challenge := headers.get("www-authenticate"):
        assert re.fullmatch(r'Bearer (\w+="[\x20-\x21\x23-\x5B\x5D-\x7E]*"(, )?)+', challenge)


def test_causes_of_a_bad_token_cannot_be_told_apart() -> None:
    """RS-2: but for the one that a client can mend."""
    bodies = {
        (make(kind).body(), make(kind).challenge())
        for kind in ERRORS
        if issubclass(kind, InvalidToken) and kind is not RefreshRequired
    }
    assert len(bodies) == 1


def test_no_credentials_name_no_error() -> None:
    """RS-1 [6750 §3.1], PRM-1: the challenge alone, with where the metadata stands."""
    error, url = MissingToken(), metadata_url("https://api.example/orders")
    assert error.challenge(realm="orders") == 'Bearer realm="orders"'
    assert error.challenge(resource_metadata=url) == (
        'Bearer realm="api", resource_metadata='
        '"https://api.example/.well-known/oauth-protected-resource/orders"'
    )
    assert json.loads(error.body()) == {}


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        (["Bearer abc"], "abc"),
        (["bearer   a.b-c_d~e+f/g=="], "a.b-c_d~e+f/g=="),
        (["BEARER abc"], "abc"),
    ],
)
def test_a_bearer_token_is_read(headers: list[str], token: str) -> None:
    """RS-1: the scheme has no case."""
    assert bearer_token(headers) == token


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([], MissingToken),
        (["Basic YTpi"], MissingToken),
        ([""], MissingToken),
        (["Bearer"], InvalidRequest),
        (["Bearer "], InvalidRequest),
        (["Bearer a b"], InvalidRequest),
        (["Bearer a,b"], InvalidRequest),
        (["Bearer ä"], InvalidRequest),
        (["Bearer a\n"], InvalidRequest),
        (["Bearer\ta"], MissingToken),
        (["Bearer a", "Bearer a"], InvalidRequest),
        (["Basic YTpi", "Bearer a"], InvalidRequest),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(
    headers: list[str], error: type[TokenError]
) -> None:
    """RS-1."""
    with pytest.raises(error):
        bearer_token(headers)


def test_the_resources_metadata() -> None:
    """PRM-1 [9728 §2, §3]."""
    resource = "https://api.example/orders"
    assert protected_resource_metadata(resource, "https://auth.example", ["a", "b"]) == {
        "resource": resource,
        "authorization_servers": ["https://auth.example"],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["a", "b"],
    }
    assert "scopes_supported" not in protected_resource_metadata(resource, "https://auth.example")
    assert metadata_path("https://api.example") == "/.well-known/oauth-protected-resource"
    assert metadata_path("https://api.example/") == "/.well-known/oauth-protected-resource"


def test_what_is_public_is_listed_and_explained() -> None:
    for name in watchword_verifier.__all__:
        assert inspect.getdoc(getattr(watchword_verifier, name)), name
    listed = set(watchword_verifier.__all__)
    assert {it.__name__ for it in ERRORS} <= listed
