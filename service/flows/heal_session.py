"""Healing: a refresh token that is newer than its row, after the database lost its last writes."""

from datetime import timedelta

from service.flows.end_sessions import write_ends
from service.flows.feed_reader import prove_heartbeat
from service.flows.origin import Origin
from service.keys.keyring import Keyring
from service.oauth.errors import InvalidGrant, TemporarilyUnavailable
from service.oauth.feed import milliseconds
from service.oauth.rotation import Presented, Stored, Verdict
from service.oauth.session import Session
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database
from service.sql.session_ends import end_session
from service.sql.sessions import heal_session
from service.telemetry import log

_FRESH = timedelta(seconds=30)
_TAKEN_BACK = "taken_back_from_feed"


class Healer:
    """Sets a session to what a token proves, unless the feed remembers that it was revoked."""

    def __init__(self, database: Database, feed: RedisFeed, keyring: Keyring, issuer: str) -> None:
        self._database = database
        self._feed = feed
        self._keyring = keyring
        self._issuer = issuer

    async def heal(self, presented: Presented, stored: Stored, origin: Origin) -> Session | None:
        """The session; None when its row changed meanwhile.

        Raises InvalidGrant for a session that was revoked in the lost time,
        TemporarilyUnavailable while the feed can't say whether it was.
        """
        if await self._was_revoked(stored):
            await self._take_back(stored, origin)
            raise InvalidGrant(
                "the refresh token is invalid, expired or revoked", reason=_TAKEN_BACK
            )
        async with self._database.transaction() as connection:
            session = await heal_session(connection, presented, stored)
            if session is not None:
                await insert_audit_event(
                    connection,
                    "refresh_healed",
                    client_id=session.client_id,
                    user_id=session.user_id,
                    session_id=session.id,
                    generation=presented.token.generation,
                    address=origin.address,
                    request_id=origin.request_id,
                    stored_generation=stored.session.generation,
                )
        if session is not None:
            log.info("refresh_healed", session_id=session.id, verdict=Verdict.HEALED)
        return session

    async def _was_revoked(self, stored: Stored) -> bool:
        try:
            text, revoked = await self._feed.find_end(stored.session.id)
        except RedisUnavailable as error:
            raise TemporarilyUnavailable(
                "whether the session was revoked is not known yet; try again", reason=str(error)
            ) from error
        heartbeat = prove_heartbeat(text, self._keyring, self._issuer)
        oldest = milliseconds(stored.session.now - _FRESH)
        if not revoked and (heartbeat is None or heartbeat.time < oldest):
            raise TemporarilyUnavailable(
                "whether the session was revoked is not known yet; try again",
                reason="the feed has no fresh heartbeat",
            )
        return revoked

    async def _take_back(self, stored: Stored, origin: Origin) -> None:
        async with self._database.transaction() as connection:
            ended = await end_session(connection, stored.session.id, _TAKEN_BACK)
            if ended is not None:
                await write_ends(connection, [ended.id], _TAKEN_BACK, origin)
                await insert_audit_event(
                    connection,
                    "session_ended",
                    client_id=ended.client_id,
                    user_id=ended.user_id,
                    session_id=ended.id,
                    reason=_TAKEN_BACK,
                )
