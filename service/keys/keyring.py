"""The keyring: the signing keys that this pod can use, and the key sets that it publishes."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from service.keys.master_keys import MasterKeys
from service.keys.signer import RsaSigner, Signer, Verifier
from service.keys.stored_key import KeyringError, unwrap_key
from service.oauth.jws import CompactJws
from service.oauth.signing_key import FEED, TOKEN, SigningKey

# A pod signs tokens only with a key set that the database confirmed in these last seconds.
CONFIRMED_TTL_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one purpose: who signs, who verifies, and the JWK Set with its ETag.

    `turns`: who signs from which monotonic second on, the latest first.
    """

    turns: tuple[tuple[float, Signer], ...]
    verifiers: dict[str, Verifier]
    jwks: bytes
    etag: str

    @property
    def active(self) -> Signer | None:
        """The key that signs at this moment: all pods switch at the same."""
        now = time.monotonic()
        return next((signer for begins, signer in self.turns if begins <= now), None)

    @property
    def signer(self) -> Signer:
        """The key that signs. Raises KeyringError when it was killed and no other is known yet."""
        if self.active is None:
            raise KeyringError("the signing key was killed, and the next is not known yet")
        return self.active


class Keyring:
    """Signing keys by purpose, as the database last gave them. Nothing until `load`."""

    def __init__(self, issuer: str, master_keys: MasterKeys) -> None:
        self._issuer = issuer
        self.master_keys = master_keys
        self._signers: dict[str, RsaSigner] = {}
        self._sets: dict[str, KeySet] = {}
        self._killed: set[str] = set()
        self._confirmed_at = float("-inf")
        self.faults: list[str] = []
        self._listed: tuple[SigningKey, ...] = ()

    def load(
        self, keys: Sequence[SigningKey], *, monotonic: float, now: datetime | None = None
    ) -> None:
        """Take over the database's keys, confirmed at that monotonic second.

        `now`: what PostgreSQL's clock said then, so that a pending key begins to sign at its
        moment, also where the database is away by then. Without it no pending key does.

        Raises KeyringError when an active key can't be unwrapped; what it had goes on then, but
        for keys that the database no longer lists. Another key that can't be unwrapped is left out
        of the key set and named in `faults`.
        """
        keys = [key for key in keys if key.state != "removed" and key.kid not in self._killed]
        listed = {key.kid for key in keys}
        self._keep(lambda kid: kid in listed)
        self._unwrap(keys)
        begins = {
            key.kid: monotonic + (key.activates_at - now).total_seconds()
            for key in keys
            if key.state == "pending" and now is not None
        }
        sets = {purpose: self._key_set(keys, purpose, begins) for purpose in (TOKEN, FEED)}
        self._sets, self._confirmed_at = sets, monotonic
        self._listed = tuple(keys)

    def drop(self, killed: Iterable[str]) -> None:
        """Forget killed keys at once and for good, whatever the database says of them later.

        The pending key signs in the place of a killed one: the transaction of its death made it so.
        """
        new = set(killed) - self._killed
        if not new:
            return
        self._killed |= new
        self._keep(lambda kid: kid not in new)
        for purpose, keys in self._sets.items():
            if keys.active is None and keys.turns:
                _, signer = keys.turns[-1]
                self._sets[purpose] = replace(keys, turns=((float("-inf"), signer),))

    def _keep(self, may_stay: Callable[[str], bool]) -> None:
        self._signers = {kid: it for kid, it in self._signers.items() if may_stay(kid)}
        for purpose, keys in self._sets.items():
            kids = [kid for kid in keys.verifiers if may_stay(kid)]
            if len(kids) < len(keys.verifiers):
                turns = tuple(turn for turn in keys.turns if may_stay(turn[1].kid))
                self._sets[purpose] = self._publish(turns, kids)

    @property
    def listed(self) -> tuple[SigningKey, ...]:
        """What the database last had, usable here or not, but for keys that were killed since."""
        return tuple(key for key in self._listed if key.kid not in self._killed)

    def is_loaded(self) -> bool:
        """Whether there are keys at all."""
        return bool(self._sets)

    def is_confirmed(self, *, monotonic: float) -> bool:
        """Whether the key set is recent enough to sign tokens with."""
        return self.age(monotonic=monotonic) < CONFIRMED_TTL_SECONDS

    def age(self, *, monotonic: float) -> float:
        """Seconds since the database last confirmed the keys; infinite before the first `load`."""
        return monotonic - self._confirmed_at

    def key_set(self, purpose: str) -> KeySet:
        """The keys of a purpose. Raises KeyError before the first `load`."""
        return self._sets[purpose]

    def verify(self, jws: CompactJws, purpose: str) -> bool:
        """Whether a published key of that purpose made the signature, with that key's algorithm."""
        kid = jws.kid
        verifier = self._sets[purpose].verifiers.get(kid) if kid else None
        if verifier is None or jws.header.get("alg") != verifier.alg:
            return False
        return verifier.verify(jws.signing_input, jws.signature)

    def _unwrap(self, keys: Sequence[SigningKey]) -> None:
        """Load each key once; parsing one takes tens of milliseconds."""
        known = {key.kid: self._signers[key.kid] for key in keys if key.kid in self._signers}
        self.faults = []
        for key in keys:
            if key.kid in known:
                continue
            try:
                known[key.kid] = unwrap_key(key, self.master_keys, self._issuer)
            except KeyringError as error:
                if key.state == "active":
                    raise
                self.faults.append(str(error))
        self._signers = known

    def _key_set(
        self, keys: Sequence[SigningKey], purpose: str, begins: dict[str, float]
    ) -> KeySet:
        usable = [key for key in keys if key.purpose == purpose and key.kid in self._signers]
        if not any(key.state == "active" for key in usable):
            raise KeyringError(f"the database has no active {purpose} key")
        turns = [
            (begins.get(key.kid, float("-inf")), self._signers[key.kid])
            for key in usable
            if key.state == "active" or key.kid in begins
        ]
        turns.sort(key=lambda turn: turn[0], reverse=True)
        return self._publish(tuple(turns), [key.kid for key in usable])

    def _publish(self, turns: tuple[tuple[float, Signer], ...], kids: Sequence[str]) -> KeySet:
        jwks = [self._signers[kid].public_jwk for kid in kids]
        document = json.dumps({"keys": jwks}, separators=(",", ":")).encode()
        return KeySet(
            turns=turns,
            verifiers={jwk["kid"]: Verifier(jwk) for jwk in jwks},
            jwks=document,
            etag=f'"{sha256(document).hexdigest()[:32]}"',
        )
