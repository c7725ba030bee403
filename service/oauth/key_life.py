"""The life of a signing key: pending, active, retiring, removed, and when each step comes. JWKS-4.

A key is published (`pending`) before it signs, so that verifiers know it by then; it signs
(`active`) from a moment on that stands in its row, at which all pods switch; it stays published
(`retiring`) until the last token that it signed is over, and is removed.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from service.oauth.client import MAX_ACCESS_TOKEN_TTL
from service.oauth.receipt import MISSING_AFTER, KnownVerifier
from service.oauth.signing_key import SigningKey

# The slowest known verifier that caches (Istio) fetches every 20 minutes.
SHORTEST_PUBLICATION = timedelta(hours=1)
NOTICE = timedelta(seconds=5)
# Beside the longest token: a pod that is cut off signs on for 10 minutes; clocks differ by 2.
_CUT_OFF = timedelta(minutes=10)
_CLOCKS = timedelta(minutes=2)
_SAME = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyTimes:
    """How long a key signs, is published before and after, and the least where all report it."""

    rotation: timedelta
    publication: timedelta
    shortest_publication: timedelta
    retirement: timedelta

    @property
    def notice(self) -> timedelta:
        """What is moved comes no sooner: every pod reads it within a second or two."""
        return min(NOTICE, self.publication / 4)  # less where the times are those of a test


def least_retirement(jwks_max_age: timedelta) -> timedelta:
    """How long a key that signs no more has to stay published at least."""
    return MAX_ACCESS_TOKEN_TTL + _CUT_OFF + jwks_max_age + _CLOCKS


def key_faults(
    *,
    rotation: timedelta,
    publication: timedelta,
    retirement: timedelta | None,
    jwks_max_age: timedelta,
    has_floors: bool,
) -> list[tuple[str, str]]:
    """Which times would leave a token that can't be verified at some moment, and why (JWKS-4)."""
    faults: list[tuple[str, str]] = []
    if rotation < publication:
        faults.append(("key_rotation", "is shorter than a key has to be published before it signs"))
    if publication < jwks_max_age:
        faults.append(
            ("key_publication", "is shorter than verifiers may cache the keys (the JWKS's max-age)")
        )
    if has_floors and publication < SHORTEST_PUBLICATION:
        faults.append(("key_publication", "must be at least 1h: so long some verifiers cache keys"))
    least = int(least_retirement(jwks_max_age).total_seconds())
    if has_floors and retirement is not None and retirement.total_seconds() < least:
        faults.append(
            ("key_retirement", f"must be at least {least}s: so long tokens of the key are good")
        )
    return faults


@dataclass(frozen=True, slots=True)
class Readiness:
    """From when on a pending key may sign, and why not sooner: a clause for each reason."""

    at: datetime
    reasons: tuple[str, ...] = ()


def readiness(
    key: SigningKey, now: datetime, times: KeyTimes, verifiers: Sequence[KnownVerifier]
) -> Readiness:
    """When the key may sign: a day after its publication, or sooner by the verifiers' receipts."""
    published = key.published_at or now
    full, least = published + times.publication, published + times.shortest_publication
    if full <= now:
        return Readiness(full)
    reasons = tuple(_lacks(key.kid, verifiers))
    if reasons:
        return Readiness(full, reasons)
    if least <= now:
        return Readiness(least)
    return Readiness(least, ("verifiers that do not report may cache the keys until then",))


def _lacks(kid: str, verifiers: Sequence[KnownVerifier]) -> Iterator[str]:
    if not verifiers:
        yield "no verifier reports, so nobody knows who has fetched it"
    for verifier in verifiers:
        if kid not in verifier.kids:
            yield f"{verifier.name} has not fetched it"
        elif verifier.age > MISSING_AFTER:
            yield f"{verifier.name} does not report any more"


@dataclass(frozen=True, slots=True)
class Activate:
    """The pending key signs from now on; `replaced` retires, where there is one."""

    kid: str
    replaced: str | None


@dataclass(frozen=True, slots=True)
class Move:
    """The pending key signs from another moment on."""

    kid: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Remove:
    """The retiring key is published no more."""

    kid: str


Step = Activate | Move | Remove


def due_steps(
    keys: Iterable[SigningKey],
    now: datetime,
    times: KeyTimes,
    verifiers: Sequence[KnownVerifier],
) -> list[Step]:
    """What has to be done about the keys now; nothing, nearly always."""
    keys = list(keys)
    active = {key.kind: key for key in keys if key.state == "active"}
    steps: list[Step] = []
    for key in keys:
        signing = active.get(key.kind)
        if key.state == "pending":
            at = planned_activation(key, signing, now, times, verifiers)
            steps += _step_of_pending(key, signing, now, at, times.notice)
        elif key.state == "retiring" and (key.retiring_at or now) + times.retirement <= now:
            steps.append(Remove(key.kid))
    return steps


def planned_activation(
    key: SigningKey,
    active: SigningKey | None,
    now: datetime,
    times: KeyTimes,
    verifiers: Sequence[KnownVerifier],
) -> datetime:
    """When a pending key is to sign: at the rotation's time, or as soon as may be when asked to.

    The first of its algorithm signs as soon as may be: clients wait for it.
    """
    if key.hastened or active is None:
        return readiness(key, now, times, verifiers).at
    return max((key.published_at or now) + times.publication, active.activates_at + times.rotation)


def _step_of_pending(
    key: SigningKey, active: SigningKey | None, now: datetime, planned: datetime, notice: timedelta
) -> list[Step]:
    has_come = key.activates_at <= now
    # Pods switch by the row's moment: what has come is not taken back.
    if has_come and (planned <= now or key.hastened or active is None):
        return [Activate(key.kid, active.kid if active else None)]
    if planned <= now:
        return [Move(key.kid, now + notice)] if key.activates_at > now + notice else []
    if abs(planned - key.activates_at) > _SAME:
        return [Move(key.kid, max(planned, now + notice))]
    return []


@dataclass(frozen=True, slots=True)
class NextStep:
    """What comes next in a key's life, and when; None: not by itself."""

    what: str
    at: datetime | None


def next_step(key: SigningKey, keys: Iterable[SigningKey], times: KeyTimes) -> NextStep:
    """What `keys list` says of a key."""
    if key.state == "pending":
        return NextStep("signs", key.activates_at)
    if key.state == "active":
        following = [it for it in keys if it.state == "pending" and it.kind == key.kind]
        return NextStep("retires", following[0].activates_at if following else None)
    if key.state == "retiring" and key.retiring_at is not None:
        return NextStep("is removed", key.retiring_at + times.retirement)
    return NextStep("", None)
