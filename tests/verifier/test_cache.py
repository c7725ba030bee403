"""Verified tokens in memory: bounded, the newest half surely there, none mixed up."""

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from watchword_verifier._cache import TokenCache, Verified


def verified(number: int) -> Verified:
    """Of which a cache knows nothing but its name."""
    return cast("Any", f"token {number}")


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 100])
@given(steps=st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_it_is_bounded_and_keeps_the_newest_half(size: int, steps: list[tuple[bool, int]]) -> None:
    cache, used = TokenCache(size), list[int]()
    for is_new, number in steps:
        digest = number.to_bytes()
        found = cache.find(digest)
        assert found in (None, verified(number))
        if number in used[-(size // 2) :] and size >= 2:
            assert found is not None
        if found is None and is_new:
            cache.add(digest, verified(number))
        if found is not None or is_new:
            used = [it for it in used if it != number] + [number]
        assert len(cache) <= size


def test_none_is_kept_where_none_may_be() -> None:
    cache = TokenCache(0)
    cache.add(b"a", verified(1))
    assert cache.find(b"a") is None
    assert len(cache) == 0
