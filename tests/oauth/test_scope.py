"""Scope values and sets of them: RFC 6749 §3.3."""

import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.oauth.errors import InvalidScope
from service.oauth.scope import (
    USER_SCOPES,
    grant_scope,
    grant_user_scope,
    is_scope_value,
    parse_scope,
)

# RFC 6749 §3.3, written out: %x21 / %x23-5B / %x5D-7E
SIGNS = "".join(sign for sign in map(chr, range(0x21, 0x7F)) if sign not in '"\\')
VALUES = st.text(SIGNS, min_size=1, max_size=8)
FEW = st.sampled_from(["a", "b", "c", "openid", "offline_access"])
SETS = st.lists(FEW, unique=True).map(tuple)


def test_the_signs_of_a_value() -> None:
    assert {chr(code) for code in range(0x250) if is_scope_value(chr(code))} == set(SIGNS)
    assert set(string.ascii_letters + string.digits + "_-.:/*%") <= set(SIGNS)
    assert not is_scope_value("")


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1))
def test_values_come_back_once_and_in_their_order(values: list[str]) -> None:
    parsed = parse_scope(" ".join(values))
    assert list(parsed) == sorted(set(values), key=values.index)


@settings(deadline=None)
@given(st.text(max_size=30) | st.text('a b\t\n"\\é', max_size=10))
def test_any_text_is_scope_values_or_refused(text: str) -> None:
    """ATK-99: nothing but InvalidScope is ever raised."""
    try:
        values = parse_scope(text)
    except InvalidScope:
        return
    assert all(map(is_scope_value, values))
    assert set(text.split(" ")) == set(values)


@pytest.mark.parametrize("text", ["", " ", "a  b", " a", "a ", "a\tb", "a\n", "a,é", "a\0", '"a"'])
def test_other_separators_are_refused(text: str) -> None:
    with pytest.raises(InvalidScope):
        parse_scope(text)


@settings(deadline=None)
@given(st.none() | st.lists(FEW, min_size=1).map(" ".join), SETS, SETS)
def test_never_more_is_granted_than_allowed(
    requested: str | None, allowed: tuple[str, ...], default: tuple[str, ...]
) -> None:
    """CC-2: not beyond the client's own, nor beyond what was asked; CC-1: no user's scope."""
    default = tuple(value for value in default if value in allowed)
    try:
        granted = grant_scope(requested, allowed=allowed, default=default)
    except InvalidScope:
        asked = set(requested.split(" ")) if requested else set(default or allowed)
        assert asked - set(allowed) or not asked - USER_SCOPES
        return
    assert granted
    assert set(granted) <= set(allowed) - USER_SCOPES
    assert set(granted) <= set(requested.split(" ") if requested else default or allowed)


@pytest.mark.parametrize(
    ("requested", "allowed", "default", "granted"),
    [
        (None, ("a", "b"), (), ("a", "b")),
        (None, ("a", "b"), ("b",), ("b",)),
        ("b a b", ("a", "b", "c"), ("c",), ("b", "a")),
        ("openid a", ("a", "openid"), (), ("a",)),
        (None, ("openid", "a"), (), ("a",)),
    ],
)
def test_what_is_granted(
    requested: str | None,
    allowed: tuple[str, ...],
    default: tuple[str, ...],
    granted: tuple[str, ...],
) -> None:
    """CC-2: what was asked, else the default, else all."""
    assert grant_scope(requested, allowed=allowed, default=default) == granted


@pytest.mark.parametrize(
    ("requested", "allowed", "default"),
    [
        (None, (), ()),
        ("a", (), ()),
        ("a c", ("a", "b"), ("a",)),
        ("A", ("a",), ("a",)),
        ("openid", ("openid",), ()),
        (None, ("openid", "offline_access"), ()),
        (None, ("openid", "a"), ("openid",)),
    ],
)
def test_what_is_refused(
    requested: str | None, allowed: tuple[str, ...], default: tuple[str, ...]
) -> None:
    """CC-1, CC-2: all of it, where a part could be granted too."""
    with pytest.raises(InvalidScope):
        grant_scope(requested, allowed=allowed, default=default)


@settings(deadline=None)
@given(st.none() | st.lists(FEW, min_size=1).map(" ".join), SETS, SETS)
def test_a_person_is_asked_for_what_the_client_may_have_alone(
    requested: str | None, allowed: tuple[str, ...], default: tuple[str, ...]
) -> None:
    """AUTHZ-14: the rest of what it asks is dropped; what is a person's it asks for by name."""
    default = tuple(value for value in default if value in allowed)
    asked = set(requested.split(" ")) if requested else set(default or allowed) - USER_SCOPES
    try:
        granted = grant_user_scope(requested, allowed=allowed, default=default)
    except InvalidScope:
        assert not asked & set(allowed)
        return
    assert set(granted) == asked & set(allowed)
    assert len(granted) == len(set(granted))
