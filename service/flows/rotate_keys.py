"""Rotation of the signing keys: planned by whichever pod comes first, at moments all pods keep."""

from dataclasses import dataclass
from typing import Any

from service.flows.load_keys import renew_keys
from service.flows.origin import OPERATOR, Origin
from service.keys.keyring import Keyring
from service.oauth.key_life import (
    Activate,
    KeyTimes,
    Move,
    Readiness,
    Step,
    due_steps,
    readiness,
)
from service.oauth.receipt import RECEIPT_TTL
from service.oauth.signing_key import RS256, TOKEN, SigningKey
from service.sql.audit_events import insert_audit_event
from service.sql.connection import Connection, Database
from service.sql.feed_receipts import list_verifiers
from service.sql.signing_keys import (
    activate_signing_key,
    hasten_activation,
    list_signing_keys,
    lock_signing_keys,
    move_activation,
    read_clock,
    remove_signing_key,
)
from service.telemetry import log

_SHOWN = 12


class NoNextKey(Exception):
    """No pending key is there to take over; the text says what to do."""


async def keep_keys(database: Database, keyring: Keyring, times: KeyTimes) -> None:
    """Do what is due in the keys' lives, make what is missing, and take over what there is.

    Any number of pods may do this at once.
    Raises DatabaseUnavailable, KeyringError, SignerUnavailable.
    """
    async with database.connection() as connection:
        due = await _due_steps(connection, times)
    if due:
        async with database.transaction() as connection:
            await lock_signing_keys(connection)
            # Again, under the lock: another pod may have been first.
            for step in await _due_steps(connection, times):
                await _do(connection, step)
    await renew_keys(database, keyring)


async def _due_steps(connection: Connection, times: KeyTimes) -> list[Step]:
    keys = await list_signing_keys(connection)
    verifiers = await list_verifiers(connection, RECEIPT_TTL)
    return due_steps(keys, await read_clock(connection), times, verifiers)


async def _do(connection: Connection, step: Step) -> None:
    match step:
        case Activate(kid, replaced):
            await activate_signing_key(connection, kid, replaced)
            await _tell(connection, "key_activated", kid, replaced=replaced)
        case Move(kid, at):
            await move_activation(connection, kid, at)
            await _tell(connection, "key_scheduled", kid, activates_at=at.isoformat())
        case _:
            await remove_signing_key(connection, step.kid)
            await _tell(connection, "key_removed", step.kid)


async def _tell(connection: Connection, event: str, kid: str, **detail: Any) -> None:
    await insert_audit_event(connection, event, kid=kid, **detail)
    log.info(event, kid=kid[:_SHOWN])  # as long as a secret, a whole one would look like one


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A rotation that was asked for: the key that takes over, when, and what it waits for.

    `lacking`: verifiers that report and have not fetched it; at once, they refuse its tokens.
    """

    kid: str
    replaced: str | None
    readiness: Readiness
    lacking: tuple[str, ...]


async def rotate_keys(
    database: Database,
    times: KeyTimes,
    origin: Origin = OPERATOR,
    *,
    purpose: str = TOKEN,
    alg: str = RS256,
    now: bool = False,
) -> Rotation:
    """Let the pending key of that algorithm take over: when the verifiers have it, or at once.

    Raises NoNextKey, DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        await lock_signing_keys(connection)
        keys = [it for it in await list_signing_keys(connection) if it.kind == (purpose, alg)]
        pending = _one(keys, "pending")
        if pending is None:
            raise NoNextKey(
                f"no {alg} key is pending: a running pod makes the next one within 15 seconds"
                + ("" if alg == RS256 else ", if a client's tokens are signed with it")
            )
        active = _one(keys, "active")
        at, verifiers = await read_clock(connection), await list_verifiers(connection, RECEIPT_TTL)
        ready = Readiness(at) if now else readiness(pending, at, times, verifiers)
        if now:
            await activate_signing_key(connection, pending.kid, active.kid if active else None)
        else:
            await hasten_activation(connection, pending.kid)
            await move_activation(connection, pending.kid, max(at + times.notice, ready.at))
        event = "key_rotated_at_once" if now else "key_rotation_asked"
        await _tell(
            connection,
            event,
            pending.kid,
            address=origin.address,
            request_id=origin.request_id,
            actor=origin.actor,
        )
    return Rotation(
        kid=pending.kid,
        replaced=active.kid if active else None,
        readiness=ready,
        lacking=tuple(it.name for it in verifiers if pending.kid not in it.kids),
    )


def _one(keys: list[SigningKey], state: str) -> SigningKey | None:
    return next((key for key in keys if key.state == state), None)
