"""The Authorization header, and where the resource's metadata stands. RS-1, PRM-1."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier import (
    InvalidRequest,
    MissingToken,
    bearer_token,
    metadata_path,
    metadata_url,
)

TOKENS = st.from_regex(r"[A-Za-z0-9._~+/-]+=*", fullmatch=True)


@given(
    st.lists(
        st.text(max_size=40)
        | TOKENS.map(lambda it: f"Bearer {it}")
        | st.text(max_size=20).map(lambda it: f"Bearer {it}"),
        max_size=3,
    )
)
def test_any_headers_are_a_token_none_or_a_fault(headers: list[str]) -> None:
    try:
        token = bearer_token(headers)
    except (MissingToken, InvalidRequest):
        return
    assert len(headers) == 1
    assert re.fullmatch(r"[A-Za-z0-9._~+/-]+=*", token)
    assert headers[0].strip(" \t")[6:].strip(" ") == token


@given(TOKENS, st.sampled_from(["Bearer ", "bearer ", "BEARER   ", " Bearer ", "\tbEARER "]))
def test_every_bearer_token_is_read(token: str, scheme: str) -> None:
    assert bearer_token([scheme + token]) == token


def test_a_hostile_header_costs_no_time() -> None:
    """ATK-10: however long it is, and whatever it nearly is."""
    for text in ("a" * 1_000_000 + "!", "=" * 1_000_000, " " * 1_000_000, "a=" * 500_000):
        with pytest.raises(InvalidRequest):
            bearer_token([f"Bearer {text}"])


@pytest.mark.parametrize(
    ("resource", "path", "url"),
    [
        ("https://api.example", "", "https://api.example"),
        ("https://api.example/", "", "https://api.example"),
        ("https://api.example:8443/a/b", "/a/b", "https://api.example:8443"),
        ("https://api.example/a/", "/a", "https://api.example"),
    ],
)
def test_the_metadata_stands_before_the_resources_own_path(
    resource: str, path: str, url: str
) -> None:
    """PRM-1 [9728 §3]."""
    assert metadata_path(resource) == f"/.well-known/oauth-protected-resource{path}"
    assert metadata_url(resource) == f"{url}/.well-known/oauth-protected-resource{path}"
