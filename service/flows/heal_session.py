"""Healing: a refresh token that is newer than its row, after the database lost its last writes."""

from datetime import timedelta

from service.flows.end_sessions import note_end, write_ends
from service.flows.feed_reader import prove_heartbeat
from service.flows.origin import Origin
from service.keys.keyring import Keyring
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.feed import milliseconds
from service.oauth.rotation import Presented, Stored
from service.oauth.session import Session
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.sql.connection import Database
from service.sql.session_ends import end_session
from service.sql.sessions import heal_session

_FRESH = timedelta(seconds=30)
_TAKEN_BACK = "taken_back_from_feed"
_UNKNOWN = "whether the session was revoked is not known yet; try again"


class Healer:
    """Sets a session to what a token proves, unless the feed remembers that it was revoked."""

    def __init__(self, database: Database, feed: RedisFeed, keyring: Keyring, issuer: str) -> None:
        self._database = database
        self._feed = feed
        self._keyring = keyring
        self._issuer = issuer

    async def heal(self, presented: Presented, stored: Stored) -> Session | None:
        """The session; None when its row changed meanwhile. Raises DatabaseUnavailable."""
        async with self._database.connection() as connection:
            return await heal_session(connection, presented, stored)

    async def may_heal(self, stored: Stored, origin: Origin) -> bool:
        """Whether the session was not revoked in the lost time; if it was, its end is taken back.

        Raises TemporarilyUnavailable while the feed can't say, and DatabaseUnavailable.
        """
        try:
            text, revoked = await self._feed.find_end(stored.session.id)
        except RedisUnavailable as error:
            raise TemporarilyUnavailable(_UNKNOWN, reason=str(error)) from error
        if revoked:
            await self._take_back(stored, origin)
            return False
        heartbeat = prove_heartbeat(text, self._keyring, self._issuer)
        if heartbeat is None or heartbeat.time < milliseconds(stored.session.now - _FRESH):
            raise TemporarilyUnavailable(_UNKNOWN, reason="the feed has no fresh heartbeat")
        return True

    async def _take_back(self, stored: Stored, origin: Origin) -> None:
        async with self._database.transaction() as connection:
            ended = await end_session(connection, stored.session.id, _TAKEN_BACK)
            if ended is not None:
                await write_ends(connection, [ended.id], _TAKEN_BACK, origin)
                await note_end(connection, ended, _TAKEN_BACK, origin)
