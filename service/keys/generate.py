"""New signing keys: generated here, wrapped before they leave."""

import json
from datetime import datetime

from service.keys.master_keys import MasterKeys
from service.keys.signer import RsaSigner
from service.keys.wrapping import associated_data, wrap
from service.oauth.signing_key import SigningKey


def generate_signing_key(
    *, issuer: str, purpose: str, state: str, activates_at: datetime, master_keys: MasterKeys
) -> SigningKey:
    """A new RS256 key, its private half wrapped under the current wrap key."""
    signer = RsaSigner.generate()
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
