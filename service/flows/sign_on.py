"""Signing on at this server, and off: what the browser's cookie stands for. LOGIN-1 to LOGIN-3."""

import secrets
import time
from datetime import timedelta
from typing import Any
from uuid import UUID

from service.flows.end_sessions import write_end, write_ends
from service.flows.origin import Origin
from service.oauth.id_token import IdTokenHint
from service.oauth.sign_on import SECRET_BYTES, SignOn, SignOnCookie, read_cookie_value
from service.oauth.user import KnownUser
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.sign_on_sessions import end_session_at_sign_out, end_sessions_of_sign_on
from service.sql.sign_ons import (
    NewSignOn,
    end_sign_on,
    find_sign_on,
    insert_sign_on,
    renew_credential_version,
    touch_sign_on,
)

# A use is noted so often at most: reading must not become writing.
_TOUCH_EVERY = timedelta(minutes=1)
_SIGNED_OUT = "signed_out"


class SignOns:
    """Browsers' sign-ons: `idle` unused they are over, and `absolute` after the sign-in."""

    def __init__(self, database: Database, *, idle: timedelta, absolute: timedelta) -> None:
        self._database = database
        self._idle = idle
        self._absolute = absolute

    @property
    def max_age(self) -> int:
        """For how many seconds a browser need keep the cookie."""
        return int(self._absolute.total_seconds())

    async def find(self, cookie: str | None, client_id: str | None = None) -> SignOn | None:
        """The living sign-on of a cookie; with what its user has allowed the client.

        Raises DatabaseUnavailable.
        """
        held = read_cookie_value(cookie) if cookie else None
        if held is None:
            return None
        async with self._database.connection() as connection:
            found = await find_sign_on(connection, held.id, client_id)
            if found is None or not held.opens(found):
                return None
            unused = found.now - (found.idle_expires_at - self._idle)
            if unused > _TOUCH_EVERY and found.idle_expires_at < found.expires_at:
                await touch_sign_on(connection, held.id, self._idle)
        return found

    async def begin(
        self, user: KnownUser, before: SignOn | None, origin: Origin, *, device: str | None
    ) -> SignOnCookie | None:
        """The cookie of a user who proved the password; None if the user changed since.

        `before`: what the browser had. Its user's own goes on under another secret, as its sessions
        do; another user's ends. Raises DatabaseUnavailable.
        """
        is_same = before is not None and before.user_id == user.id
        cookie = SignOnCookie(
            id=before.id if before is not None and is_same else _new_id(),
            secret=secrets.token_bytes(SECRET_BYTES),
        )
        new = NewSignOn(
            id=cookie.id,
            user_id=user.id,
            credential_version=user.credential_version,
            secret_digest=cookie.secret_digest,
            amr=("pwd",),
            device=device,
            idle_ttl=self._idle,
            absolute_ttl=self._absolute,
        )
        async with self._database.transaction() as connection:
            begun = await insert_sign_on(connection, new)
            if begun:
                await _audit(connection, "signed_on", user.id, origin, device=device)
            if begun and before is not None and not is_same:
                await self._end(connection, before, origin)
        return cookie if begun else None

    async def end(self, sign_on: SignOn, origin: Origin) -> int:
        """Sign the browser off, and end the sessions that came of it and may not outlive it.

        How many sessions ended. Raises DatabaseUnavailable.
        """
        async with self._database.transaction() as connection:
            return await self._end(connection, sign_on, origin)

    async def end_hinted(self, hint: IdTokenHint, origin: Origin) -> int:
        """End the session that a proven hint is of, whatever became of its sign-on; how many.

        It may be older than the sign-on that the browser has by now. Raises DatabaseUnavailable.
        """
        if hint.session_id is None:
            return 0
        async with self._database.transaction() as connection:
            ended = await end_session_at_sign_out(
                connection, hint.session_id, hint.user_id, hint.client_id, _SIGNED_OUT
            )
            if ended is None:
                return 0
            await write_end(connection, ended, _SIGNED_OUT, origin)
        return 1

    async def renew(self, sign_on: SignOn, credential_version: int) -> SignOnCookie:
        """The cookie of the browser whose user has just changed the password: it goes on.

        `credential_version`: what that change made it. After another change it is dead.
        """
        cookie = SignOnCookie(sign_on.id, secrets.token_bytes(SECRET_BYTES))
        async with self._database.connection() as connection:
            await renew_credential_version(
                connection, sign_on.id, credential_version, cookie.secret_digest
            )
        return cookie

    async def _end(self, connection: Connection, sign_on: SignOn, origin: Origin) -> int:
        if await end_sign_on(connection, sign_on.id, _SIGNED_OUT) is None:
            return 0
        ended = await end_sessions_of_sign_on(connection, sign_on.id, _SIGNED_OUT)
        await write_ends(connection, ended, _SIGNED_OUT, origin)
        await _audit(connection, _SIGNED_OUT, sign_on.user_id, origin, sessions=len(ended))
        return len(ended)


def _new_id() -> UUID:
    return uuid7(int(time.time() * 1000), secrets.token_bytes(RANDOM_BYTES))


async def _audit(
    connection: Connection, event: str, user_id: UUID, origin: Origin, **detail: Any
) -> None:
    await insert_audit_event(
        connection,
        event,
        user_id=user_id,
        address=origin.address,
        request_id=origin.request_id,
        actor=origin.actor,
        **detail,
    )
