"""The keyring: the signing keys that this pod can use, and the key sets that it publishes."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from service.keys.master_keys import MasterKeys
from service.keys.signer import RsaSigner, Signer, Verifier
from service.keys.wrapping import UnwrapError, associated_data, unwrap
from service.oauth.jws import CompactJws
from service.oauth.signing_key import FEED, TOKEN, SigningKey

# A pod signs tokens only with a key set that the database confirmed in these last seconds.
CONFIRMED_TTL_SECONDS = 600.0


class KeyringError(Exception):
    """A signing key can't be used; the text says which and what to do."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys of one purpose: who signs, who verifies, and the JWK Set with its ETag."""

    active: Signer | None
    verifiers: dict[str, Verifier]
    jwks: bytes
    etag: str

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

    def load(self, keys: Sequence[SigningKey], *, monotonic: float) -> None:
        """Take over the database's keys, confirmed at that monotonic second.

        Raises KeyringError when an active key can't be unwrapped; what it had goes on then, but
        for keys that the database no longer lists. Another key that can't be unwrapped is left out
        of the key set and named in `faults`.
        """
        keys = [key for key in keys if key.state != "removed" and key.kid not in self._killed]
        listed = {key.kid for key in keys}
        self._keep(lambda kid: kid in listed)
        self._unwrap(keys)
        sets = {purpose: self._key_set(keys, purpose) for purpose in (TOKEN, FEED)}
        self._sets, self._confirmed_at = sets, monotonic
        self._listed = tuple(keys)

    def drop(self, killed: Iterable[str]) -> None:
        """Forget killed keys at once and for good, whatever the database says of them later."""
        new = set(killed) - self._killed
        if new:
            self._killed |= new
            self._keep(lambda kid: kid not in new)

    def _keep(self, may_stay: Callable[[str], bool]) -> None:
        self._signers = {kid: it for kid, it in self._signers.items() if may_stay(kid)}
        for purpose, keys in self._sets.items():
            kids = [kid for kid in keys.verifiers if may_stay(kid)]
            if len(kids) < len(keys.verifiers):
                active = keys.active if keys.active and may_stay(keys.active.kid) else None
                self._sets[purpose] = self._publish(active, kids)

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
                known[key.kid] = self._unwrap_one(key)
            except KeyringError as error:
                if key.state == "active":
                    raise
                self.faults.append(str(error))
        self._signers = known

    def _unwrap_one(self, key: SigningKey) -> RsaSigner:
        master_key = self.master_keys.wrap.get(key.wrap_key_id)
        if master_key is None:
            raise KeyringError(
                f"the signing key {key.kid} is wrapped under the master key {key.wrap_key_id}, "
                f"but wrap-{key.wrap_key_id}.key is not in the keys folder"
            )
        bound_to = associated_data(self._issuer, key.purpose, key.alg, key.kid)
        try:
            signer = RsaSigner.load(unwrap(master_key, key.wrapped_private_key, bound_to))
        except (UnwrapError, TypeError, ValueError):
            signer = None
        if signer is None or signer.kid != key.kid:
            raise KeyringError(
                f"the signing key {key.kid} does not unwrap with wrap-{key.wrap_key_id}.key: it is "
                f"another key of that name, or WATCHWORD_ISSUER is not what it was ({self._issuer})"
            )
        return signer

    def _key_set(self, keys: Sequence[SigningKey], purpose: str) -> KeySet:
        usable = [key for key in keys if key.purpose == purpose and key.kid in self._signers]
        active = [key for key in usable if key.state == "active"]
        if not active:
            raise KeyringError(f"the database has no active {purpose} key")
        return self._publish(self._signers[active[0].kid], [key.kid for key in usable])

    def _publish(self, active: Signer | None, kids: Sequence[str]) -> KeySet:
        jwks = [self._signers[kid].public_jwk for kid in kids]
        document = json.dumps({"keys": jwks}, separators=(",", ":")).encode()
        return KeySet(
            active=active,
            verifiers={jwk["kid"]: Verifier(jwk) for jwk in jwks},
            jwks=document,
            etag=f'"{sha256(document).hexdigest()[:32]}"',
        )
