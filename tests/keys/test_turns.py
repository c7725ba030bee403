"""Who signs when: the key whose moment came last, by PostgreSQL's clock."""

import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys
from service.oauth.signing_key import ES256, FEED, RS256, TOKEN, SigningKey

MASTER_KEYS = MasterKeys(wrap={"1": b"1" * 32}, refresh={}, current_wrap="1", current_refresh=1)
STORE = KeyStore(issuer="https://auth.example.com", master_keys=MASTER_KEYS)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def generate(purpose: str, state: str, alg: str = RS256) -> SigningKey:
    return STORE.generate(purpose, alg, state=state, activates_at=NOW)


@pytest.fixture(scope="module")
def made() -> tuple[SigningKey, SigningKey, SigningKey]:
    return generate(TOKEN, "active"), generate(TOKEN, "pending"), generate(FEED, "active")


def ring(*keys: SigningKey, at: datetime | None) -> Keyring:
    """A keyring that read the keys just now, when PostgreSQL's clock said `at`."""
    keyring = Keyring(STORE)
    keyring.load(keys, monotonic=time.monotonic(), now=at)
    return keyring


def test_a_pending_key_signs_from_its_moment_on(made) -> None:
    active, pending, feed = made
    soon = replace(pending, activates_at=NOW + timedelta(seconds=1))
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


@pytest.fixture(scope="module")
def other() -> tuple[SigningKey, SigningKey]:
    return generate(TOKEN, "active", ES256), generate(TOKEN, "pending", ES256)


def signer(keyring: Keyring, alg: str) -> str:
    found = keyring.token_signer(alg)
    assert found is not None
    return found.kid


def test_each_algorithm_has_its_own_turns(made, other) -> None:
    """AT-1: one fixed algorithm per key; all are in one key set (JWKS-2)."""
    (active, _, feed), (es256, following) = made, other
    soon = replace(following, activates_at=NOW - timedelta(seconds=1))
    keyring = ring(active, es256, soon, feed, at=NOW)
    assert (signer(keyring, RS256), signer(keyring, ES256)) == (active.kid, soon.kid)
    assert keyring.key_set(TOKEN).verifiers.keys() == {active.kid, es256.kid, soon.kid}


def test_an_algorithm_without_a_key_that_verifiers_know_leaves_it_to_rs256(made, other) -> None:
    """JWKS-4: its first key is published before it signs."""
    (active, _, feed), (_, first) = made, other
    later = replace(first, activates_at=NOW + timedelta(hours=24))
    keyring = ring(active, later, feed, at=NOW)
    assert signer(keyring, ES256) == active.kid
    assert signer(ring(active, replace(later, activates_at=NOW), feed, at=NOW), ES256) == later.kid


def test_a_killed_key_is_replaced_within_its_algorithm(made, other) -> None:
    """The first key of another algorithm does not sign sooner for it."""
    (active, pending, feed), (_, first) = made, other
    later = replace(first, activates_at=NOW + timedelta(hours=24))
    following = replace(pending, activates_at=NOW + timedelta(days=30))
    keyring = ring(active, following, later, feed, at=NOW)
    keyring.drop([active.kid])
    assert (signer(keyring, RS256), signer(keyring, ES256)) == (following.kid, following.kid)


def test_a_killed_es256_key_without_a_next_one_leaves_it_to_rs256(made, other) -> None:
    (active, _, feed), (es256, _) = made, other
    keyring = ring(active, es256, feed, at=NOW)
    keyring.drop([es256.kid])
    assert signer(keyring, ES256) == active.kid
