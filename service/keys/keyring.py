"""The keyring: the signing keys that this pod can use, and the key sets that it publishes."""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from service.keys.jwk import Verifier
from service.keys.key_store import KeyringError, KeyStore
from service.keys.master_keys import MasterKeys
from service.keys.signer import Signer, SignerUnavailable
from service.oauth.jws import CompactJws
from service.oauth.signing_key import FEED, RS256, TOKEN, SigningKey

# A pod signs tokens only with a key set that the database confirmed in these last seconds.
CONFIRMED_TTL_SECONDS = 600.0


Turns = tuple[tuple[float, Signer], ...]


class TokenKeysUnusable(KeyringError):
    """A key that signs tokens can't be used; the feed's keys can."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one purpose: who signs, who verifies, and the JWK Set with its ETag.

    `turns`: by algorithm, who signs from which monotonic second on, the latest first.
    """

    turns: dict[str, Turns]
    verifiers: dict[str, Verifier]
    jwks: bytes
    etag: str

    def active(self, alg: str) -> Signer | None:
        """The key that signs with that algorithm at this moment: all pods switch at the same."""
        now = time.monotonic()
        return next((signer for begins, signer in self.turns.get(alg, ()) if begins <= now), None)

    @property
    def signer(self) -> Signer:
        """The RS256 key that signs.

        Raises KeyringError when it was killed and no other is known yet.
        """
        active = self.active(RS256)
        if active is None:
            raise KeyringError("the signing key was killed, and the next is not known yet")
        return active


class Keyring:
    """Signing keys by purpose, as the database last gave them. Nothing until `load`."""

    def __init__(self, store: KeyStore) -> None:
        self.store = store
        self._signers: dict[str, Signer] = {}
        self._sets: dict[str, KeySet] = {}
        self._killed: set[str] = set()
        self._confirmed_at = float("-inf")
        self.faults: list[str] = []
        self._listed: tuple[SigningKey, ...] = ()

    @property
    def master_keys(self) -> MasterKeys:
        """The master keys of this pod."""
        return self.store.master_keys

    def load(
        self, keys: Sequence[SigningKey], *, monotonic: float, now: datetime | None = None
    ) -> None:
        """Take over the database's keys, confirmed at that monotonic second.

        `now`: what PostgreSQL's clock said then, so that a pending key begins to sign at its
        moment, also where the database is away by then. Without it no pending key does.

        Raises KeyringError when an active key can't be opened; what it had goes on then, but for
        keys that the database no longer lists. Another key that can't be opened is left out of the
        key set and named in `faults`. Raises SignerUnavailable when hardware does not answer, and
        TokenKeysUnusable when only keys of tokens can't be opened. The feed's keys are taken over
        with both: heartbeats need no hardware.
        """
        keys = [key for key in keys if key.state != "removed" and key.kid not in self._killed]
        listed = {key.kid for key in keys}
        self._keep(lambda kid: kid in listed)
        begins = {
            key.kid: monotonic + (key.activates_at - now).total_seconds()
            for key in keys
            if key.state == "pending" and now is not None
        }
        self.faults = []
        sets: dict[str, KeySet] = {}
        failed: list[KeyringError | SignerUnavailable] = []
        for purpose in (TOKEN, FEED):
            of_purpose = [key for key in keys if key.purpose == purpose]
            try:
                self._open(of_purpose)
                sets[purpose] = self._key_set(of_purpose, purpose, begins)
            except (KeyringError, SignerUnavailable) as error:
                failed.append(error)
        if failed:
            unusable = next((it for it in failed if isinstance(it, KeyringError)), None)
            if FEED not in sets:
                raise unusable or failed[0]
            self._sets = {**self._sets, FEED: sets[FEED]}
            raise TokenKeysUnusable(str(unusable)) if unusable else failed[0]
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
        algorithms = {self._signers[kid].alg for kid in new if kid in self._signers}
        self._keep(lambda kid: kid not in new)
        for purpose, keys in self._sets.items():
            turns = {
                alg: ((float("-inf"), keys.turns[alg][-1][1]),)
                for alg in algorithms
                if keys.turns.get(alg) and keys.active(alg) is None
            }
            self._sets[purpose] = replace(keys, turns=keys.turns | turns)

    def _keep(self, may_stay: Callable[[str], bool]) -> None:
        self._signers = {kid: it for kid, it in self._signers.items() if may_stay(kid)}
        for purpose, keys in self._sets.items():
            kids = [kid for kid in keys.verifiers if may_stay(kid)]
            if len(kids) < len(keys.verifiers):
                signers = [turn for turns in keys.turns.values() for turn in turns]
                turns = _by_algorithm(turn for turn in signers if may_stay(turn[1].kid))
                self._sets[purpose] = self._publish(turns, kids)

    @property
    def listed(self) -> tuple[SigningKey, ...]:
        """What the database last had, usable here or not, but for keys that were killed since."""
        return tuple(key for key in self._listed if key.kid not in self._killed)

    def is_loaded(self) -> bool:
        """Whether there are keys at all."""
        return TOKEN in self._sets

    def is_confirmed(self, *, monotonic: float) -> bool:
        """Whether the key set is recent enough to sign tokens with."""
        return self.age(monotonic=monotonic) < CONFIRMED_TTL_SECONDS

    def age(self, *, monotonic: float) -> float:
        """Seconds since the database last confirmed the keys; infinite before the first `load`."""
        return monotonic - self._confirmed_at

    def token_signer(self, alg: str) -> Signer | None:
        """The key that signs tokens with that algorithm; None when this pod may sign none.

        An algorithm that is asked for anew has no key yet that verifiers know: RS256 signs until
        it has. None also when the key set is too old: one of its keys may be dead.
        """
        if not self.is_confirmed(monotonic=time.monotonic()):
            return None
        keys = self._sets[TOKEN]
        return keys.active(alg) or keys.active(RS256)

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

    def _open(self, keys: Sequence[SigningKey]) -> None:
        """Open each key once; parsing one takes tens of milliseconds."""
        for key in keys:
            if key.kid in self._signers:
                continue
            try:
                self._signers[key.kid] = self.store.open(key)
            except (KeyringError, SignerUnavailable) as error:
                if key.state == "active":
                    raise
                self.faults.append(str(error))

    def _key_set(
        self, keys: Sequence[SigningKey], purpose: str, begins: dict[str, float]
    ) -> KeySet:
        usable = [key for key in keys if key.kid in self._signers]
        if not any((key.state, key.alg) == ("active", RS256) for key in usable):
            raise KeyringError(f"the database has no active {purpose} key")
        turns = _by_algorithm(
            (begins.get(key.kid, float("-inf")), self._signers[key.kid])
            for key in usable
            if key.state == "active" or key.kid in begins
        )
        return self._publish(turns, [key.kid for key in usable])

    def _publish(self, turns: dict[str, Turns], kids: Sequence[str]) -> KeySet:
        jwks = [self._signers[kid].public_jwk for kid in kids]
        document = json.dumps({"keys": jwks}, separators=(",", ":")).encode()
        return KeySet(
            turns=turns,
            verifiers={jwk["kid"]: Verifier(jwk) for jwk in jwks},
            jwks=document,
            etag=f'"{sha256(document).hexdigest()[:32]}"',
        )


def _by_algorithm(turns: Iterable[tuple[float, Signer]]) -> dict[str, Turns]:
    latest_first = sorted(turns, key=lambda turn: turn[0], reverse=True)
    algorithms = {signer.alg for _, signer in latest_first}
    return {alg: tuple(it for it in latest_first if it[1].alg == alg) for alg in algorithms}
