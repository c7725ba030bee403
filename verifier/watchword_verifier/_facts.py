"""The live facts of the revocation feed in memory: about a hundred bytes each, found at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from watchword_verifier._errors import InvalidToken, RefreshRequired, Revoked

KINDS = ("jti", "sid", "client", "kid", "stale")
_VERSION = {"client": "cep", "stale": "cv"}
_UUID_LENGTH = 36

Key = int | str


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact as an entry gives it; `expires_at` in seconds since 1970, None for a killed key."""

    kind: str
    subject: str
    version: int
    expires_at: int | None


class UnknownFact(Exception):
    """A member of an entry that is no fact of version 1: who reads on would miss something."""


def read_fact(member: object) -> Fact:
    """A member of an entry as a fact. Raises UnknownFact."""
    if not isinstance(member, Mapping):
        raise UnknownFact("a fact that is no object")
    kinds = [kind for kind in KINDS if kind in member]
    if len(kinds) != 1:
        raise UnknownFact("a fact of no known kind, or of several")
    kind = kinds[0]
    subject: Any = member[kind]
    exp: Any = member.get("exp")
    version: Any = member.get(_VERSION[kind]) if kind in _VERSION else 0
    if not isinstance(subject, str) or type(version) is not int:
        raise UnknownFact(f"a {kind} fact that says of nothing, or no version")
    if (type(exp) is not int) if kind != "kid" else (exp is not None):
        raise UnknownFact(f"a {kind} fact with another expiry than its kind has")
    return Fact(kind, subject, version, exp)


def key_of(subject: str) -> Key:
    """A subject as a dictionary key: a UUID as the integer that it is, 48 bytes and not 85."""
    if len(subject) == _UUID_LENGTH:
        try:
            return int(subject.replace("-", ""), 16)
        except ValueError:
            pass
    return subject


class _Bucket:
    """Facts that expire in the same second. It stands itself for the expiry of each."""

    __slots__ = ("expires_at", "keys")

    def __init__(self, expires_at: int) -> None:
        self.expires_at = expires_at
        self.keys: list[Key] = []


class _Table:
    """The facts of one kind: which bucket each is in and, for two kinds, below which version."""

    __slots__ = ("_buckets", "rows", "versions")

    def __init__(self) -> None:
        self.rows: dict[Key, _Bucket] = {}
        self.versions: dict[Key, int] = {}
        self._buckets: dict[int, _Bucket] = {}

    def add(self, key: Key, version: int, expires_at: int) -> None:
        """Facts only add up: the later expiry and the higher version hold."""
        row = self.rows.get(key)
        if row is None or row.expires_at < expires_at:
            bucket = self._buckets.get(expires_at)
            if bucket is None:
                bucket = self._buckets[expires_at] = _Bucket(expires_at)
            bucket.keys.append(key)
            self.rows[key] = bucket
        if version > self.versions.get(key, 0):
            self.versions[key] = version

    def drop_below(self, expires_at: float, limit: int) -> int:
        """Drop up to `limit` facts that expire before a moment; how many."""
        left = limit
        for second in [it for it in self._buckets if it < expires_at]:
            if left <= 0:
                break
            bucket = self._buckets[second]
            gone = bucket.keys[-left:]
            del bucket.keys[-left:]
            left -= len(gone)
            for key in gone:
                if self.rows.get(key) is bucket:  # else a later expiry took its place
                    del self.rows[key]
                    self.versions.pop(key, None)
            if not bucket.keys:
                del self._buckets[second]
        return limit - left


@dataclass(frozen=True, slots=True)
class Subject:
    """What of a token facts may name."""

    jti: Key
    session_id: Key | None
    client_id: str
    client_epoch: int
    claims_version: int


def subject_of(claims: Mapping[str, Any]) -> Subject:
    """What facts may name of a token whose claims were checked."""
    session_id = claims.get("sid")
    return Subject(
        key_of(claims["jti"]),
        None if session_id is None else key_of(session_id),
        claims["client_id"],
        claims.get("cep", 0),
        claims.get("cv", 0),
    )


class Facts:
    """Which tokens are void: filled by whoever follows the feed, asked for every token.

    Killed keys are not here: who holds the keys drops them.
    """

    __slots__ = ("_clients", "_sessions", "_stale", "_tokens")

    def __init__(self) -> None:
        self._tokens, self._sessions = _Table(), _Table()
        self._clients, self._stale = _Table(), _Table()

    def __len__(self) -> int:
        return sum(len(table.rows) for table in self._tables())

    def add(self, fact: Fact) -> None:
        """Take a fact in; one about a key is not for here."""
        if fact.expires_at is None:
            return
        table = {
            "jti": self._tokens,
            "sid": self._sessions,
            "client": self._clients,
            "stale": self._stale,
        }[fact.kind]
        key = fact.subject if fact.kind == "client" else key_of(fact.subject)
        table.add(key, fact.version, fact.expires_at)

    def drop_expired(self, now: float, leeway: float, limit: int = 10_000) -> int:
        """Drop facts that no token outlives, by the clock that judges tokens; how many."""
        count = 0
        for table in self._tables():
            count += table.drop_below(now - leeway, limit - count)
        return count

    def judge(self, token: Subject) -> type[InvalidToken] | None:
        """Why a token is void, if it is: Revoked or RefreshRequired."""
        session_id = token.session_id
        if token.jti in self._tokens.rows:
            return Revoked
        if token.client_epoch < self._clients.versions.get(token.client_id, 0):
            return Revoked
        if session_id is not None:
            if session_id in self._sessions.rows:
                return Revoked
            if token.claims_version < self._stale.versions.get(session_id, 0):
                return RefreshRequired
        return None

    def _tables(self) -> Iterator[_Table]:
        return iter((self._tokens, self._sessions, self._clients, self._stale))
