"""The refresh token's string: which session it continues, and how often that was rotated.

`wwr_` + base64url( version u8 ‖ key id u16 ‖ session id ‖ generation u32 ‖ session secret ‖ MAC ).
docs/explanation/refresh-tokens.md says why; RFC 6749 §1.5 leaves the form to the server.
"""

import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

from service.oauth.jws import decode_base64url, encode_base64url

PREFIX = "wwr_"
SECRET_BYTES = 32
MAX_GENERATION = (1 << 32) - 1

_VERSION = 1
_BODY = struct.Struct(f">BH16sI{SECRET_BYTES}s")
_MAC_BYTES = 32
_LENGTH = len(PREFIX) + (_BODY.size + _MAC_BYTES) * 4 // 3


class UnknownRefreshKey(Exception):
    """The string names a refresh master key that is not here."""

    def __init__(self, key_id: int) -> None:
        super().__init__(f"no refresh key {key_id}")
        self.key_id = key_id


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshToken:
    """What a string says, its MAC proven: it once was issued, by this server."""

    key_id: int
    session_id: UUID
    generation: int
    secret: bytes

    @property
    def secret_digest(self) -> bytes:
        """SHA-256 of the session's secret: all that the database knows of it."""
        return sha256(self.secret).digest()

    @property
    def successor(self) -> "RefreshToken":
        """The one token that follows; the same whoever works it out, and however often."""
        return RefreshToken(
            key_id=self.key_id,
            session_id=self.session_id,
            generation=self.generation + 1,
            secret=self.secret,
        )


class RefreshTokens:
    """Writes and reads the strings of one issuer, under its refresh master keys by id."""

    def __init__(self, issuer: str, keys: Mapping[int, bytes]) -> None:
        # Half of each MAC is the same for all tokens; a copy of it costs less than making it.
        label = b"watchword refresh\0" + issuer.encode() + b"\0"
        self._macs = {id_: hmac.new(key, label, sha256) for id_, key in keys.items()}

    def write(self, token: RefreshToken) -> str:
        """The token's one spelling, 120 characters."""
        body = _BODY.pack(
            _VERSION, token.key_id, token.session_id.bytes, token.generation, token.secret
        )
        return PREFIX + encode_base64url(body + self._mac(token.key_id, body))

    def read(self, text: str) -> RefreshToken | None:
        """The token that the text is; None for anything that this server did not write.

        Raises UnknownRefreshKey for what has the form of a token under a key that is not here.
        """
        if len(text) != _LENGTH or not text.startswith(PREFIX):
            return None
        raw = decode_base64url(text[len(PREFIX) :])
        if raw is None:
            return None
        body, mac = raw[: _BODY.size], raw[_BODY.size :]
        version, key_id, session_id, generation, secret = _BODY.unpack(body)
        if version != _VERSION:
            return None
        if key_id not in self._macs:
            raise UnknownRefreshKey(key_id)
        if not hmac.compare_digest(mac, self._mac(key_id, body)):
            return None
        return RefreshToken(
            key_id=key_id, session_id=UUID(bytes=session_id), generation=generation, secret=secret
        )

    def _mac(self, key_id: int, body: bytes) -> bytes:
        mac = self._macs[key_id].copy()
        mac.update(body)
        return mac.digest()
