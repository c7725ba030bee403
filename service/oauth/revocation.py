"""Revocations: facts that void tokens, and how long each must be remembered."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from service.oauth.client import MAX_ACCESS_TOKEN_TTL

# Leeway of a verifier and difference of clocks, 60 s each.
_MARGIN = timedelta(minutes=2)
# A pod that is cut off from PostgreSQL goes on with a cached client for so long.
CLIENT_CACHE_TTL = timedelta(minutes=10)

# How long a fact matters; a killed `kid` matters for ever.
FACT_TTL = MAX_ACCESS_TOKEN_TTL + _MARGIN
CLIENT_FACT_TTL = FACT_TTL + CLIENT_CACHE_TTL

# More living facts about single tokens of one client are refused: revoke the client instead.
MAX_TOKEN_FACTS = 10_000

_YEAR_9999 = 253_402_300_799

_VERSION_CLAIM = {"client": "cep", "stale": "cv"}
KINDS = ("jti", "sid", "client", "kid", "stale")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """A fact to be written with its cause: what, why, who, and for how long (None: for ever).

    `client_id` is the client whose tokens it voids, where there is one.
    """

    kind: str
    subject: str
    version: int = 0
    client_id: str | None = None
    ttl: timedelta | None
    reason: str
    actor: str


@dataclass(frozen=True, slots=True)
class Fact:
    """'Tokens matching this are void' (or, for `stale`, 'must be refreshed').

    `version` is the epoch below which a client's tokens are void, or the claims version below
    which a session's tokens are stale; 0 for the other kinds. `expires_at` None: never.
    """

    kind: str
    subject: str
    version: int
    expires_at: datetime | None

    def as_member(self) -> dict[str, Any]:
        """The fact as it stands in a feed entry: never who, never why."""
        member: dict[str, Any] = {self.kind: self.subject}
        if self.kind in _VERSION_CLAIM:
            member[_VERSION_CLAIM[self.kind]] = self.version
        if self.expires_at is not None:
            # Rounded up, in whole numbers: a float would lose microseconds of far-off times.
            whole = int(self.expires_at.replace(microsecond=0).timestamp())
            member["exp"] = whole + (self.expires_at.microsecond > 0)
        return member


def from_seconds(seconds: int) -> datetime:
    """The moment of a fact's `exp`."""
    return datetime.fromtimestamp(seconds, UTC)


def read_fact(member: Any) -> Fact | None:
    """A feed entry's member as a fact; None if it is none."""
    if not isinstance(member, dict):
        return None
    kinds = [kind for kind in KINDS if kind in member]
    if len(kinds) != 1:
        return None
    (kind,) = kinds
    subject, exp = member[kind], member.get("exp")
    version = member.get(_VERSION_CLAIM.get(kind, ""), 0)
    if not isinstance(subject, str) or type(version) is not int:
        return None
    if (exp is None) != (kind == "kid") or not (exp is None or type(exp) is int):
        return None
    if exp is not None and not 0 <= exp <= _YEAR_9999:
        return None
    return Fact(kind, subject, version, None if exp is None else from_seconds(exp))
