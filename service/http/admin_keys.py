"""/admin/keys: the signing keys; rotate, kill and import them."""

import json
import re
from contextlib import suppress
from typing import Any

from service.flows.import_key import import_key
from service.flows.kill_key import kill_key
from service.flows.list_keys import KnownKey, list_keys
from service.flows.load_keys import load_keys
from service.flows.rotate_keys import rotate_keys
from service.http.accounts import show_time
from service.http.admin import AdminCall
from service.http.answer import Answer
from service.http.revoke import wait_for_verifiers
from service.keys.keyring import KeyringError
from service.keys.signer import SignerUnavailable
from service.oauth.errors import NotFound, TemporarilyUnavailable
from service.oauth.signing_key import FEED, RS256, TOKEN, TOKEN_ALGORITHMS
from service.sql.connection import DatabaseUnavailable

_PURPOSES = (TOKEN, FEED)
_LONGEST_WAIT = 10
_KID = re.compile(r"[A-Za-z0-9._-]{1,128}", re.ASCII)


async def list_all(call: AdminCall) -> Answer:
    """Every key that is not removed; there are few, so there is one page."""
    call.check()
    known = await list_keys(call.services.database, call.services.settings.key_times)
    return Answer(members={"keys": [_show(it) for it in known]})


async def show_one(call: AdminCall) -> Answer:
    """One key, with its public half."""
    call.check()
    return Answer(members=await _get_key(call, call.id))


async def take_key(call: AdminCall) -> Answer:
    """Take a private key from elsewhere as the pending one."""
    services, purpose = call.services, _read_purpose(call)
    pem = call.body.text("private_key")
    call.check()
    try:
        kid = await import_key(
            services.database,
            services.keyring.store,
            pem.encode(),
            purpose,
            call.origin,
        )
    except KeyringError as error:
        raise TemporarilyUnavailable(
            "not every pod has the current master key", reason=str(error)
        ) from None
    return Answer(status=201, members=await _get_key(call, kid))


async def rotate(call: AdminCall) -> Answer:
    """Let the pending key sign: as soon as the verifiers have it, or at once."""
    purpose, now = _read_purpose(call), call.body.flag("now")
    alg = call.body.optional("alg")
    if alg not in (None, *TOKEN_ALGORITHMS):
        call.body.fault("alg", f"must be {' or '.join(TOKEN_ALGORITHMS)}")
    call.check()
    times = call.services.settings.key_times
    rotation = await rotate_keys(
        call.services.database,
        times,
        call.origin,
        purpose=purpose,
        alg=alg or RS256,
        now=bool(now),
    )
    return Answer(
        members={
            "kid": rotation.kid,
            "replaces": rotation.replaced,
            "signs_at": show_time(rotation.readiness.at),
            "not_sooner_because": rotation.readiness.reasons,
            "lacking": rotation.lacking,
        }
    )


async def kill(call: AdminCall) -> Answer:
    """Kill a key, for compromise: its tokens are void everywhere. It can't be taken back."""
    services, wait = call.services, call.body.number("wait", 0, _LONGEST_WAIT)
    call.check()
    if not _KID.fullmatch(call.id):
        raise NotFound("there is no such key")
    killed = await kill_key(services.database, call.id, call.origin)
    if killed.lived:
        services.keyring.drop((call.id,))
        # Here at once, so that the key that took over signs the news; else the next tick does it,
        # which makes another one, too: nobody waits for that.
        with suppress(KeyringError, SignerUnavailable, DatabaseUnavailable):
            await load_keys(services.database, services.keyring)
        services.keeper.nudge()
    members: dict[str, Any] = {
        "kid": call.id,
        "purpose": killed.purpose,
        "killed": killed.lived,
        "successor": killed.successor,
    }
    if wait is not None:
        members["seen_by"] = await wait_for_verifiers(services, wait)
    return Answer(members=members)


async def _get_key(call: AdminCall, kid: str) -> dict[str, Any]:
    for it in await list_keys(call.services.database, call.services.settings.key_times):
        if it.key.kid == kid:
            return _show(it) | {"public_jwk": json.loads(it.key.public_jwk)}
    raise NotFound("there is no such key")


def _read_purpose(call: AdminCall) -> str:
    purpose = call.body.optional("purpose")
    if purpose not in (None, *_PURPOSES):
        call.body.fault("purpose", "must be token or feed")
    return purpose or TOKEN


def _show(it: KnownKey) -> dict[str, Any]:
    """A key as JSON; `next` is what comes, and when it comes by itself."""
    return {
        "kid": it.key.kid,
        "purpose": it.key.purpose,
        "alg": it.key.alg,
        "state": it.key.state,
        "since": show_time(it.since),
        "next": it.next.what or None,
        "next_at": show_time(it.next.at),
        "wrap_key_id": it.key.wrap_key_id,
        "lacking": it.lacking,
    }
