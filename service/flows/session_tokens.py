"""The tokens of a session: an access token and the one refresh token that continues it."""

import secrets
import time
from dataclasses import dataclass
from uuid import UUID

from service.keys.keyring import Keyring
from service.keys.sign import sign
from service.keys.signer import Signer
from service.oauth.access_token import TYP, session_claims
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.id_token import TYP as ID_TOKEN_TYP
from service.oauth.id_token import id_token_claims
from service.oauth.refresh_token import SECRET_BYTES, RefreshToken, RefreshTokens
from service.oauth.session import Session
from service.oauth.uuid7 import RANDOM_BYTES, uuid7

# Beyond, a revocation's fact might lapse before a token that was made from an older answer.
_MAX_STATEMENT_AGE_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class SessionTokens:
    """What a login or a refresh answers; lifetimes in seconds (RFC 6749 §5.1).

    `refresh_expires_in`: to the nearer of the session's two expiries.
    """

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str
    refresh_expires_in: int
    session_id: UUID
    id_token: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What of its session's the access token shall have (RFC 6749 §6), and the ID Token's nonce."""

    scopes: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    nonce: str | None = None


_NONE = Wishes()


class SessionIssuer:
    """Makes the tokens of sessions, under the keys of this pod."""

    def __init__(self, keyring: Keyring, issuer: str) -> None:
        self._keyring = keyring
        self._issuer = issuer
        self.refresh_tokens = RefreshTokens(issuer, keyring.master_keys.refresh)

    def begin(self, session_id: UUID) -> RefreshToken:
        """A new session's first refresh token, its secret 256 random bits."""
        return RefreshToken(
            key_id=self._keyring.master_keys.current_refresh,
            session_id=session_id,
            generation=0,
            secret=secrets.token_bytes(SECRET_BYTES),
        )

    def signer(self, client: Client) -> Signer:
        """The key that signs for the client; asked for before anything is spent.

        Raises TemporarilyUnavailable.
        """
        signer = self._keyring.token_signer(client.signing_alg)
        if signer is None:
            raise TemporarilyUnavailable("the server can't sign at present; try again shortly")
        return signer

    def issue(
        self,
        client: Client,
        session: Session,
        token: RefreshToken,
        *,
        asked: float,
        wishes: Wishes = _NONE,
    ) -> SessionTokens:
        """The tokens of a session as the database gave it to a statement sent at `asked`.

        `asked` is monotonic seconds. A session of OpenID Connect has an ID Token beside.
        Raises TemporarilyUnavailable when the answer is too old to sign for.
        """
        scope = wishes.scopes or session.scopes
        random = secrets.token_bytes(RANDOM_BYTES)
        claims = session_claims(
            issuer=self._issuer,
            client=client,
            session=session,
            audience=(wishes.audiences or session.audiences)[0],
            scope=scope,
            jti=uuid7(int(session.now.timestamp() * 1000), random),
        )
        if time.monotonic() - asked > _MAX_STATEMENT_AGE_SECONDS:
            raise TemporarilyUnavailable("the server is overloaded; try again shortly")
        signer = self.signer(client)
        access_token = sign(signer, TYP, claims)
        id_token = None
        if "openid" in session.scopes:
            about = id_token_claims(
                issuer=self._issuer,
                client_id=client.id,
                session=session,
                access_token=access_token,
                nonce=wishes.nonce,
            )
            id_token = sign(signer, ID_TOKEN_TYP, about)
        return SessionTokens(
            access_token=access_token,
            expires_in=claims["exp"] - claims["iat"],
            scope=claims["scope"],
            refresh_token=self.refresh_tokens.write(token),
            refresh_expires_in=max(1, int(session.refresh_ttl.total_seconds())),
            session_id=session.id,
            id_token=id_token,
        )
