"""Where the private halves of signing keys are kept: wrapped in the database, or in hardware."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from service.keys.master_keys import MasterKeys
from service.keys.signer import PrivateKey, Signer
from service.keys.wrapping import UnwrapError, associated_data, unwrap, wrap
from service.oauth.signing_key import RSA_BITS, TOKEN, SigningKey


class KeyringError(Exception):
    """A signing key can't be used; the text says which and what to do."""


class Hardware(Protocol):
    """Makes and keeps private keys that never leave it. Each raises SignerUnavailable."""

    def generate(self, alg: str, bits: int) -> dict[str, Any]:
        """The public JWK of a new key."""
        ...

    def open(self, public_jwk: dict[str, Any]) -> Signer | None:
        """What signs with the private half of that public key; None where it is not kept here."""
        ...

    def destroy(self, public_jwk: dict[str, Any]) -> None:
        """Delete a key that nobody has used."""
        ...

    def check(self) -> str:
        """Which hardware it is; it answers and lets in."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class KeyStore:
    """Makes signing keys and opens them.

    `rsa_bits`: of new RSA keys for tokens. `hardware`: where new keys for tokens are made and stay;
    without it they lie in the database, wrapped under the current wrap key, as the feed's always
    do: these sign each second.
    """

    issuer: str
    master_keys: MasterKeys
    rsa_bits: int = RSA_BITS
    hardware: Hardware | None = None

    def generate(self, purpose: str, alg: str, *, state: str, activates_at: datetime) -> SigningKey:
        """A new key. Takes up to seconds. Raises SignerUnavailable."""
        if purpose == TOKEN and self.hardware is not None:
            jwk = self.hardware.generate(alg, self.rsa_bits)
            return SigningKey(
                kid=jwk["kid"],
                purpose=purpose,
                alg=alg,
                state=state,
                public_jwk=json.dumps(jwk),
                activates_at=activates_at,
            )
        key = PrivateKey.generate(alg, self.rsa_bits if purpose == TOKEN else RSA_BITS)
        return self.wrap(key, purpose, state=state, activates_at=activates_at)

    def wrap(
        self, key: PrivateKey, purpose: str, *, state: str, activates_at: datetime
    ) -> SigningKey:
        """A key of ours as a row, its private half wrapped under the current wrap key."""
        bound_to = associated_data(self.issuer, purpose, key.alg, key.kid)
        wrap_key_id = self.master_keys.current_wrap
        return SigningKey(
            kid=key.kid,
            purpose=purpose,
            alg=key.alg,
            state=state,
            public_jwk=json.dumps(key.public_jwk),
            wrapped_private_key=wrap(
                self.master_keys.wrap[wrap_key_id], key.private_bytes(), bound_to
            ),
            wrap_key_id=wrap_key_id,
            activates_at=activates_at,
        )

    def open(self, key: SigningKey) -> Signer:
        """The key of a row, ready to sign. Raises KeyringError, which names what is missing."""
        if key.wrapped_private_key is None:
            return self._open_hardware(key)
        return self._unwrap(key, key.wrapped_private_key)

    def rewrap(self, key: SigningKey) -> bytes:
        """The private half of a row's key, wrapped under the current wrap key.

        Raises KeyringError, also for a key that hardware keeps.
        """
        if key.wrapped_private_key is None:
            raise KeyringError(f"the signing key {key.kid} is kept in hardware")
        private = self._unwrap(key, key.wrapped_private_key)
        bound_to = associated_data(self.issuer, key.purpose, key.alg, key.kid)
        master_key = self.master_keys.wrap[self.master_keys.current_wrap]
        return wrap(master_key, private.private_bytes(), bound_to)

    def discard(self, key: SigningKey) -> None:
        """Forget a new key that nobody has seen: another pod made one first.

        Raises SignerUnavailable.
        """
        if key.wrapped_private_key is None and self.hardware is not None:
            self.hardware.destroy(json.loads(key.public_jwk))

    def _open_hardware(self, key: SigningKey) -> Signer:
        if self.hardware is None:
            raise KeyringError(
                f"the signing key {key.kid} is kept in hardware: set WATCHWORD_PKCS11_MODULE, "
                "WATCHWORD_PKCS11_TOKEN and WATCHWORD_PKCS11_PIN"
            )
        public_jwk = _members(key)
        signer = self.hardware.open(public_jwk) if public_jwk else None
        if signer is None or (signer.kid, signer.alg) != (key.kid, key.alg):
            raise KeyringError(
                f"the signing key {key.kid} is not in the token that WATCHWORD_PKCS11_TOKEN names: "
                "it is another token, or the key was deleted there"
            )
        return signer

    def _unwrap(self, key: SigningKey, wrapped: bytes) -> PrivateKey:
        wrap_key_id = key.wrap_key_id or ""
        master_key = self.master_keys.wrap.get(wrap_key_id)
        if master_key is None:
            raise KeyringError(
                f"the signing key {key.kid} is wrapped under the master key {wrap_key_id}, "
                f"but wrap-{wrap_key_id}.key is not in the keys folder"
            )
        bound_to = associated_data(self.issuer, key.purpose, key.alg, key.kid)
        try:
            private = PrivateKey.load(unwrap(master_key, wrapped, bound_to))
        except (UnwrapError, TypeError, ValueError):
            private = None
        if private is None or (private.kid, private.alg) != (key.kid, key.alg):
            raise KeyringError(
                f"the signing key {key.kid} does not unwrap with wrap-{wrap_key_id}.key: it is "
                f"another key of that name, or WATCHWORD_ISSUER is not what it was ({self.issuer})"
            )
        return private


def _members(key: SigningKey) -> dict[str, Any]:
    """The public half by the row; nothing where somebody wrote something else there."""
    try:
        jwk = json.loads(key.public_jwk)
    except ValueError:
        return {}
    return jwk if isinstance(jwk, dict) else {}
