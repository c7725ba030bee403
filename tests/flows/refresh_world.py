"""A database, two pods over it and what befalls them, for a machine that is not asynchronous."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from service.app import open_database
from service.flows.begin_session import begin_session
from service.flows.end_sessions import end_one_session
from service.flows.heal_session import Healer
from service.flows.manage_clients import create_client, revoke_client
from service.flows.manage_users import end_everywhere
from service.flows.origin import OPERATOR
from service.flows.refresh_token import RefreshRequest, RefreshTokenGrant
from service.flows.refresh_verdicts import RefreshVerdicts
from service.flows.session_tokens import SessionIssuer, SessionTokens
from service.oauth.errors import InvalidGrant, TemporarilyUnavailable
from service.oauth.user import KnownUser
from service.sql.connection import Database, DatabaseUnavailable
from tests.conftest import REGISTRATION, MakeSettings
from tests.faults.lost_writes import begin_anew, die, lose, remember, tick_until_beaten
from tests.faults.parts import Parts, open_parts
from tests.sessions import know_client, make_user

_T = TypeVar("_T")
PODS = 2
# 503 says that nothing was spent; a busy machine says it, too.
_TRIES = 3

_READ = "SELECT id, generation, rotated_at, incarnation, idle_expires_at FROM sessions"
_PUT_BACK = """
    UPDATE sessions
    SET generation = $2, rotated_at = $3, incarnation = $4, idle_expires_at = $5
    WHERE id = $1
"""


class World:
    """All that is real. Each public method returns when it is done."""

    def __init__(self, runner: asyncio.Runner, parts: Parts, databases: Sequence[Database]) -> None:
        self._runner = runner
        self._parts = parts
        self._issuer = SessionIssuer(parts.keyring, parts.settings.issuer)
        self._grants = [self._pod(database) for database in databases]
        self._revoked = False
        self._is_new = True
        # What a crash may come back to: rotations since the last commit that waited for the disk.
        self._points: list[list[Any]] = []

    def _pod(self, database: Database) -> RefreshTokenGrant:
        parts, issuer = self._parts, self._parts.settings.issuer
        healer = Healer(database, parts.feed, parts.keyring, issuer)
        verdicts = RefreshVerdicts(database, parts.metrics, self._nudge)
        return RefreshTokenGrant(database, self._issuer, healer, verdicts, commit="off")

    def _nudge(self) -> None:
        self._revoked = True

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    def begin_anew(self, windows: Sequence[float]) -> list[str]:
        """No sessions, a standby that has all, and clients with these windows; their ids."""
        ids = [f"test-{uuid4().hex[:12]}" for _ in windows]

        async def work() -> None:
            if self._is_new:
                self._parts, self._is_new = await begin_anew(self._parts), False
            async with self._parts.database.transaction() as connection:
                await connection.execute("DELETE FROM audit_events; DELETE FROM sessions")
                await connection.execute("DELETE FROM users")
            for id_, seconds in zip(ids, windows, strict=True):
                registration = replace(REGISTRATION, id=id_, grace=timedelta(seconds=seconds))
                issuer = self._parts.settings.issuer
                await create_client(self._parts.database, registration, issuer)
            await tick_until_beaten(self._parts)
            await remember(self._parts)

        self._do(work())
        self.note(durable=True)
        return ids

    def begin(self, client_id: str) -> tuple[KnownUser, SessionTokens]:
        """A session of a new user."""

        async def work() -> tuple[KnownUser, SessionTokens]:
            database = self._parts.database
            user = await make_user(database)
            client = await know_client(database, client_id)
            tokens = await begin_session(
                database, self._issuer, user, client, OPERATOR, device=None
            )
            assert tokens is not None
            return user, tokens

        begun = self._do(work())
        self.note(durable=True)
        return begun

    def present(self, client_id: str, *presented: tuple[int, str]) -> list[str | None]:
        """What becomes of strings that are presented together, each to a pod.

        A successor, or None where it was refused. Then what they revoked is published.
        """

        async def one(pod: int, token: str) -> str | None:
            client = await know_client(self._parts.database, client_id)
            request = RefreshRequest(token=token, client=client, origin=OPERATOR)
            for _ in range(_TRIES):
                try:
                    tokens = await self._grants[pod].refresh(request)
                except InvalidGrant:
                    return None
                except (TemporarilyUnavailable, DatabaseUnavailable):
                    continue
                return tokens.refresh_token
            raise AssertionError("the same token was not settled in three tries")

        async def work() -> list[str | None]:
            answers = await asyncio.gather(*(one(*it) for it in presented))
            if self._revoked:
                await self._parts.keeper.publish()
                self._revoked = False
            return answers

        return self._do(work())

    def note(self, *, durable: bool) -> None:
        """Remember the rows for a crash; `durable`: everything so far is on the disk."""

        async def work() -> list[Any]:
            async with self._parts.database.connection() as connection:
                return await connection.fetch(_READ)

        self._points = [*([] if durable else self._points), self._do(work())]

    def crash(self, depth: int) -> int:
        """Lose the last rotations, up to `depth` of them, and begin a new life; how many."""
        depth = min(depth, len(self._points) - 1)
        point = self._points[-1 - depth]

        async def work() -> None:
            async with self._parts.database.transaction() as connection:
                for row in point:
                    await connection.execute(_PUT_BACK, *row)
            await die(self._parts, promoted=False)
            await tick_until_beaten(self._parts)

        self._do(work())
        self.note(durable=True)
        return depth

    def fail_over(self) -> None:
        """Go on with the standby as it was, which gets back what the feed remembers."""

        async def work() -> None:
            await lose(self._parts)
            await tick_until_beaten(self._parts)
            await remember(self._parts)

        self._do(work())
        self.note(durable=True)

    def catch_up(self) -> None:
        """The standby has everything up to here."""
        self._do(remember(self._parts))

    def pass_time(self, seconds: float) -> None:
        """Let all rotations be so much longer ago, in every memory of them."""
        by = timedelta(seconds=seconds)

        async def work() -> None:
            async with self._parts.database.transaction() as connection:
                for table in ("sessions", "memory.sessions"):
                    await connection.execute(
                        f"UPDATE {table} SET rotated_at = rotated_at - $1::interval",  # noqa: S608
                        by,
                    )

        self._do(work())
        self._points = [
            [(row[0], row[1], row[2] - by, row[3], row[4]) for row in point]
            for point in self._points
        ]

    def end(self, session_id: UUID) -> None:
        """Revoke the session; acknowledged and published."""
        self._end(end_one_session(self._parts.database, session_id, "test", OPERATOR))

    def end_user(self, user: KnownUser) -> None:
        """Revoke every session of the user; acknowledged and published."""
        self._end(end_everywhere(self._parts.database, user.id, "test", OPERATOR))

    def end_client(self, client_id: str) -> None:
        """Revoke the client; acknowledged and published."""
        self._end(revoke_client(self._parts.database, client_id, enabled=True))

    def _end(self, ending: Coroutine[Any, Any, object]) -> None:
        async def work() -> None:
            await ending
            await self._parts.keeper.publish()

        self._do(work())
        self.note(durable=True)

    def rows(self) -> dict[UUID, tuple[int, bool]]:
        """Generation of each session, and whether it lives."""

        async def work() -> list[Any]:
            async with self._parts.database.connection() as connection:
                return await connection.fetch(
                    """
                    SELECT sessions.id, generation, revoked_at IS NULL AND client_epoch = epoch
                    FROM sessions JOIN clients ON clients.id = client_id
                    """
                )

        return {row[0]: (row[1], row[2]) for row in self._do(work())}


@contextmanager
def open_world(make_settings: MakeSettings) -> Iterator[World]:
    """A world with a loop, a database and pools of its own."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack = AsyncExitStack()
        parts, databases = runner.run(stack.enter_async_context(_open(make_settings)))
        try:
            yield World(runner, parts, databases)
        finally:
            runner.run(stack.aclose())


@asynccontextmanager
async def _open(make_settings: MakeSettings) -> AsyncIterator[tuple[Parts, list[Database]]]:
    async with open_parts(await make_settings()) as parts:
        databases = [open_database(parts.settings) for _ in range(PODS)]
        try:
            yield parts, databases
        finally:
            for database in databases:
                await database.close()
