"""What a verifier may be told, and what it says of a bad option."""

from datetime import timedelta
from typing import Any

import pytest
from watchword_verifier import SyncVerifier, Verifier

GOOD: dict[str, Any] = {"issuer": "https://auth.example", "audience": "https://orders.example"}


@pytest.mark.parametrize("kind", [Verifier, SyncVerifier])
def test_two_names_are_enough(kind: Any) -> None:
    verifier = kind(**GOOD)
    assert (verifier.issuer, verifier.audience) == (GOOD["issuer"], GOOD["audience"])
    assert "object at" in repr(verifier)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"issuer": "https://auth.example/"}, "final slash"),
        ({"issuer": "https://auth.example?a=b"}, "query"),
        ({"issuer": "auth.example"}, "URL"),
        ({"issuer": "http://auth.example"}, "https"),
        ({"issuer": "http://127.0.0.1.evil.example"}, "https"),
        ({"issuer": "https://user:password@auth.example"}, "password"),
        ({"audience": ""}, "audience"),
        ({"revocations": "https://auth.example"}, "redis://"),
        ({"stale": "ignore"}, "reject, accept, introspect"),
        ({"stale": "introspect"}, "client"),
        ({"leeway": timedelta(seconds=61)}, "leeway"),
        ({"leeway": timedelta(seconds=-1)}, "leeway"),
        ({"max_staleness": timedelta(seconds=4)}, "max_staleness"),
        ({"algorithms": ()}, "algorithms"),
        ({"algorithms": ("none",)}, "algorithms"),
        ({"algorithms": ("HS256",)}, "algorithms"),
        ({"cache_size": -1}, "cache_size"),
        ({"name": "a b"}, "name"),
    ],
)
def test_a_bad_option_is_named(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Verifier(**{**GOOD, **changes})


@pytest.mark.parametrize("issuer", ["http://localhost:8000", "http://[::1]:8000/auth"])
def test_plain_http_is_for_this_machine(issuer: str) -> None:
    assert Verifier(**{**GOOD, "issuer": issuer}).issuer == issuer


def test_secrets_are_not_shown() -> None:
    options = {"client": ("orders", "wws_secret"), "revocations": "redis://u:secret@localhost/0"}
    assert "secret" not in repr(Verifier(**GOOD, **options))
