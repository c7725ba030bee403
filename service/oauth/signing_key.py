"""A signing key as the database keeps it. Its life: pending, active, retiring, removed."""

from dataclasses import dataclass
from datetime import datetime

TOKEN = "token"  # noqa: S105 (a purpose, not a secret)
FEED = "feed"

# RFC 7518 §3.1. Every verifier knows RS256; ES256 is for clients that ask for it (IOP-14).
RS256 = "RS256"
ES256 = "ES256"
TOKEN_ALGORITHMS = (RS256, ES256)

# RFC 7518 §3.3: at least 2048; more than 4096 would make each signature cost ten times one of 2048.
RSA_BITS = 2048
MAX_RSA_BITS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A key pair; the private half is wrapped under the master key `wrap_key_id`, or in hardware.

    `kid` is the RFC 7638 thumbprint of `public_jwk`, a JSON object of public members.
    `activates_at` is the moment from which it signs, by PostgreSQL's clock; `hastened`: an operator
    asked for that as soon as may be.
    """

    kid: str
    purpose: str
    alg: str
    state: str
    public_jwk: str
    wrapped_private_key: bytes | None = None
    wrap_key_id: str | None = None
    activates_at: datetime
    published_at: datetime | None = None
    retiring_at: datetime | None = None
    hastened: bool = False

    @property
    def kind(self) -> tuple[str, str]:
        """Purpose and algorithm: each has one active and one pending key."""
        return self.purpose, self.alg
