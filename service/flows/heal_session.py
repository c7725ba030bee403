"""Healing: a refresh token that is newer than its row, after the database lost its last writes."""

from datetime import timedelta
from uuid import UUID

from service.flows.end_sessions import end_one_session
from service.flows.feed_reader import prove_entry, prove_heartbeat
from service.flows.origin import Origin
from service.keys.keyring import Keyring
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.feed import Heartbeat, milliseconds
from service.oauth.rotation import Presented, Stored
from service.oauth.session import Session
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.sql.connection import Database
from service.sql.sessions import heal_session

_FRESH = timedelta(seconds=30)
_PAGE = 256
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
            return await self._ask(stored, origin)
        except RedisUnavailable as error:
            raise TemporarilyUnavailable(_UNKNOWN, reason=str(error)) from error

    async def _ask(self, stored: Stored, origin: Origin) -> bool:
        text, revoked = await self._feed.find_end(stored.session.id)
        heartbeat = prove_heartbeat(text, self._keyring, self._issuer)
        if heartbeat is None or heartbeat.time < milliseconds(stored.session.now - _FRESH):
            raise TemporarilyUnavailable(_UNKNOWN, reason="the feed has no fresh heartbeat")
        if not revoked:
            return True
        if not await self._is_signed(stored.session.id, heartbeat):
            raise TemporarilyUnavailable(_UNKNOWN, reason="a look-up key without its signed fact")
        await end_one_session(self._database, stored.session.id, _TAKEN_BACK, origin)
        return False

    async def _is_signed(self, session_id: UUID, heartbeat: Heartbeat) -> bool:
        """Whether an entry says what the key says; anybody who writes to Redis can make a key."""
        after, subject = heartbeat.floor - 1, str(session_id)
        while page := await self._feed.read(heartbeat.epoch, after, _PAGE):
            entries = [prove_entry(jws, self._keyring, self._issuer) for jws in page]
            facts = [fact for entry in entries if entry is not None for fact in entry.facts]
            if any((fact.kind, fact.subject) == ("sid", subject) for fact in facts):
                return True
            after += len(page)
        return False
