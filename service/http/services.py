"""What every handler reaches: one frozen object, made once at start."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from service.flows.allowed_origins import AllowedOrigins
from service.flows.authorization_code import AuthorizationCodeGrant
from service.flows.await_receipts import ReceiptReader
from service.flows.client_cache import ClientCache
from service.flows.keep_feed import FeedKeeper
from service.flows.live_tokens import LiveTokens
from service.flows.note_receipts import ReceiptBook
from service.flows.prove_password import PasswordProof
from service.flows.refresh_token import RefreshTokenGrant
from service.flows.serve_feed import FeedServer
from service.flows.session_tokens import SessionIssuer
from service.flows.sign_on import SignOns
from service.hashing import PasswordHasher
from service.keys.keyring import Keyring
from service.metrics import Metrics
from service.pages.render import Pages
from service.redis.rate_limits import FailureLimit, RateLimit
from service.settings import Settings
from service.sql.connection import Database

_START_SECONDS = 5.0  # less than a proxy's patience


@dataclass(slots=True)
class Readiness:
    """Whether this pod wants requests: once it has schema and keys, until it is told to stop."""

    started: bool = False
    draining: bool = False
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        """Have all that requests need."""
        self.started = True
        self._settled.set()

    def hang(self) -> None:
        """Wait for something outside, for who knows how long: requests shall not."""
        self._settled.set()

    def stop(self) -> None:
        """Want no more requests."""
        self.draining = True
        self._settled.set()

    async def settle(self) -> None:
        """Wait for a start that is under way: a proxy without health checks may be early."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._settled.wait(), _START_SECONDS)

    @property
    def ready(self) -> bool:
        """Whether /readyz answers 200."""
        return self.started and not self.draining


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The opened dependencies of one pod."""

    settings: Settings
    database: Database
    keyring: Keyring
    clients: ClientCache
    live_tokens: LiveTokens
    allowed_origins: AllowedOrigins
    app_origins: AllowedOrigins
    session_issuer: SessionIssuer
    refresh_tokens: RefreshTokenGrant
    codes: AuthorizationCodeGrant
    sign_ons: SignOns
    pages: Pages
    passwords: PasswordHasher
    proof: PasswordProof
    keeper: FeedKeeper
    feed_server: FeedServer
    receipts: ReceiptBook
    receipt_reader: ReceiptReader
    limit: FailureLimit
    registration_limit: RateLimit
    authorization_limit: RateLimit
    code_limit: RateLimit
    metrics: Metrics
    readiness: Readiness = field(default_factory=Readiness)

    def drain(self) -> None:
        """Want no more requests, and send followers away that wait for news."""
        self.readiness.stop()
        self.keeper.news.drain()

    @property
    def issuer(self) -> str:
        """The `iss` of every token."""
        return self.settings.issuer

    @property
    def path(self) -> str:
        """The issuer's path, under which every endpoint stands; empty for a host of its own."""
        return urlsplit(self.settings.issuer).path
