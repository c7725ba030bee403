"""The authorization_code grant: RFC 6749 §4.1.3, a code for the tokens of a new session."""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from service.flows.begin_session import open_session
from service.flows.end_sessions import end_one_session
from service.flows.origin import Origin
from service.flows.session_tokens import SessionIssuer, SessionTokens, Wishes
from service.oauth.authorization_code import digest_code, redemption_fault, refused
from service.oauth.client import Client
from service.oauth.errors import InvalidTarget, OAuthError
from service.oauth.refresh_token import RefreshToken
from service.oauth.resource import check_resource
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.audit_events import insert_audit_event
from service.sql.authorization_codes import StoredCode, find_code, note_failure, spend_code
from service.sql.connection import Database
from service.sql.sessions import NewSession

_REUSED = "code_reused"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class CodeRequest:
    """A redemption as the authenticated client sent it."""

    code: str
    client: Client
    code_verifier: str | None
    redirect_uri: str | None
    resources: tuple[str, ...]
    origin: Origin


class _NotSpent(Exception):
    """Undoes it all: the code was spent first, or user, client or sign-on changed since."""


class AuthorizationCodeGrant:
    """Redeems codes; each begins one session, with a refresh token chain of its own.

    `on_end` is called where one ends for its code's sake: verifiers shall know at once.
    """

    def __init__(
        self, database: Database, issuer: SessionIssuer, on_end: Callable[[], object]
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._on_end = on_end

    async def redeem(self, request: CodeRequest) -> SessionTokens:
        """The tokens of a new session.

        Raises InvalidGrant, InvalidRequest and InvalidTarget, none of which spends the code, but
        burns it at the fifth time (AC-8). A spent code that comes again, with all else right, ends
        the session that it began (AC-7). Raises TemporarilyUnavailable, DatabaseUnavailable,
        SignerUnavailable: nothing has happened then.
        """
        self._issuer.signer(request.client)
        digest = digest_code(request.code)
        async with self._database.connection() as connection:
            stored = await find_code(connection, digest)
        if stored is None:
            raise refused("no such code")
        if stored.client_id != request.client.id:
            await self._note_stranger(stored, request)
            raise refused("another client's code")
        audience = await self._check(stored, request, digest)
        if not stored.living:
            await self._punish(stored, request.origin)
            raise refused("spent, expired or burned")
        tokens = await self._begin(stored, request, digest, audience)
        if tokens is None:
            async with self._database.connection() as connection:
                stored = await find_code(connection, digest) or stored
            await self._punish(stored, request.origin)
            raise refused("spent meanwhile, or the user changed or signed off")
        return tokens

    async def _check(
        self, stored: StoredCode, request: CodeRequest, digest: bytes
    ) -> tuple[str, ...]:
        """The audience of the access token, where all fits; else counts the failure and raises."""
        try:
            return _fit(stored, request)
        except OAuthError:
            if stored.living:
                async with self._database.connection() as connection:
                    await note_failure(connection, digest)
            raise

    async def _begin(
        self, stored: StoredCode, request: CodeRequest, digest: bytes, audience: tuple[str, ...]
    ) -> SessionTokens | None:
        """The tokens of the session; None where it can't begin. Raises TemporarilyUnavailable."""
        client = request.client
        token = self._issuer.begin(
            uuid7(int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES))
        )
        new = _session_of(stored, client, token)
        asked = time.monotonic()
        with suppress(_NotSpent):
            async with self._database.transaction() as connection:
                # First the code: whoever comes second waits there, and has begun nothing yet.
                if not await spend_code(connection, digest, new.id):
                    raise _NotSpent
                session = await open_session(connection, new, request.origin)
                if session is None or session.client_epoch != stored.client_epoch:
                    raise _NotSpent
                # Before COMMIT: where signing fails, the code is as good as before.
                return self._issuer.issue(
                    client,
                    session,
                    token,
                    asked=asked,
                    wishes=Wishes(audiences=audience, nonce=stored.nonce),
                )
        return None

    async def _punish(self, stored: StoredCode, origin: Origin) -> None:
        """End the session of a code that came twice: one of the two who had it stole it (AC-7)."""
        if stored.session_id is not None:
            await end_one_session(self._database, stored.session_id, _REUSED, origin)
            self._on_end()

    async def _note_stranger(self, stored: StoredCode, request: CodeRequest) -> None:
        async with self._database.connection() as connection:
            await insert_audit_event(
                connection,
                "code_of_another_client",
                client_id=request.client.id,
                user_id=stored.user_id,
                address=request.origin.address,
                request_id=request.origin.request_id,
                owner=stored.client_id,
            )


def _session_of(stored: StoredCode, client: Client, token: RefreshToken) -> NewSession:
    """What the code is for, as a session of that first refresh token."""
    return NewSession(
        id=token.session_id,
        user_id=stored.user_id,
        credential_version=stored.credential_version,
        client_id=client.id,
        secret_digest=token.secret_digest,
        scopes=stored.scopes,
        audiences=stored.audiences,
        amr=stored.amr,
        device=stored.device,
        idle_ttl=client.session_idle_ttl,
        absolute_ttl=client.session_absolute_ttl,
        auth_time=stored.auth_time,
        sign_on_id=stored.sign_on_id,
    )


def _fit(stored: StoredCode, request: CodeRequest) -> tuple[str, ...]:
    """The audience; raises what of the redemption does not fit the code."""
    fault = redemption_fault(
        code_challenge=stored.code_challenge,
        code_verifier=request.code_verifier,
        redirect_uri=stored.redirect_uri,
        sent_redirect_uri=request.redirect_uri,
    )
    if fault is not None:
        raise fault
    return _audience(request, stored)


def _audience(request: CodeRequest, stored: StoredCode) -> tuple[str, ...]:
    """What the access token is for, among what the session may have (RES-1)."""
    if not request.resources:
        return ()
    resource = check_resource(request.resources)
    if resource not in stored.audiences:
        raise InvalidTarget("the code is not for this resource")
    return (resource,)
