"""The composition root: opens PostgreSQL, Redis and the keyring, and lists the handlers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from litestar import Litestar
from litestar.types import ASGIApp

from service.background import Pod, run, say_goodbye
from service.environment import variable
from service.flows.allowed_origins import AllowedOrigins, list_app_origins
from service.flows.authorization_code import AuthorizationCodeGrant
from service.flows.await_receipts import ReceiptReader
from service.flows.client_cache import ClientCache
from service.flows.heal_session import Healer
from service.flows.keep_feed import FeedKeeper
from service.flows.live_tokens import LiveTokens
from service.flows.note_receipts import ReceiptBook
from service.flows.prove_password import PasswordProof
from service.flows.refresh_token import RefreshTokenGrant
from service.flows.refresh_verdicts import RefreshVerdicts
from service.flows.serve_feed import FeedServer
from service.flows.session_tokens import SessionIssuer
from service.flows.sign_on import SignOns
from service.flows.start import describe_pod
from service.gauges import bind_gauges, excess_counter
from service.hashing import PasswordHasher
from service.http.admin_endpoints import admin_endpoints
from service.http.api_endpoints import api_endpoints
from service.http.cross_origin import readable_by_apps
from service.http.edge import Edge
from service.http.endpoint import form_endpoint
from service.http.error_responses import litestar_handlers
from service.http.health import health_handlers
from service.http.introspect import introspect
from service.http.metadata import metadata_handlers
from service.http.page_endpoints import page_endpoints
from service.http.receipts import receipts
from service.http.revocation_feed import feed_endpoint
from service.http.revoke import revoke
from service.http.services import Services
from service.http.token import token
from service.http.userinfo import userinfo_endpoint
from service.keys.key_store import Hardware, KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys, read_master_keys
from service.metrics import Metrics
from service.pages.brand import Brand, UnfitBrand
from service.pages.render import Pages
from service.redis.connection import RedisConnection
from service.redis.feed import RedisFeed
from service.redis.login_limits import LoginLimit
from service.redis.rate_limits import FailureLimit, RateLimit
from service.settings import Settings, SettingsError
from service.sql.clients import list_allowed_origins
from service.sql.connection import Database

# PostgreSQL's synchronous_commit for rotations; all else waits as the cluster is set up to.
_COMMITS = {"async": "off", "sync": "on"}

# How much of a pod's connections waiting followers may take.
_FOLLOWERS = 0.75

# For background work; requests never wait for these.
_REDIS_SECONDS = 1.0
_REDIS_PAUSE_SECONDS = 0.5
_MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A running pod: the ASGI application, and what it stands on."""

    asgi: ASGIApp
    services: Services


@asynccontextmanager
async def open_app(settings: Settings, release: str) -> AsyncIterator[App]:
    """A pod with its background work; it turns ready by itself once schema and keys are there.

    Raises MasterKeyError at once; in a group, whenever it comes to light: CannotRun, KeyringError.
    """
    async with AsyncExitStack() as stack:
        pod = _open(settings, release, stack)
        try:
            async with asyncio.TaskGroup() as tasks:
                background = tasks.create_task(run(pod))
                yield App(asgi=create_app(pod.services), services=pod.services)
                background.cancel()
        finally:
            await say_goodbye(pod)


def create_app(services: Services) -> ASGIApp:
    """The ASGI application over opened services."""
    litestar = Litestar(
        route_handlers=[
            *metadata_handlers(services),
            *health_handlers(services),
        ],
        exception_handlers=litestar_handlers(),
        openapi_config=None,
        logging_config=None,
        debug=False,
    )
    endpoints = {
        "/token": readable_by_apps(services, form_endpoint(services, token), b"POST"),
        "/revoke": readable_by_apps(services, form_endpoint(services, revoke), b"POST"),
        "/introspect": form_endpoint(services, introspect, always_challenge=True),
        "/revocations": feed_endpoint(services),
        "/revocations/receipts": form_endpoint(services, receipts),
        **api_endpoints(services),
        **admin_endpoints(services),
        **page_endpoints(services),
        "/userinfo": readable_by_apps(
            services, userinfo_endpoint(services), b"GET, POST", unnamed=True
        ),
    }
    return Edge(endpoints, litestar, services)


def _open(settings: Settings, release: str, stack: AsyncExitStack) -> Pod:
    master_keys, metrics = read_master_keys(settings.keys_dir), Metrics()
    metrics.build_info.labels(release).set(1)
    database = open_database(settings)
    stack.push_async_callback(database.close)
    redis = open_redis(settings)
    stack.push_async_callback(redis.close)
    feed = RedisFeed(redis, settings.redis_prefix)
    limit = FailureLimit(
        settings.redis_url.reveal(),
        settings.redis_prefix,
        per_minute=settings.client_failures_per_minute,
        on_excess=excess_counter(metrics),
    )
    stack.push_async_callback(limit.close)
    login_limit = LoginLimit(
        settings.redis_url.reveal(),
        settings.redis_prefix,
        per_account_and_address=settings.login_failures,
        per_address=settings.login_failures_per_address,
        attempts=settings.login_attempts,
    )
    stack.push_async_callback(login_limit.close)

    def limited(amount: int, window: timedelta, unasked: int = 0) -> RateLimit:
        limit = RateLimit(
            settings.redis_url.reveal(),
            settings.redis_prefix,
            amount=amount,
            window=window,
            unasked=unasked,
            on_excess=excess_counter(metrics),
        )
        stack.push_async_callback(limit.close)
        return limit

    passwords = open_passwords(settings)
    stack.callback(passwords.close)
    pages = open_pages(settings)
    keyring = Keyring(open_key_store(settings, master_keys))
    keeper = FeedKeeper(database, feed, keyring, settings.issuer, metrics)
    issuer = SessionIssuer(keyring, settings.issuer)
    services = Services(
        settings=settings,
        database=database,
        keyring=keyring,
        clients=ClientCache(database),
        live_tokens=LiveTokens(database),
        allowed_origins=AllowedOrigins(database, list_allowed_origins),
        app_origins=AllowedOrigins(database, list_app_origins),
        session_issuer=issuer,
        refresh_tokens=RefreshTokenGrant(
            database,
            issuer,
            Healer(database, feed, keyring, settings.issuer),
            RefreshVerdicts(database, metrics, keeper.nudge),
            commit=_COMMITS[settings.rotation_commit],
        ),
        codes=AuthorizationCodeGrant(database, issuer, keeper.nudge),
        sign_ons=SignOns(database, idle=settings.sign_on_idle, absolute=settings.sign_on_absolute),
        pages=pages,
        passwords=passwords,
        proof=PasswordProof(database, passwords, login_limit, metrics),
        keeper=keeper,
        feed_server=FeedServer(
            database, keeper, max_followers=int(settings.max_connections * _FOLLOWERS)
        ),
        receipts=ReceiptBook(database, metrics),
        receipt_reader=ReceiptReader(database),
        limit=limit,
        registration_limit=limited(settings.registrations_per_address, _HOUR),
        authorization_limit=limited(settings.authorizations_per_address, _MINUTE),
        # An ordinary sign-in asks no Redis.
        code_limit=limited(settings.codes_per_user, _MINUTE, settings.codes_per_user // 10),
        metrics=metrics,
    )
    bind_gauges(services)
    return Pod(
        services=services,
        master_keys=master_keys,
        feed=feed,
        instance=describe_pod(release, master_keys),
    )


def open_database(settings: Settings) -> Database:
    """PostgreSQL, not yet connected."""
    return Database(
        settings.database_url.reveal(),
        connections=settings.database_connections,
        statement_cache=settings.database_statement_cache,
    )


def open_key_store(settings: Settings, master_keys: MasterKeys) -> KeyStore:
    """Where signing keys are made and kept; hardware is not asked yet."""
    return KeyStore(
        issuer=settings.issuer,
        master_keys=master_keys,
        rsa_bits=settings.rsa_bits,
        hardware=_open_hardware(settings),
    )


def _open_hardware(settings: Settings) -> Hardware | None:
    if settings.pkcs11_module is None or settings.pkcs11_pin is None:
        return None
    # Megabytes that a pod without hardware does without.
    from service.keys.hardware import HardwareKeys  # noqa: PLC0415
    from service.keys.pkcs11_token import Address  # noqa: PLC0415

    module, pin = str(settings.pkcs11_module), settings.pkcs11_pin.reveal()
    return HardwareKeys(Address(module=module, token=settings.pkcs11_token, pin=pin))


def open_pages(settings: Settings) -> Pages:
    """The hosted pages in the operator's look. Raises SettingsError for what can't be read."""
    try:
        brand = Brand(
            name=settings.brand_name,
            logo=settings.brand_logo,
            accent=settings.brand_accent,
            background=settings.brand_background,
            privacy=settings.brand_privacy or None,
            terms=settings.brand_terms or None,
            help=settings.brand_help or None,
        )
        return Pages(brand, base_path=urlsplit(settings.issuer).path)
    except UnfitBrand as error:
        named = (fault.partition(":") for fault in error.faults)
        faults = [f"{variable(f'brand_{name}')}:{why}" for name, _, why in named]
        raise SettingsError(faults) from None


def open_passwords(settings: Settings) -> PasswordHasher:
    """The pool that hashes passwords; making it takes the time of one hash."""
    return PasswordHasher(
        memory_kib=settings.password_memory_mib * 1024,
        passes=settings.password_passes,
        lanes=settings.password_lanes,
        parallel=settings.password_hashes,
        waiting=settings.password_queue,
    )


def open_redis(settings: Settings) -> RedisConnection:
    """Redis for background work, not yet connected."""
    return RedisConnection(
        settings.redis_url.reveal(), seconds=_REDIS_SECONDS, pause=_REDIS_PAUSE_SECONDS
    )
