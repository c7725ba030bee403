"""A database, a Redis, a pod's parts and verifiers that follow when told: real but for the time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from watchword_verifier import Options, VerifierError
from watchword_verifier._clock import Clock
from watchword_verifier._engine import Engine
from watchword_verifier._feed_claims import Faulty
from watchword_verifier._follow import Follower
from watchword_verifier._sources import Away, RedisSource

from service.flows.begin_session import begin_session
from service.flows.client_credentials import issue_to_client, utc_now
from service.flows.end_sessions import end_one_session
from service.flows.manage_clients import create_client, revoke_client
from service.flows.manage_users import set_roles
from service.flows.origin import OPERATOR
from service.flows.read_token import read_token
from service.flows.revoke_token import revoke_token
from service.flows.session_tokens import SessionIssuer, SessionTokens
from service.oauth.signing_key import FEED, TOKEN
from service.oauth.user import KnownUser
from tests.conftest import AUDIENCE, REGISTRATION, MakeSettings
from tests.faults.lost_writes import new_keeper, wipe_redis
from tests.faults.parts import Parts, open_parts
from tests.sessions import know_client, make_user

_T = TypeVar("_T")
STALENESS = timedelta(seconds=5)


class Time:
    """How much longer ago everything is than it was: the same for server and verifiers."""

    def __init__(self) -> None:
        self.passed = 0.0

    def clock(self) -> Clock:
        return Clock(
            wall=lambda: time.time() + self.passed,
            monotonic=lambda: time.monotonic() + self.passed,
        )


class Following:
    """A verifier without its background: it looks at Redis once for each call of `look`."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        options = Options(
            issuer=parts.settings.issuer,
            audience=AUDIENCE,
            revocations=parts.settings.redis_url.reveal(),
            redis_prefix=parts.settings.redis_prefix,
            max_staleness=STALENESS,
        )
        self.engine = Engine(options, clock)
        for keys, purpose in ((self.engine._keys.tokens, TOKEN), (self.engine._keys.feed, FEED)):
            keys.load(parts.keyring.key_set(purpose).jwks, age=0)
        self.redis = RedisSource(options.revocations or "", options.redis_prefix)
        self.follower = Follower(
            self.engine._feed, self.engine._keys, clock, (self.redis, None), 5.0
        )

    async def look(self) -> None:
        self.follower._beat_at = float("-inf")
        try:
            await self.follower._read_redis(self.redis)
        except (Away, Faulty):
            return

    async def verdict(self, token: str) -> str:
        try:
            await self.engine.verify(token, (), "reject", None)
        except VerifierError as error:
            return type(error).__name__
        return "good"


class World:
    """All that is real. Each public method returns when it is done."""

    def __init__(self, runner: asyncio.Runner, parts: Parts, time: Time) -> None:
        self._runner = runner
        self._parts = parts
        self.time = time
        self._issuer = SessionIssuer(parts.keyring, parts.settings.issuer)
        self.verifiers: list[Following] = []
        self._keeper = parts.keeper

    def _do(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self._runner.run(work)

    def begin_anew(self, verifiers: int) -> None:
        """Nothing is revoked, and there are so many verifiers that know nothing."""

        async def work() -> None:
            for each in self.verifiers:
                await each.redis.close()
            self.verifiers = [Following(self._parts, self.time.clock()) for _ in range(verifiers)]
            # A keeper that remembers heartbeats of another example would beat in their time.
            await wipe_redis(self._parts)
            self._keeper = new_keeper(self._parts)
            await self._keeper.tick()

        self._do(work())

    def make_client(self) -> str:
        id_ = f"test-{uuid4().hex[:12]}"
        issuer = self._parts.settings.issuer
        self._do(create_client(self._parts.database, replace(REGISTRATION, id=id_), issuer))
        return id_

    def machine_token(self, client_id: str) -> str:
        async def work() -> str:
            client = await know_client(self._parts.database, client_id)
            issued = issue_to_client(
                client,
                scope=None,
                resources=(),
                keyring=self._parts.keyring,
                issuer=self._parts.settings.issuer,
            )
            return issued.access_token

        return self._do(work())

    def begin(self, client_id: str) -> tuple[KnownUser, SessionTokens]:
        async def work() -> tuple[KnownUser, SessionTokens]:
            database = self._parts.database
            user = await make_user(database)
            client = await know_client(database, client_id)
            tokens = await begin_session(
                database, self._issuer, user, client, OPERATOR, device=None
            )
            assert tokens is not None
            return user, tokens

        return self._do(work())

    def revoke_token(self, token: str) -> None:
        access = read_token(token, self._parts.keyring, self._parts.settings.issuer)
        self._do(
            revoke_token(access, self._parts.database, OPERATOR, client_id=None, now=utc_now())
        )

    def end_session(self, session_id: UUID) -> None:
        self._do(end_one_session(self._parts.database, session_id, "test", OPERATOR))

    def revoke_client(self, client_id: str) -> None:
        self._do(revoke_client(self._parts.database, client_id, enabled=True))

    def set_roles(self, user: KnownUser, roles: tuple[str, ...]) -> None:
        self._do(set_roles(self._parts.database, user.id, roles, OPERATOR))

    def publish(self) -> None:
        self._do(self._keeper.publish())

    def tick(self) -> None:
        self._do(self._keeper.tick())

    def flush_redis(self) -> None:
        self._do(wipe_redis(self._parts))

    def look(self, which: int) -> None:
        self._do(self.verifiers[which].look())

    def restart(self, which: int) -> None:
        async def work() -> None:
            await self.verifiers[which].redis.close()
            self.verifiers[which] = Following(self._parts, self.time.clock())

        self._do(work())

    def verdict(self, which: int, token: str) -> str:
        return self._do(self.verifiers[which].verdict(token))


@contextmanager
def open_world(make_settings: MakeSettings, set_back: Callable[[Time], None]) -> Iterator[World]:
    """A world with a loop and a database of its own; `set_back` lets the server share its time."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        stack, passing = AsyncExitStack(), Time()
        set_back(passing)
        parts = runner.run(stack.enter_async_context(_open(make_settings)))
        world = World(runner, parts, passing)
        try:
            yield world
        finally:
            world.begin_anew(0)
            runner.run(stack.aclose())


@asynccontextmanager
async def _open(make_settings: MakeSettings) -> AsyncIterator[Parts]:
    async with open_parts(await make_settings()) as parts:
        yield parts
