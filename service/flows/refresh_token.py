"""grant_type=refresh_token: RFC 6749 §6, rotation and reuse detection of RFC 9700 §4.14.2.

One statement rotates; only where it does not, a second one is read and judged. A refusal is raised
after the transaction that it reports: inside, it would roll the session's end back.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from service.flows.end_sessions import write_ends
from service.flows.flights import Flights
from service.flows.heal_session import Healer
from service.flows.origin import Origin
from service.flows.session_tokens import SessionIssuer, SessionTokens
from service.oauth.client import Client
from service.oauth.errors import (
    InvalidGrant,
    InvalidScope,
    InvalidTarget,
    OAuthError,
    TemporarilyUnavailable,
    WrongClient,
)
from service.oauth.refresh_token import RefreshToken, UnknownRefreshKey
from service.oauth.resource import check_resource
from service.oauth.rotation import Presented, Stored, Verdict, judge
from service.oauth.scope import parse_scope
from service.oauth.session import Session
from service.sql.audit_events import count_generations, insert_audit_event
from service.sql.connection import Connection, Database, DatabaseBusy
from service.sql.database_life import find_life
from service.sql.session_ends import end_session_above, end_session_below
from service.sql.sessions import find_stored, rotate_session
from service.telemetry import Metrics, log

# One text for all that must not be told apart (RT-2).
REFUSED = "the refresh token is invalid, expired or revoked"
# A thief who follows each honest refresh within the window retries in every generation (RT-14).
_FOLLOWED_GENERATIONS = 5
_JUDGEMENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RefreshRequest:
    """A presentation of a refresh token by an authenticated client."""

    token: str
    client: Client
    scope: str | None = None
    resources: tuple[str, ...] = ()
    origin: Origin


class RefreshTokenGrant:
    """Continues sessions. Presentations alike that are under way together share one rotation."""

    def __init__(
        self,
        database: Database,
        issuer: SessionIssuer,
        healer: Healer,
        metrics: Metrics,
        *,
        commit: str,
        nudge: Callable[[], None],
    ) -> None:
        self._database = database
        self._issuer = issuer
        self._healer = healer
        self._metrics = metrics
        self._commit = commit
        self._nudge = nudge
        self._flights: Flights[SessionTokens] = Flights()
        # Looking the labels up costs more than counting.
        self._count = {verdict: metrics.refreshes.labels(verdict) for verdict in Verdict}
        self.foreign_keys: frozenset[int] = frozenset()

    async def refresh(self, request: RefreshRequest) -> SessionTokens:
        """The session's next tokens, or on a retry the same refresh token once more.

        Raises InvalidGrant (WrongClient for another client's token), InvalidScope, InvalidTarget,
        none of which spends anything; TemporarilyUnavailable and DatabaseUnavailable, after which
        the same token can be presented again.
        """
        if not request.client.grace:  # strict: each presentation counts by itself (RT-8)
            return await self._refresh(request)
        key = (request.token, request.client.id, request.scope, request.resources)
        return await self._flights.share(key, lambda: self._refresh(request))

    async def _refresh(self, request: RefreshRequest) -> SessionTokens:
        self._issuer.signer()
        token = self._read(request.token)
        presented, fault = _present(token, request)
        asked = time.monotonic()
        session = None if fault else await self._rotate(presented)
        if session is not None:
            verdict = Verdict.ROTATED
        else:
            verdict, session = await self._settle(presented, fault, request.origin)
        self._count[verdict].inc()
        return self._issuer.issue(
            request.client,
            session,
            token.successor,
            asked=asked,
            scopes=presented.scopes,
            audiences=presented.audiences,
        )

    def _read(self, text: str) -> RefreshToken:
        try:
            token = self._issuer.refresh_tokens.read(text)
        except UnknownRefreshKey as error:
            if error.key_id in self.foreign_keys:
                # Another pod has it: master keys are being rolled out.
                raise TemporarilyUnavailable("the server is being updated; try again") from None
            token = None
        if token is None:
            self._refuse(Verdict.MALFORMED)
        return token

    async def _rotate(self, presented: Presented) -> Session | None:
        """Rotate in one statement; a row that somebody else locks for long is tried once more."""
        for last in (False, True):
            try:
                async with self._database.connection() as connection:
                    return await rotate_session(connection, presented, self._commit)
            except DatabaseBusy:
                if last:
                    raise
        raise AssertionError("unreachable")

    async def _settle(
        self, presented: Presented, fault: OAuthError | None, origin: Origin
    ) -> tuple[Verdict, Session]:
        """The verdict and the session of a token that is good all the same; else raises.

        Another pod may come between the judgement and what it asks for: then it is judged anew.
        """
        for _ in range(_JUDGEMENTS):
            verdict, session = await self._judge(presented, fault, origin)
            if session is not None:
                return verdict, session
        raise TemporarilyUnavailable("the session is being refreshed; try again")

    async def _judge(
        self, presented: Presented, fault: OAuthError | None, origin: Origin
    ) -> tuple[Verdict, Session | None]:
        async with self._database.connection() as connection:
            stored = await find_stored(connection, presented.token.session_id)
            if stored is None and await find_life(connection) is None:
                raise TemporarilyUnavailable("the database is recovering; try again shortly")
        verdict = judge(presented, stored)
        if stored is None or verdict is Verdict.DEAD:
            self._refuse(verdict, stored)
        match verdict:
            case Verdict.BEYOND:
                self._count[verdict].inc()
                raise fault or _beyond(presented, stored.session)
            case Verdict.RETRIED:
                await self._note_retry(presented, stored, origin)
                return verdict, stored.session
            case Verdict.AGAIN:
                return Verdict.ROTATED, await self._rotate(presented)
            case Verdict.HEALED:
                return verdict, await self._heal(presented, stored, origin)
            case _:
                await self._end(verdict, presented, stored, origin)

    async def _heal(self, presented: Presented, stored: Stored, origin: Origin) -> Session | None:
        try:
            return await self._healer.heal(presented, stored, origin)
        except InvalidGrant:  # the feed remembers an end that the database lost
            self._count[Verdict.DEAD].inc()
            self._nudge()
            raise

    async def _note_retry(self, presented: Presented, stored: Stored, origin: Origin) -> None:
        """Write the retry down; a session retried in five generations running may be followed."""
        generation, session_id = presented.token.generation, stored.session.id
        async with self._database.connection() as connection:
            first = await _audit(connection, Verdict.RETRIED, presented, stored, origin)
            if not first:
                return
            running = range(generation - _FOLLOWED_GENERATIONS + 1, generation + 1)
            count = await count_generations(
                connection, session_id, _EVENTS[Verdict.RETRIED], list(running)
            )
            if count == _FOLLOWED_GENERATIONS:
                self._metrics.refreshes.labels("followed").inc()
                log.warning("refresh_followed", session_id=session_id, generation=generation)
                await insert_audit_event(
                    connection,
                    "refresh_followed",
                    client_id=stored.session.client_id,
                    user_id=stored.session.user_id,
                    session_id=session_id,
                    generation=generation,
                    address=origin.address,
                    request_id=origin.request_id,
                )

    async def _end(
        self, verdict: Verdict, presented: Presented, stored: Stored, origin: Origin
    ) -> NoReturn:
        """Write down what happened, end the session where that is due, and refuse."""
        token, event = presented.token, _EVENTS[verdict]
        ended = None
        async with self._database.transaction() as connection:
            if verdict is Verdict.REUSE and not stored.in_shadow:
                ended = await end_session_above(
                    connection, token.session_id, token.generation, event
                )
            elif verdict is Verdict.IMPOSSIBLE:
                ended = await end_session_below(
                    connection, token.session_id, token.generation, stored.life, event
                )
            if ended is not None:
                await write_ends(connection, [ended.id], event, origin)
            await _audit(connection, verdict, presented, stored, origin)
        if ended is not None:
            self._metrics.revocations.labels("sid").inc()
            self._nudge()
        self._refuse(verdict, stored)

    def _refuse(self, verdict: Verdict, stored: Stored | None = None) -> NoReturn:
        """Raise the one refusal for all that must not be told apart; count and log which it was."""
        self._count[verdict].inc()
        if stored is not None and verdict is not Verdict.DEAD:
            say = log.error if verdict is Verdict.IMPOSSIBLE else log.warning
            say(_EVENTS[verdict], session_id=stored.session.id, shadow=stored.in_shadow)
        error = WrongClient if verdict is Verdict.WRONG_CLIENT else InvalidGrant
        raise error(REFUSED, reason=verdict)


_EVENTS = {
    Verdict.RETRIED: "refresh_retried",
    Verdict.REUSE: "refresh_reuse",
    Verdict.IMPOSSIBLE: "refresh_impossible",
    Verdict.WRONG_CLIENT: "refresh_wrong_client",
}


async def _audit(
    connection: Connection,
    verdict: Verdict,
    presented: Presented,
    stored: Stored,
    origin: Origin,
) -> bool:
    """Whether this is the first such event of the session's generation."""
    return await insert_audit_event(
        connection,
        _EVENTS[verdict],
        client_id=presented.client.id,
        user_id=stored.session.user_id,
        session_id=stored.session.id,
        generation=presented.token.generation,
        address=origin.address,
        request_id=origin.request_id,
        stored_generation=stored.session.generation,
        shadow=stored.in_shadow,
    )


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
