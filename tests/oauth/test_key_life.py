"""The life of a signing key: which step is due when. JWKS-4."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.oauth.key_life import (
    NOTICE,
    Activate,
    KeyTimes,
    Move,
    Remove,
    due_steps,
    key_faults,
    least_retirement,
    next_step,
    readiness,
)
from service.oauth.receipt import KnownVerifier
from service.oauth.signing_key import FEED, TOKEN, SigningKey

NOW = datetime(2026, 11, 27, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TIMES = KeyTimes(
    rotation=30 * DAY,
    publication=DAY,
    shortest_publication=HOUR,
    retirement=timedelta(minutes=27),
)


def key(kid: str, state: str, **members: object) -> SigningKey:
    row = SigningKey(
        kid=kid,
        purpose=TOKEN,
        alg="RS256",
        state=state,
        public_jwk="{}",
        wrapped_private_key=b"",
        wrap_key_id="1",
        activates_at=NOW,
        published_at=NOW,
    )
    return replace(row, **members)  # pyright: ignore[reportArgumentType]


def verifier(name: str, *kids: str, age: float = 1) -> KnownVerifier:
    return KnownVerifier(
        client_id=name,
        name=name,
        epoch=UUID(int=0),
        number=0,
        kids=kids,
        age=timedelta(seconds=age),
    )


ACTIVE = key("old", "active", activates_at=NOW - 2 * DAY, published_at=NOW - 9 * DAY)
PENDING = key("new", "pending", activates_at=ACTIVE.activates_at + 30 * DAY)


def test_nothing_is_due_nearly_always() -> None:
    assert due_steps([ACTIVE, PENDING], NOW, TIMES, []) == []


def test_the_next_key_signs_when_the_one_before_has_signed_for_so_long() -> None:
    moment = PENDING.activates_at
    just_before = moment - timedelta(milliseconds=1)
    assert due_steps([ACTIVE, PENDING], just_before, TIMES, []) == []
    assert due_steps([ACTIVE, PENDING], moment, TIMES, []) == [Activate("new", "old")]


def test_each_purpose_and_algorithm_has_a_life_of_its_own() -> None:
    late = {"activates_at": NOW - 40 * DAY}
    others = [
        replace(ACTIVE, kid="feed", purpose=FEED, **late),
        replace(ACTIVE, kid="ec", alg="ES256", **late),
    ]
    assert due_steps([*others, ACTIVE, PENDING], NOW, TIMES, []) == []
    following = replace(PENDING, kid="ec-2", alg="ES256", activates_at=NOW - 10 * DAY)
    following = replace(following, published_at=NOW - 40 * DAY)
    steps = due_steps([*others, ACTIVE, PENDING, following], NOW, TIMES, [])
    assert steps == [Activate("ec-2", "ec")]


def test_the_first_key_of_an_algorithm_signs_once_verifiers_can_know_it() -> None:
    """JWKS-4: clients that asked for it wait no longer than that."""
    first = replace(PENDING, kid="ec", alg="ES256", activates_at=NOW + DAY)
    keys, later = [ACTIVE, PENDING, first], NOW + 2 * HOUR
    assert due_steps(keys, later, TIMES, [verifier("a", "old")]) == []
    assert due_steps(keys, later, TIMES, [verifier("a", "ec")]) == [Move("ec", later + NOTICE)]
    assert due_steps(keys, NOW + DAY, TIMES, []) == [Activate("ec", None)]
    come = [ACTIVE, PENDING, replace(first, activates_at=later)]
    assert due_steps(come, later, TIMES, [verifier("b", "old")]) == [Activate("ec", None)]


def test_a_new_key_waits_for_its_day_also_where_the_rotation_is_due() -> None:
    late = replace(ACTIVE, activates_at=NOW - 40 * DAY)
    fresh = replace(PENDING, activates_at=NOW + DAY)
    assert due_steps([late, fresh], NOW + HOUR, TIMES, []) == []
    assert due_steps([late, fresh], NOW + DAY, TIMES, []) == [Activate("new", "old")]


def test_a_changed_setting_moves_what_is_planned() -> None:
    times = replace(TIMES, rotation=60 * DAY)
    planned = ACTIVE.activates_at + 60 * DAY
    assert due_steps([ACTIVE, PENDING], NOW, times, []) == [Move("new", planned)]


def test_what_comes_sooner_by_a_setting_comes_with_notice() -> None:
    """Every pod has to read it first, or they would not switch at one moment."""
    old = replace(PENDING, published_at=NOW - 2 * DAY)
    times = replace(TIMES, rotation=DAY)
    assert due_steps([ACTIVE, old], NOW, times, []) == [Move("new", NOW + NOTICE)]
    moved = replace(old, activates_at=NOW + NOTICE)
    assert due_steps([ACTIVE, moved], NOW, times, []) == []
    assert due_steps([ACTIVE, moved], NOW + NOTICE, times, []) == [Activate("new", "old")]


def test_the_next_key_of_the_first_release_does_not_sign_at_once() -> None:
    """Its rows say a day after the publication, which nobody minded then."""
    row = replace(PENDING, activates_at=NOW - DAY, published_at=NOW - 2 * DAY)
    assert due_steps([ACTIVE, row], NOW, TIMES, []) == [Move("new", PENDING.activates_at)]


def test_a_retiring_key_goes_when_its_last_token_is_over() -> None:
    retiring = key("gone", "retiring", retiring_at=NOW)
    keys = [ACTIVE, PENDING, retiring]
    assert due_steps(keys, NOW + TIMES.retirement - timedelta(seconds=1), TIMES, []) == []
    assert due_steps(keys, NOW + TIMES.retirement, TIMES, []) == [Remove("gone")]


@pytest.mark.parametrize(
    ("verifiers", "wait", "said"),
    [
        ([], DAY, "no verifier reports"),
        ([verifier("billing-7f", "old")], DAY, "billing-7f has not fetched it"),
        ([verifier("a", "new"), verifier("b")], DAY, "b has not fetched it"),
        ([verifier("a", "new", age=31)], DAY, "a does not report any more"),
        ([verifier("a", "old", "new")], HOUR, "verifiers that do not report"),
    ],
)
def test_sooner_by_evidence_and_with_the_reason_why_not(
    verifiers: list[KnownVerifier], wait: timedelta, said: str
) -> None:
    ready = readiness(PENDING, NOW, TIMES, verifiers)
    assert ready.at == NOW + wait
    assert said in " ".join(ready.reasons)


def test_where_everybody_reports_it_is_at_once() -> None:
    times = replace(TIMES, shortest_publication=timedelta(0))
    ready = readiness(PENDING, NOW, times, [verifier("a", "new")])
    assert (ready.at, ready.reasons) == (NOW, ())


def test_what_was_asked_for_comes_as_soon_as_the_evidence() -> None:
    asked = replace(PENDING, hastened=True, activates_at=NOW + DAY)
    keys, later = [ACTIVE, asked], NOW + 2 * HOUR
    assert due_steps(keys, later, TIMES, [verifier("a", "old")]) == []
    assert due_steps(keys, later, TIMES, [verifier("a", "new")]) == [Move("new", later + NOTICE)]


def test_a_moment_that_has_come_is_not_taken_back() -> None:
    """Pods sign with it by then, whatever a verifier reports after."""
    asked = replace(PENDING, hastened=True, activates_at=NOW)
    assert due_steps([ACTIVE, asked], NOW, TIMES, [verifier("a")]) == [Activate("new", "old")]


def test_a_list_says_what_comes_next() -> None:
    retiring = key("gone", "retiring", retiring_at=NOW)
    keys = [ACTIVE, PENDING, retiring]
    told = [(next_step(it, keys, TIMES).what, next_step(it, keys, TIMES).at) for it in keys]
    assert told == [
        ("retires", PENDING.activates_at),
        ("signs", PENDING.activates_at),
        ("is removed", NOW + TIMES.retirement),
    ]
    assert next_step(ACTIVE, [ACTIVE], TIMES).at is None


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"publication": timedelta(minutes=59)}, "key_publication"),
        ({"rotation": timedelta(hours=23)}, "key_rotation"),
        ({"jwks_max_age": 2 * DAY}, "key_publication"),
        ({"retirement": timedelta(minutes=26)}, "key_retirement"),
    ],
)
def test_times_that_would_leave_a_token_unverified_are_refused(
    changed: dict[str, timedelta], field: str
) -> None:
    given = {
        "rotation": 30 * DAY,
        "publication": DAY,
        "retirement": least_retirement(timedelta(minutes=5)),
        "jwks_max_age": timedelta(minutes=5),
        "has_floors": True,
    }
    assert key_faults(**given) == []  # pyright: ignore[reportArgumentType]
    assert field in [it for it, _ in key_faults(**{**given, **changed})]  # pyright: ignore[reportArgumentType]


@given(
    rotation=st.integers(24, 400),
    publication=st.integers(1, 24),
    cache=st.integers(0, 60),
    token=st.integers(0, 10),
    start=st.integers(0, 3_000),
)
def test_a_token_verifies_by_keys_that_were_fetched_a_while_ago(
    rotation: int, publication: int, cache: int, token: int, start: int
) -> None:
    """JWKS-4, in a world of minutes: signed at any instant, used until it is over, by a verifier
    that caches the key set for as long as is allowed: never an unknown key."""
    times = KeyTimes(
        rotation=timedelta(hours=rotation),
        publication=timedelta(hours=publication),
        shortest_publication=timedelta(hours=publication),
        retirement=least_retirement(timedelta(minutes=5)),
    )
    keys = [
        key("0", "active", activates_at=NOW, published_at=NOW),
        key("1", "pending", activates_at=NOW + DAY, published_at=NOW),
    ]
    published: dict[int, frozenset[str]] = {}
    signer: dict[int, str] = {}
    # From a while before the rotation that is looked at; minute by minute.
    first = rotation * 60 - 90 + start % 60
    for minute in (0, *range(first, first + 240)):
        now = NOW + timedelta(minutes=minute)
        for _ in range(3):
            keys = advance(keys, now, times)
        begun = [it for it in keys if it.state in ("active", "pending") and it.activates_at <= now]
        signer[minute] = max(begun, key=lambda it: it.activates_at).kid
        published[minute] = frozenset(it.kid for it in keys)
    for signed in range(first + 60, first + 220):
        for used in (signed, min(signed + token, first + 239)):
            fetched = max(first, used - min(cache, publication * 60))
            assert signer[signed] in published[fetched] or fetched < signed - publication * 60


def advance(keys: list[SigningKey], now: datetime, times: KeyTimes) -> list[SigningKey]:
    """What the database's statements make of the steps that are due."""
    rows = {it.kid: it for it in keys}
    for step in due_steps(keys, now, times, []):
        match step:
            case Activate(kid, replaced):
                rows[replaced] = replace(rows[replaced], state="retiring", retiring_at=now)
                rows[kid] = replace(rows[kid], state="active")
            case Move(kid, at):
                rows[kid] = replace(rows[kid], activates_at=at)
            case Remove(kid):
                del rows[kid]
    if not any(it.state == "pending" for it in rows.values()):
        kid = str(max(map(int, rows)) + 1)
        rows[kid] = key(kid, "pending", activates_at=now + DAY, published_at=now)
    return list(rows.values())
