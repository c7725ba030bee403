"""Proving a password: throttled before the hash, the same for who is unknown, rehashed after."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from service.flows.origin import Origin
from service.hashing import HashingBusy, PasswordHasher
from service.metrics import Metrics
from service.oauth.errors import InvalidRequest, LoginFailed, TooManyAttempts
from service.oauth.password import UnfitPassword, normalize_password
from service.oauth.user import KnownUser
from service.redis.login_limits import Attempt, LoginLimit, Place
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.users import find_known_user, rehash_password
from service.telemetry import log

# Of the pool's places, so that it takes several addresses and accounts to fill it.
_SHARE = 8

_FAILED = "unknown user or wrong password"


class PasswordProof:
    """Answers whether a password is a user's, at a cost that no flood of questions can raise."""

    def __init__(
        self, database: Database, passwords: PasswordHasher, limit: LoginLimit, metrics: Metrics
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._limit = limit
        self._metrics = metrics
        self._under_way: Counter[tuple[str, str]] = Counter()

    async def prove(
        self, name: str, password: str, *, client_id: str, address: str, origin: Origin
    ) -> KnownUser:
        """The user of that name, whose password it is; read in one statement.

        `address` is what attempts are counted under. Raises LoginFailed for unknown, wrong and
        disabled alike (LOGIN-10), TooManyAttempts before anything was verified (RATE-3),
        InvalidRequest for what no password can be, HashingBusy, DatabaseUnavailable.
        """
        password = normalize(password, "password")
        attempt = Attempt(account=name, address=address, client_id=client_id)
        with self._share_of_pool(("account", name.casefold()), ("address", address)):
            return await self._prove(attempt, password, origin)

    @contextmanager
    def _share_of_pool(self, *subjects: tuple[str, str]) -> Iterator[None]:
        """Let no account and no address have more of the pool than its share, right or wrong."""
        if self._passwords.is_full:
            self._metrics.logins.labels("busy").inc()
            raise HashingBusy
        if any(self._under_way[subject] >= _SHARE for subject in subjects):
            self._metrics.logins.labels("limited").inc()
            self._metrics.rate_limited.labels("login_pool").inc()
            raise TooManyAttempts(
                "too many logins at once; wait a moment",
                reason="share of the pool",
                retry_after=timedelta(seconds=1),
            )
        self._under_way.update(subjects)
        try:
            yield
        finally:
            self._under_way.subtract(subjects)
            for subject in subjects:
                if not self._under_way[subject]:
                    del self._under_way[subject]

    async def _prove(self, attempt: Attempt, password: str, origin: Origin) -> KnownUser:
        place, name = await self._take(attempt), attempt.account
        try:
            async with self._database.connection() as connection:
                # No name has other characters, and databases fold those in ways of their own.
                user = await find_known_user(connection, name) if name.isascii() else None
            usable = user is not None and not user.disabled
            await self._alarm(place, user, attempt, origin)
            # A hash is verified for everybody, or who is unknown could be timed.
            stored = user.password_hash if user is not None else None
            verified = await self._passwords.verify(stored, password)
        except (HashingBusy, DatabaseUnavailable):
            self._metrics.logins.labels("busy").inc()
            await self._limit.give_back(place)
            raise
        if user is None or not usable or not verified.right:
            self._metrics.logins.labels("failed").inc()
            raise LoginFailed(_FAILED, reason=_reason(user, right=verified.right))
        await self._limit.succeed(place)
        self._metrics.logins.labels("proven").inc()
        if verified.needs_rehash and user.password_hash is not None:
            await self._rehash(user, user.password_hash, password)
        return user

    async def _take(self, attempt: Attempt) -> Place:
        """Take a place among the attempts. Raises TooManyAttempts."""
        taken = await self._limit.take(attempt)
        if taken.retry_after is not None:
            self._metrics.logins.labels("limited").inc()
            self._metrics.rate_limited.labels("login").inc()
            raise TooManyAttempts(
                "too many failed logins; wait, then try again",
                reason="login limit",
                retry_after=taken.retry_after,
            )
        return taken

    async def _alarm(
        self, place: Place, user: KnownUser | None, attempt: Attempt, origin: Origin
    ) -> None:
        """Write down each line that this attempt was the first of its window to cross."""
        user_id = user.id if user is not None else None
        for counter in place.alarms:
            self._metrics.login_alarms.labels(counter).inc()
            log.warning("login_alarm", counter=counter, user_id=user_id, address=origin.address)
            async with self._database.connection() as connection:
                await insert_audit_event(
                    connection,
                    "login_alarm",
                    client_id=attempt.client_id,
                    user_id=user_id,
                    address=origin.address,
                    request_id=origin.request_id,
                    counter=counter,
                )

    async def _rehash(self, user: KnownUser, old: str, password: str) -> None:
        """Bring the hash to today's parameters; another login does it if there is no time now."""
        try:
            new = await self._passwords.hash(password)
            async with self._database.connection() as connection:
                await rehash_password(connection, user.id, old, new)
        except (HashingBusy, DatabaseUnavailable) as error:
            log.info("rehash_postponed", reason=str(error))


def normalize(password: str, member: str) -> str:
    """The password as it is hashed. Raises InvalidRequest, which names the member."""
    try:
        return normalize_password(password)
    except UnfitPassword as error:
        raise InvalidRequest(
            "the request has faults; see fields", fields={member: str(error)}
        ) from None


def _reason(user: KnownUser | None, *, right: bool) -> str:
    if user is None:
        return "unknown user"
    return "disabled user" if right else "wrong password"
