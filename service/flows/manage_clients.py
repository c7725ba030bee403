"""Clients as an operator manages them: create, change, a further secret, disable, enable, revoke.

Who asks is `origin`: the command line, or an administrator over HTTP.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from service.flows.origin import OPERATOR, Origin
from service.oauth.client import SECRET_PREFIX, SHADOW_TTL, Client, digest_secret
from service.oauth.jws import encode_base64url
from service.oauth.registration import Fault, Registration
from service.oauth.revocation import CLIENT_FACT_TTL, Revocation
from service.sql.audit_events import insert_audit_event
from service.sql.clients import (
    enable_client,
    find_client,
    insert_client,
    insert_secret,
    keep_newest_secret,
    lock_client,
    raise_epoch,
    set_shadow,
    update_client,
)
from service.sql.connection import Connection, Database
from service.sql.revocations import insert_revocation

_SECRET_BYTES = 32


class ClientRefused(Exception):
    """The change can't be made; the text says why, one fault a line."""


class UnknownClient(ClientRefused):
    """There is no such client."""

    def __init__(self, client_id: str) -> None:
        super().__init__(f"there is no client {client_id}")


class ClientExists(ClientRefused):
    """Another client has that id."""

    def __init__(self, client_id: str) -> None:
        super().__init__(f"the client {client_id} exists already")


class UnfitRegistration(ClientRefused):
    """A client can't be registered so; `faults` says of each member why."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(sentence for _, sentence in faults))
        self.faults = faults


async def get_client(database: Database, client_id: str) -> Client:
    """The client as it stands, past any cache. Raises UnknownClient."""
    async with database.connection() as connection:
        client = await find_client(connection, client_id)
    if client is None:
        raise UnknownClient(client_id)
    return client


async def create_client(
    database: Database, registration: Registration, issuer: str, origin: Origin = OPERATOR
) -> str | None:
    """The new client's secret, shown once and kept as a digest; None for a public client.

    Raises ClientRefused.
    """
    if faults := registration.named_faults(issuer):
        raise UnfitRegistration(faults)
    secret = None if registration.type == "public" else new_secret()
    async with database.transaction() as connection:
        created = await insert_client(connection, registration)
        if created and secret is not None:
            await insert_secret(connection, registration.id, digest_secret(secret))
        if created:
            await _audit(connection, "client_created", registration.id, origin)
    if not created:
        raise ClientExists(registration.id)
    return secret


async def change_client(
    database: Database, registration: Registration, issuer: str, origin: Origin = OPERATOR
) -> None:
    """Register a client anew; sessions and tokens that it has go on as they were granted.

    Raises ClientRefused.
    """
    if faults := registration.named_faults(issuer):
        raise UnfitRegistration(faults)
    async with database.transaction() as connection:
        changed = await update_client(connection, registration)
        if changed:
            await _audit(connection, "client_changed", registration.id, origin)
    if not changed:
        raise ClientRefused(f"there is no {registration.type} client {registration.id}")


async def amend_client(
    database: Database,
    client_id: str,
    members: Mapping[str, Any],
    issuer: str,
    origin: Origin = OPERATOR,
) -> None:
    """Change the named members of a registration, whatever else of it changes meanwhile.

    Raises ClientRefused.
    """
    faults: list[Fault] = []
    async with database.transaction() as connection:
        await lock_client(connection, client_id)
        client = await find_client(connection, client_id)
        if client is not None:
            registration = replace(Registration.of(client), **members)
            if "administrator" in members:
                registration = registration.for_administration(issuer)
            faults = _loss_faults(client, registration) or registration.named_faults(issuer)
            if not faults:
                await update_client(connection, registration)
                changed = sorted(members)
                await _audit(connection, "client_changed", client_id, origin, members=changed)
    if client is None:
        raise UnknownClient(client_id)
    if faults:
        raise UnfitRegistration(faults)


def _loss_faults(client: Client, registration: Registration) -> list[Fault]:
    """What to do instead where a mark can't be taken away, since nothing would be left."""
    if client.administrator and not registration.administrator and not registration.audiences:
        sentence = f"{client.id} does nothing but administer: disable it, or name another audience"
        return [("administrator", sentence)]
    return []


async def shadow_client(
    database: Database, client_id: str, origin: Origin = OPERATOR, *, on: bool
) -> None:
    """Let reuse be reported and revoke nothing for 30 days, or end that. Raises ClientRefused."""
    async with database.transaction() as connection:
        changed = await set_shadow(connection, client_id, SHADOW_TTL if on else None)
        if changed:
            await _audit(connection, "client_shadow_mode", client_id, origin, on=on)
    if not changed:
        raise UnknownClient(client_id)


async def rotate_secret(
    database: Database, client_id: str, overlap: timedelta, origin: Origin = OPERATOR
) -> str:
    """A second live secret; the one before it goes on for `overlap`, any older one ends.

    Raises ClientRefused.
    """
    secret = new_secret()
    async with database.transaction() as connection:
        client_type = await lock_client(connection, client_id)
        if client_type == "confidential":
            await keep_newest_secret(connection, client_id, overlap)
            await insert_secret(connection, client_id, digest_secret(secret))
            await _audit(
                connection,
                "client_secret_rotated",
                client_id,
                origin,
                overlap_seconds=int(overlap.total_seconds()),
            )
    if client_type is None:
        raise UnknownClient(client_id)
    if client_type == "public":
        raise ClientRefused(f"{client_id} is a public client: it has no secret")
    return secret


async def revoke_client(
    database: Database, client_id: str, origin: Origin = OPERATOR, *, enabled: bool
) -> int:
    """End every token and session of the client; its new epoch. `enabled` False disables it too.

    Raises ClientRefused.
    """
    event = "client_revoked" if enabled else "client_disabled"
    async with database.transaction() as connection:
        epoch = await raise_epoch(connection, client_id, enabled=enabled)
        if epoch is not None:
            fact = Revocation(
                kind="client",
                subject=client_id,
                version=epoch,
                client_id=client_id,
                ttl=CLIENT_FACT_TTL,
                reason=event,
                actor=origin.actor,
            )
            await insert_revocation(connection, fact)
            await _audit(connection, event, client_id, origin, epoch=epoch)
    if epoch is None:
        raise UnknownClient(client_id)
    return epoch


async def reenable_client(database: Database, client_id: str, origin: Origin = OPERATOR) -> None:
    """Let a disabled client have tokens again; those from before stay void.

    Raises ClientRefused.
    """
    async with database.transaction() as connection:
        enabled = await enable_client(connection, client_id)
        if enabled:
            await _audit(connection, "client_enabled", client_id, origin)
    if not enabled:
        raise UnknownClient(client_id)


def new_secret() -> str:
    """A client secret of 256 random bits, its prefix for secret scanners (TOK-14, TOK-16)."""
    return SECRET_PREFIX + encode_base64url(secrets.token_bytes(_SECRET_BYTES))


async def _audit(
    connection: Connection, event: str, client_id: str, origin: Origin, **detail: Any
) -> None:
    await insert_audit_event(
        connection,
        event,
        client_id=client_id,
        address=origin.address,
        request_id=origin.request_id,
        actor=origin.actor,
        **detail,
    )
