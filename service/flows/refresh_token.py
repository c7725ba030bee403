"""grant_type=refresh_token: RFC 6749 §6, rotation and reuse detection of RFC 9700 §4.14.2.

One statement rotates; only where it does not, the row is read by a second one and judged. A refusal
is raised after the transaction that it reports: inside, it would roll the session's end back.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.flows.database_clock import DatabaseClock
from service.flows.flights import Flights
from service.flows.heal_session import Healer
from service.flows.origin import Origin
from service.flows.refresh_verdicts import RefreshVerdicts
from service.flows.session_tokens import SessionIssuer, SessionTokens, Wishes
from service.oauth.client import Client
from service.oauth.errors import (
    InvalidScope,
    InvalidTarget,
    OAuthError,
    TemporarilyUnavailable,
)
from service.oauth.refresh_token import RefreshToken, UnknownRefreshKey
from service.oauth.resource import check_resource
from service.oauth.rotation import Presented, Stored, Verdict, judge
from service.oauth.scope import parse_scope
from service.oauth.session import Session
from service.sql.connection import Database, DatabaseBusy
from service.sql.sessions import find_stored, rotate_session

# Between a judgement and what it asks for another pod may come.
_JUDGEMENTS = 2

_Issue = Callable[[Session], SessionTokens]


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshRequest:
    """A presentation of a refresh token by an authenticated client."""

    token: str
    client: Client
    scope: str | None = None
    resources: tuple[str, ...] = ()
    origin: Origin


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A presentation that rotated nothing: what is wrong with it, and what makes its tokens."""

    presented: Presented
    fault: OAuthError | None
    origin: Origin
    issue: _Issue


class RefreshTokenGrant:
    """Continues sessions. Presentations alike that are under way together share one rotation."""

    def __init__(
        self,
        database: Database,
        issuer: SessionIssuer,
        healer: Healer,
        verdicts: RefreshVerdicts,
        *,
        commit: str,
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._healer = healer
        self._verdicts = verdicts
        self._commit = commit
        self._clock = DatabaseClock()
        self._flights: Flights[SessionTokens] = Flights()
        self.foreign_keys: frozenset[int] = frozenset()

    async def refresh(self, request: RefreshRequest) -> SessionTokens:
        """The session's next tokens, or on a retry the same refresh token once more.

        Raises InvalidGrant (SessionGoesOn where that is so), InvalidScope, InvalidTarget,
        none of which spends anything; TemporarilyUnavailable, SignerUnavailable and
        DatabaseUnavailable, after which the same token can be presented again.
        """
        if not request.client.grace:  # strict: each presentation counts by itself (RT-8)
            return await self._refresh(request)
        key = (request.token, request.client.id, request.scope, request.resources)
        return await self._flights.share(key, lambda: self._refresh(request))

    async def _refresh(self, request: RefreshRequest) -> SessionTokens:
        self._issuer.signer(request.client)
        token = self._read(request.token)
        presented, fault = _present(token, request)
        asked = time.monotonic()

        def issue(session: Session) -> SessionTokens:
            return self._issuer.issue(
                request.client,
                session,
                token.successor,
                asked=asked,
                wishes=Wishes(scopes=presented.scopes, audiences=presented.audiences),
            )

        tokens = None if fault else await self._rotate(presented, issue)
        if tokens is not None:
            verdict = Verdict.ROTATED
        else:
            attempt = _Attempt(presented, fault, request.origin, issue)
            verdict, tokens = await self._settle(attempt)
        self._verdicts.count(verdict)
        return tokens

    def _read(self, text: str) -> RefreshToken:
        try:
            token = self._issuer.refresh_tokens.read(text)
        except UnknownRefreshKey as error:
            if error.key_id in self.foreign_keys:
                # Another pod has it: master keys are being rolled out.
                raise TemporarilyUnavailable("the server is being updated; try again") from None
            token = None
        if token is None:
            raise self._verdicts.refusal(Verdict.MALFORMED)
        return token

    async def _rotate(self, presented: Presented, issue: _Issue) -> SessionTokens | None:
        """Rotate in one statement; a row that somebody else locks for long is tried once more.

        With a key in hardware, which may be away for longer than the grace window, the signatures
        are made before COMMIT: where they fail, nothing was rotated.
        """
        in_memory = self._issuer.signer(presented.client).in_memory
        begin = self._database.connection if in_memory else self._database.transaction
        for last in (False, True):
            tokens = None
            try:
                async with begin() as connection:
                    session = await rotate_session(
                        connection, presented, self._commit, self._clock.deadline()
                    )
                    if session is not None and not in_memory:
                        tokens = issue(session)
            except DatabaseBusy:
                if last:
                    raise
            else:
                if session is None:
                    return None
                self._clock.learn(session.now)
                return tokens or issue(session)
        raise AssertionError("unreachable")

    async def _settle(self, attempt: _Attempt) -> tuple[Verdict, SessionTokens]:
        """The verdict and the tokens of a token that is good all the same; else raises."""
        presented = attempt.presented
        for _ in range(_JUDGEMENTS):
            stored = await self._find(presented.token)
            verdict = judge(presented, stored)
            if stored is None or not stored.has_secret(presented.token):
                raise self._verdicts.refusal(verdict)
            if verdict is Verdict.AGAIN:
                verdict, tokens = Verdict.ROTATED, await self._rotate(presented, attempt.issue)
            elif verdict is Verdict.HEALED:
                tokens = await self._heal(attempt, stored)
            else:
                await self._verdicts.note(verdict, presented, stored, attempt.origin)
                tokens = self._repeat(verdict, attempt, stored)
            if tokens is not None:
                return verdict, tokens
        raise TemporarilyUnavailable("the session is being refreshed; try again")

    def _repeat(self, verdict: Verdict, attempt: _Attempt, stored: Stored) -> SessionTokens:
        """What the retry of a rotation is answered; raises for everything else."""
        if verdict is Verdict.RETRIED:
            return attempt.issue(stored.session)
        if verdict is Verdict.BEYOND:
            self._verdicts.count(verdict)
            raise attempt.fault or _beyond(attempt.presented, stored.session)
        raise self._verdicts.refusal(verdict, in_shadow=stored.in_shadow)

    async def _find(self, token: RefreshToken) -> Stored | None:
        async with self._database.connection() as connection:
            stored = await find_stored(connection, token.session_id)
        if stored is not None:
            self._clock.learn(stored.session.now)
        return stored

    async def _heal(self, attempt: _Attempt, stored: Stored) -> SessionTokens | None:
        """The tokens; None when the row changed meanwhile. Raises when the feed knows its end."""
        presented, origin = attempt.presented, attempt.origin
        if not await self._healer.may_heal(stored, origin):
            raise self._verdicts.refusal(Verdict.DEAD)
        session = await self._healer.heal(presented, stored)
        if session is None:
            return None
        await self._verdicts.note(Verdict.HEALED, presented, stored, origin)
        return attempt.issue(session)


def _present(token: RefreshToken, request: RefreshRequest) -> tuple[Presented, OAuthError | None]:
    """What is presented, and the fault of a scope or resource that no session can have.

    The fault is not raised yet: a spent token is judged as spent, whatever else is asked (RT-3).
    """
    scopes: tuple[str, ...] = ()
    fault: OAuthError | None = None
    try:
        if request.scope is not None:
            scopes = parse_scope(request.scope)
        if request.resources:
            check_resource(request.resources)
    except OAuthError as error:
        fault = error
    presented = Presented(
        token=token,
        client=request.client,
        scopes=scopes,
        audiences=request.resources if fault is None else (),
        is_beyond=fault is not None,
    )
    return presented, fault


def _beyond(presented: Presented, session: Session) -> OAuthError:
    """What of scope and resource the session does not have (RFC 6749 §6, RFC 8707 §2.2)."""
    if not set(presented.scopes) <= set(session.scopes):
        return InvalidScope("the scope goes beyond what was granted")
    return InvalidTarget("the resource is none that was granted")
