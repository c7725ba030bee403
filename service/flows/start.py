"""Starting a pod: wait for the schema, then feed, keys, and the database's life."""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from uuid import uuid4

from migrations.files import MigrationError, judge, latest, load, read_applied
from service.flows.load_keys import (
    check_current_key,
    check_current_refresh_key,
    create_missing_keys,
)
from service.flows.rotate_keys import keep_keys
from service.keys.keyring import Keyring
from service.keys.master_keys import MasterKeys
from service.oauth.feed import genesis
from service.oauth.key_life import KeyTimes
from service.oauth.uuid7 import RANDOM_BYTES, uuid7
from service.sql.connection import Database, DatabaseUnavailable
from service.sql.feed import insert_feed
from service.sql.instances import Instance, list_living_instances, upsert_instance
from service.sql.refresh_keys import name_refresh_key
from service.telemetry import log

_POLL_SECONDS = 1.0


class CannotRun(Exception):
    """The release can't run on that database; the text says what to do."""


def describe_pod(release: str, master_keys: MasterKeys) -> Instance:
    """Describe the running process: named as its host is, in Kubernetes the pod's name."""
    return Instance(
        id=uuid4(),
        name=f"{socket.gethostname()}:{os.getpid()}",
        release=release,
        schema_number=latest(),
        wrap_key_ids=sorted(master_keys.wrap),
        refresh_key_ids=sorted(master_keys.refresh),
    )


async def wait_for_schema(database: Database, on_waiting: Callable[[], None]) -> None:
    """Return when the schema has all that this release needs; say once what it waits for.

    Calls `on_waiting` when it is not there at once.
    Raises CannotRun when waiting would not help.
    """
    said = ""
    while True:
        try:
            waiting = await schema_fault(database)
        except DatabaseUnavailable as error:
            waiting = (
                f"PostgreSQL does not answer; trying again each second ({error.__cause__!r:.200})"
            )
        if waiting is None:
            return
        if waiting != said:
            log.warning("waiting", message=waiting)
            on_waiting()
            said = waiting
        await asyncio.sleep(_POLL_SECONDS)


async def schema_fault(database: Database) -> str | None:
    """What the schema lacks for this release, and what to do; None if it fits.

    Raises CannotRun where this release has no migration that would help, and DatabaseUnavailable.
    """
    async with database.probe() as connection:
        applied = await read_applied(connection)
    try:
        state = judge(applied, load())
    except MigrationError as error:
        raise CannotRun(str(error)) from None
    if state.contracted_beyond:
        raise CannotRun("the schema is of a newer release: contracts this one can't run on")
    if state.edited:
        raise CannotRun(f"migrations differ from those applied: {', '.join(state.edited)}")
    if state.missing:
        return f"the schema lacks {', '.join(state.missing)}: run 'watchword migrate'"
    return None


async def prepare(
    database: Database,
    keyring: Keyring,
    times: KeyTimes,
) -> None:
    """Make what a new database lacks (feed, first keys) and load the keys.

    Any number of pods may do this at once.
    Raises DatabaseUnavailable, KeyringError, SignerUnavailable.
    """
    epoch = uuid7(int(time.time() * 1000), os.urandom(RANDOM_BYTES))
    async with database.connection() as connection:
        await insert_feed(connection, genesis(str(epoch)))
    await check_current_key(database, keyring.master_keys)
    await check_current_refresh_key(database, keyring.master_keys)
    await create_missing_keys(database, keyring.store)
    # What is due first: a key that is loaded signs from its moment on.
    await keep_keys(database, keyring, times)


async def report_pod(database: Database, pod: Instance, refresh_key_id: int) -> None:
    """Say that the pod is alive, and under which refresh key it begins sessions.

    Raises DatabaseUnavailable.
    """
    async with database.connection() as connection:
        await upsert_instance(connection, pod)
        await name_refresh_key(connection, refresh_key_id)


async def list_refresh_keys(database: Database) -> frozenset[int]:
    """The refresh master keys that some living pod holds. Raises DatabaseUnavailable."""
    async with database.connection() as connection:
        pods = await list_living_instances(connection)
    return frozenset(key_id for pod in pods for key_id in pod.refresh_key_ids)
