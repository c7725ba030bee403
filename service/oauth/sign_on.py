"""A sign-on: one browser, signed on at this server. LOGIN-1 to LOGIN-3."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from uuid import UUID

from service.oauth.jws import decode_base64url, encode_base64url

SECRET_BYTES = 32
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SignOn:
    """A living sign-on with its user, as one statement gave it at `now`.

    `consented`: what the user has allowed the client that was asked for. Who was given no full name
    is called by the username, and who has none of these by the e-mail address.
    """

    id: UUID
    user_id: UUID
    secret_digest: bytes
    credential_version: int
    auth_time: datetime
    amr: tuple[str, ...]
    idle_expires_at: datetime
    expires_at: datetime
    username: str
    email: str
    full_name: str
    now: datetime
    consented: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SignOnCookie:
    """What the browser keeps: which sign-on, and the secret that only it has."""

    id: UUID
    secret: bytes

    @property
    def secret_digest(self) -> bytes:
        """What the database keeps of the secret."""
        return sha256(self.secret).digest()

    def opens(self, sign_on: SignOn) -> bool:
        """Whether the secret is the sign-on's; takes the same time either way."""
        return compare_digest(self.secret_digest, sign_on.secret_digest)

    def write(self) -> str:
        """The cookie's value: 64 characters of base64url."""
        return encode_base64url(self.id.bytes + self.secret)


def read_cookie_value(text: str) -> SignOnCookie | None:
    """The cookie of that value; None for any other text."""
    raw = decode_base64url(text) if text.isascii() else None
    if raw is None or len(raw) != _ID_BYTES + SECRET_BYTES:
        return None
    return SignOnCookie(UUID(bytes=raw[:_ID_BYTES]), raw[_ID_BYTES:])
