"""Verdicts on refresh tokens: counted, logged, written down; some end the session. RT-6, RT-14."""

from collections.abc import Callable
from dataclasses import replace

from service.flows.end_sessions import write_end
from service.flows.origin import Origin
from service.metrics import Metrics
from service.oauth.errors import InvalidGrant, SessionGoesOn
from service.oauth.rotation import Presented, Stored, Verdict
from service.sql.audit_events import count_generations, insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.session_ends import EndedSession, end_session_above, end_session_below
from service.telemetry import log

# One text for all that must not be told apart (RT-2).
REFUSED = "the refresh token is invalid, expired or revoked"

# A thief who follows each honest refresh within the window retries in every generation (RT-14).
_FOLLOWED_GENERATIONS = 5

_EVENTS = {
    Verdict.RETRIED: "refresh_retried",
    Verdict.HEALED: "refresh_healed",
    Verdict.REUSE: "refresh_reuse",
    Verdict.IMPOSSIBLE: "refresh_impossible",
    Verdict.WRONG_CLIENT: "refresh_wrong_client",
    Verdict.DEAD: "refresh_dead",
    Verdict.BEYOND: "refresh_beyond",
}
_LEVELS = {Verdict.REUSE: "warning", Verdict.WRONG_CLIENT: "warning", Verdict.IMPOSSIBLE: "error"}


class RefreshVerdicts:
    """Carries verdicts out. Each is an audit event once per session and generation."""

    def __init__(self, database: Database, metrics: Metrics, nudge: Callable[[], None]) -> None:
        self._database = database
        self._metrics = metrics
        self._nudge = nudge
        # Looking the labels up costs more than counting.
        self._count = {
            # AGAIN is judged once more, and counted as what comes of that.
            verdict: metrics.refreshes.labels(verdict)
            for verdict in Verdict
            if verdict is not Verdict.AGAIN
        }

    def count(self, verdict: Verdict) -> None:
        """Count a presentation."""
        self._count[verdict].inc()

    def refusal(self, verdict: Verdict, *, in_shadow: bool = False) -> InvalidGrant:
        """The one refusal, to be raised, for all that must not be told apart."""
        self.count(verdict)
        ends_nothing = verdict is Verdict.WRONG_CLIENT or (verdict is Verdict.REUSE and in_shadow)
        return (SessionGoesOn if ends_nothing else InvalidGrant)(REFUSED, reason=verdict)

    async def note(
        self, verdict: Verdict, presented: Presented, stored: Stored, origin: Origin
    ) -> None:
        """Write the verdict down; a session retried in five generations running may be followed.

        Reuse ends the session, and so does a token that no loss explains: row, fact for every
        verifier and event in one transaction.
        """
        if verdict in {Verdict.REUSE, Verdict.IMPOSSIBLE}:
            await self._end(verdict, presented, stored, origin)
            return
        async with self._database.connection() as connection:
            if verdict is Verdict.DEAD:
                # Nothing came of it, and the user may be erased by now: not where it came from.
                origin = replace(origin, address=None)
            first = await _audit(connection, _EVENTS[verdict], presented, stored, origin)
            if first and verdict is Verdict.RETRIED:
                await self._watch(connection, presented, stored, origin)
        _log(verdict, stored)

    async def _end(
        self, verdict: Verdict, presented: Presented, stored: Stored, origin: Origin
    ) -> None:
        event = _EVENTS[verdict]
        async with self._database.transaction() as connection:
            ended = await _end_session(connection, verdict, presented, stored)
            if ended is not None:
                await write_end(connection, ended, event, origin)
            await _audit(connection, event, presented, stored, origin)
        if ended is not None:
            self._metrics.revocations.labels("sid").inc()
            self._nudge()
        _log(verdict, stored)

    async def _watch(
        self, connection: Connection, presented: Presented, stored: Stored, origin: Origin
    ) -> None:
        """Tell when the session was retried in so many generations running."""
        generation, session_id = presented.token.generation, stored.session.id
        running = range(generation - _FOLLOWED_GENERATIONS + 1, generation + 1)
        retried = _EVENTS[Verdict.RETRIED]
        count = await count_generations(connection, session_id, retried, list(running))
        if count < _FOLLOWED_GENERATIONS:
            return
        self._metrics.refreshes.labels("followed").inc()
        log.warning("refresh_followed", session_id=session_id, generation=generation)
        await _audit(connection, "refresh_followed", presented, stored, origin)


async def _end_session(
    connection: Connection, verdict: Verdict, presented: Presented, stored: Stored
) -> EndedSession | None:
    """End the session if what was judged still holds; in shadow mode reuse ends none."""
    token, event = presented.token, _EVENTS[verdict]
    if verdict is Verdict.IMPOSSIBLE:
        return await end_session_below(
            connection, token.session_id, token.generation, stored.life, event
        )
    if stored.in_shadow:
        return None
    return await end_session_above(connection, token.session_id, token.generation, event)


async def _audit(
    connection: Connection, event: str, presented: Presented, stored: Stored, origin: Origin
) -> bool:
    """Whether this is the first such event of the session's generation."""
    return await insert_audit_event(
        connection,
        event,
        client_id=presented.client.id,
        user_id=stored.session.user_id,
        session_id=stored.session.id,
        generation=presented.token.generation,
        address=origin.address,
        request_id=origin.request_id,
        stored_generation=stored.session.generation,
        shadow=stored.in_shadow,
    )


def _log(verdict: Verdict, stored: Stored) -> None:
    say = getattr(log, _LEVELS.get(verdict, "info"))
    say(_EVENTS[verdict], session_id=stored.session.id, shadow=stored.in_shadow)
