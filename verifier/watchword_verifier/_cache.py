"""Tokens that were verified lately: bounded, keyed by a digest, judged anew at every hit."""

from dataclasses import dataclass

from watchword_verifier._claims import Claims
from watchword_verifier._facts import Subject
from watchword_verifier._jwks import PublicKey


@dataclass(frozen=True, slots=True)
class Verified:
    """A token whose signature and claims hold: what remains to be judged is time and revocation."""

    claims: Claims
    key: PublicKey
    expires_at: int
    subject: Subject


class TokenCache:
    """Up to `size` verified tokens. Those of the last `size / 2` new ones are surely here.

    Two generations: when the young one is full it becomes the old one, whose tokens return to the
    young one when they are asked for.
    """

    def __init__(self, size: int) -> None:
        self._half = size // 2
        self._young: dict[bytes, Verified] = {}
        self._old: dict[bytes, Verified] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def find(self, digest: bytes) -> Verified | None:
        """The token with that SHA-256."""
        found = self._young.get(digest)
        if found is None and (found := self._old.pop(digest, None)) is not None:
            self.add(digest, found)
        return found

    def add(self, digest: bytes, verified: Verified) -> None:
        """Keep a token; the oldest make room."""
        if len(self._young) >= self._half:
            self._young, self._old = {}, self._young
        if self._half:
            self._young[digest] = verified
