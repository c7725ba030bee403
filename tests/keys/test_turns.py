"""Who signs when: the key whose moment came last, by PostgreSQL's clock."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys
from service.keys.stored_key import generate_signing_key
from service.oauth.signing_key import FEED, TOKEN, SigningKey

MASTER_KEYS = MasterKeys(wrap={"1": b"1" * 32}, refresh={}, current_wrap="1", current_refresh=1)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def generate(purpose: str, state: str) -> SigningKey:
    return generate_signing_key(
        issuer="https://auth.example.com",
        purpose=purpose,
        state=state,
        activates_at=NOW,
        master_keys=MASTER_KEYS,
    )


@pytest.fixture(scope="module")
def made() -> tuple[SigningKey, SigningKey, SigningKey]:
    return generate(TOKEN, "active"), generate(TOKEN, "pending"), generate(FEED, "active")


def ring(*keys: SigningKey, at: datetime | None) -> Keyring:
    """A keyring that read the keys just now, when PostgreSQL's clock said `at`."""
    keyring = Keyring("https://auth.example.com", MASTER_KEYS)
    keyring.load(keys, monotonic=time.monotonic(), now=at)
    return keyring


def test_a_pending_key_signs_from_its_moment_on(made) -> None:
    active, pending, feed = made
    soon = replace(pending, activates_at=NOW + timedelta(seconds=0.2))
    keyring = ring(active, soon, feed, at=NOW)
    assert keyring.key_set(TOKEN).signer.kid == active.kid
    until = time.monotonic() + 5
    while keyring.key_set(TOKEN).signer.kid != pending.kid:
        assert time.monotonic() < until
    assert keyring.key_set(TOKEN).verifiers.keys() == {active.kid, pending.kid}


def test_a_moment_that_has_passed_counts_at_once(made) -> None:
    active, pending, feed = made
    assert ring(active, pending, feed, at=NOW).key_set(TOKEN).signer.kid == pending.kid


def test_without_the_databases_clock_states_alone_count(made) -> None:
    active, pending, feed = made
    assert ring(active, pending, feed, at=None).key_set(TOKEN).signer.kid == active.kid


def test_a_killed_key_leaves_its_place_to_the_next_at_once(made) -> None:
    """No token is refused for want of a signer in the second in which a key dies."""
    active, pending, feed = made
    later = replace(pending, activates_at=NOW + timedelta(days=30))
    keyring = ring(active, later, feed, at=NOW)
    keyring.drop([active.kid])
    assert keyring.key_set(TOKEN).signer.kid == pending.kid
    assert list(keyring.key_set(TOKEN).verifiers) == [pending.kid]


def test_a_killed_pending_key_never_signs(made) -> None:
    active, pending, feed = made
    soon = replace(pending, activates_at=NOW + timedelta(seconds=0.05))
    keyring = ring(active, soon, feed, at=NOW)
    keyring.drop([pending.kid])
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        assert keyring.key_set(TOKEN).signer.kid == active.kid
