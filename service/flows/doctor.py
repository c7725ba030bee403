"""The examination behind `watchword doctor`: each finding says what is and what to do."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from migrations.files import SchemaState, judge, load, read_applied
from service.flows.feed_reader import prove_heartbeat
from service.flows.load_keys import load_keys
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring, KeyringError
from service.keys.master_keys import MasterKeyError, MasterKeys
from service.keys.signer import SignerUnavailable
from service.oauth.access_token import CLOCK_SKEW
from service.oauth.feed import milliseconds
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.redis.connection import RedisUnavailable
from service.redis.feed import RedisFeed
from service.settings import Settings
from service.sql.clients import list_clients
from service.sql.connection import Connection, Database, DatabaseUnavailable
from service.sql.feed import read_state
from service.sql.instances import Instance, list_living_instances
from service.sql.refresh_keys import last_end_of_sessions, list_former_keys
from service.sql.signing_keys import list_signing_keys

_MAX_CLOCK_DIFFERENCE_SECONDS = 5.0
_MAX_HEARTBEAT_AGE_MS = 5_000


@dataclass(frozen=True, slots=True)
class Finding:
    """`level` is ok, warning (look at it) or fault (something does not work)."""

    level: str
    subject: str
    text: str


async def examine(
    settings: Settings, database: Database, feed: RedisFeed, open_store: Callable[[], KeyStore]
) -> list[Finding]:
    """Everything that can be seen from here, in the order in which to mend it."""
    findings = [finding async for finding in _examine_database(settings, database)]
    try:
        store = open_store()
    except MasterKeyError as error:
        return [*findings, Finding("fault", "master keys", str(error))]
    findings.append(Finding("ok", "master keys", f"in {settings.keys_dir}"))
    if any(finding.level == "fault" for finding in findings):
        return findings
    keyring, master_keys = Keyring(store), store.master_keys
    findings.append(await _examine_keys(database, keyring))
    findings += await _examine_pods(database, master_keys)
    findings += await _examine_clients(database)
    findings.append(_examine_registration(settings))
    if keyring.is_loaded():
        findings.append(await _examine_feed(settings, database, feed, keyring))
    return findings


async def _examine_database(settings: Settings, database: Database) -> AsyncIterator[Finding]:
    try:
        async with database.probe() as connection:
            state = judge(await read_applied(connection), load())
            if not state.fits:
                fault = _schema_fault(state)
                yield Finding("fault", "schema", fault)
                return
            yield Finding("ok", "schema", "has all that this release needs")
            async for finding in _examine_state(connection):
                yield finding
    except DatabaseUnavailable as error:
        yield Finding("fault", "postgresql", f"{error.__cause__}: check WATCHWORD_DATABASE_URL")
    if settings.is_loopback:
        yield Finding("warning", "issuer", "a loopback URL: for development only")


def _schema_fault(state: SchemaState) -> str:
    if state.contracted_beyond:
        return "of a newer release: install that one"
    if state.edited:
        return f"other files were applied as {', '.join(state.edited)}: install that release again"
    return f"lacks {', '.join(state.missing)}: run 'watchword migrate'"


async def _examine_state(connection: Connection) -> AsyncIterator[Finding]:
    state = await read_state(connection)
    if state is None:
        yield Finding("warning", "feed", "not begun: the first 'watchword serve' begins it")
        return
    seconds = abs((state.at - datetime.now(UTC)).total_seconds())
    if seconds > _MAX_CLOCK_DIFFERENCE_SECONDS:
        yield Finding("warning", "clock", f"{seconds:.0f} s off PostgreSQL's: check NTP")
    yield (
        Finding("ok", "postgresql", "answers, and has lost no writes")
        if state.life
        else Finding(
            "warning",
            "postgresql",
            "begins a new life after a crash or fail-over; if this lasts for more than a few "
            "seconds, run 'watchword recover --sessions keep' or '--sessions end'",
        )
    )


async def _examine_keys(database: Database, keyring: Keyring) -> Finding:
    async with database.connection() as connection:
        if not await list_signing_keys(connection):
            text = "none so far: the first 'watchword serve' makes them"
            return Finding("warning", "signing keys", text)
    hardware = keyring.store.hardware
    try:
        await load_keys(database, keyring)
        there = f"; {hardware.check()} answers" if hardware else ""
    except (KeyringError, SignerUnavailable) as error:
        return Finding("fault", "signing keys", str(error))
    if keyring.faults:
        return Finding("warning", "signing keys", "; ".join(keyring.faults))
    used = {key.wrap_key_id for key in keyring.listed} | {keyring.master_keys.current_wrap}
    idle = [f"wrap-{it}.key" for it in sorted(keyring.master_keys.wrap.keys() - used)]
    gone = f"; none is under {' and '.join(idle)}: it can go, unless it is the next" if idle else ""
    return Finding("ok", "signing keys", f"all can be used{there}{gone}")


async def _examine_pods(database: Database, master_keys: MasterKeys) -> list[Finding]:
    async with database.connection() as connection:
        pods = await list_living_instances(connection)
    findings = [
        Finding(
            "fault",
            "master keys",
            f"the pod {pod.name} lacks the {kind} key {current}: roll it out first",
        )
        for pod in pods
        for kind, current, held in (
            ("wrap", master_keys.current_wrap, pod.wrap_key_ids),
            ("refresh", master_keys.current_refresh, pod.refresh_key_ids),
        )
        if current not in held
    ]
    findings += _uneven_refresh_keys(pods, master_keys.current_refresh)
    findings += await _examine_former_keys(database, master_keys)
    names = ", ".join(f"{pod.name} ({pod.release})" for pod in pods)
    level = "ok" if pods else "warning"
    return [*findings, Finding(level, "pods", names or "none is alive")]


async def _examine_former_keys(database: Database, master_keys: MasterKeys) -> list[Finding]:
    """Which refresh keys before the current one living sessions still need, and for how long."""
    findings: list[Finding] = []
    async with database.connection() as connection:
        held = master_keys.refresh.keys() - {master_keys.current_refresh}
        for key in await list_former_keys(connection, held):
            # Clocks of pods, by which ids are made, may be a minute ahead.
            began = uuid7(milliseconds(key.named_at + CLOCK_SKEW), b"\xff" * RANDOM_BYTES)
            until = await last_end_of_sessions(connection, began)
            file = f"refresh-{key.id}.key"
            text = (
                f"sessions need {file} until {until:%Y-%m-%d %H:%M} UTC at the latest"
                if until
                else f"no living session needs {file}: it can go"
            )
            findings.append(Finding("ok", "master keys", text))
    return findings


def _uneven_refresh_keys(pods: list[Instance], current: int) -> list[Finding]:
    """As a roll-out leaves them for a while: a pod can't continue sessions under what it lacks."""
    held = {key_id for pod in pods for key_id in pod.refresh_key_ids} - {current}
    lacking = {pod.name: sorted(held.difference(pod.refresh_key_ids)) for pod in pods}
    return [
        Finding(
            "warning",
            "master keys",
            f"the pod {name} lacks the refresh {'key' if len(ids) == 1 else 'keys'} "
            f"{', '.join(map(str, ids))} that other pods hold: give every pod the same keys folder",
        )
        for name, ids in lacking.items()
        if ids
    ]


async def _examine_clients(database: Database) -> list[Finding]:
    async with database.connection() as connection:
        clients = await list_clients(connection)
    now = datetime.now(UTC)
    return [
        Finding(
            "warning",
            "shadow mode",
            f"the reuse of {client.id}'s refresh tokens ends no session until "
            f"{client.shadow_until:%Y-%m-%d %H:%M} UTC; 'watchword clients shadow {client.id} off' "
            "ends that",
        )
        for client in clients
        if client.shadow_until is not None and client.shadow_until > now
    ]


def _examine_registration(settings: Settings) -> Finding:
    if settings.registration == "open":
        return Finding("ok", "registration", "open: anybody may make an account")
    return Finding("ok", "registration", "closed: 'watchword users create' makes accounts")


async def _examine_feed(
    settings: Settings, database: Database, feed: RedisFeed, keyring: Keyring
) -> Finding:
    try:
        heartbeat = prove_heartbeat(await feed.heartbeat(), keyring, settings.issuer)
    except RedisUnavailable as error:
        return Finding("fault", "redis", f"{error.__cause__}: check WATCHWORD_REDIS_URL")
    if heartbeat is None:
        return Finding("warning", "redis", "no heartbeat yet: a running pod writes one a second")
    async with database.connection() as connection:
        state = await read_state(connection)
    age = milliseconds(state.at) - heartbeat.time if state else 0
    if age > _MAX_HEARTBEAT_AGE_MS:
        return Finding(
            "warning", "redis", f"the heartbeat is {age / 1000:.0f} s old: does a pod run?"
        )
    return Finding("ok", "redis", f"the feed is at {heartbeat.head}, its heartbeat {age} ms old")
