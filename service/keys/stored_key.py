"""Signing keys as the database keeps them: wrapped before they leave, unwrapped when loaded."""

import json
from datetime import datetime

from service.keys.master_keys import MasterKeys
from service.keys.signer import RsaSigner
from service.keys.wrapping import UnwrapError, associated_data, unwrap, wrap
from service.oauth.signing_key import SigningKey


class KeyringError(Exception):
    """A signing key can't be used; the text says which and what to do."""


def generate_signing_key(
    *, issuer: str, purpose: str, state: str, activates_at: datetime, master_keys: MasterKeys
) -> SigningKey:
    """A new RS256 key, its private half wrapped under the current wrap key."""
    return wrap_key(
        RsaSigner.generate(),
        issuer=issuer,
        purpose=purpose,
        state=state,
        activates_at=activates_at,
        master_keys=master_keys,
    )


def wrap_key(
    signer: RsaSigner,
    *,
    issuer: str,
    purpose: str,
    state: str,
    activates_at: datetime,
    master_keys: MasterKeys,
) -> SigningKey:
    """A key of ours as a row, its private half wrapped under the current wrap key."""
    bound_to = associated_data(issuer, purpose, signer.alg, signer.kid)
    wrap_key_id = master_keys.current_wrap
    return SigningKey(
        kid=signer.kid,
        purpose=purpose,
        alg=signer.alg,
        state=state,
        public_jwk=json.dumps(signer.public_jwk),
        wrapped_private_key=wrap(master_keys.wrap[wrap_key_id], signer.private_bytes(), bound_to),
        wrap_key_id=wrap_key_id,
        activates_at=activates_at,
    )


def unwrap_key(key: SigningKey, master_keys: MasterKeys, issuer: str) -> RsaSigner:
    """The key of a row, ready to sign. Raises KeyringError, which names what is missing."""
    try:
        signer = RsaSigner.load(_unwrap(key, master_keys, issuer))
    except (UnwrapError, TypeError, ValueError):
        signer = None
    if signer is None or signer.kid != key.kid:
        raise KeyringError(
            f"the signing key {key.kid} does not unwrap with wrap-{key.wrap_key_id}.key: it is "
            f"another key of that name, or WATCHWORD_ISSUER is not what it was ({issuer})"
        )
    return signer


def rewrap(key: SigningKey, master_keys: MasterKeys, issuer: str) -> bytes:
    """The private half of a row's key, wrapped under the current wrap key. Raises KeyringError."""
    signer = unwrap_key(key, master_keys, issuer)
    bound_to = associated_data(issuer, key.purpose, key.alg, key.kid)
    return wrap(master_keys.wrap[master_keys.current_wrap], signer.private_bytes(), bound_to)


def _unwrap(key: SigningKey, master_keys: MasterKeys, issuer: str) -> bytes:
    master_key = master_keys.wrap.get(key.wrap_key_id)
    if master_key is None:
        raise KeyringError(
            f"the signing key {key.kid} is wrapped under the master key {key.wrap_key_id}, "
            f"but wrap-{key.wrap_key_id}.key is not in the keys folder"
        )
    bound_to = associated_data(issuer, key.purpose, key.alg, key.kid)
    return unwrap(master_key, key.wrapped_private_key, bound_to)
