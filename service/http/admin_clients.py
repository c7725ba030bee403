"""/admin/clients: register clients, change, disable, enable and revoke them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from service.flows.manage_clients import (
    amend_client,
    create_client,
    get_client,
    reenable_client,
    revoke_client,
    rotate_secret,
    shadow_client,
)
from service.http.accounts import show_time
from service.http.admin import AdminCall, Listed, answer_page
from service.http.answer import Answer
from service.http.json_body import JsonBody
from service.oauth.client import Client, is_client_id
from service.oauth.errors import InvalidRequest, NotFound
from service.oauth.registration import CONFIDENTIAL, PUBLIC
from service.sql.pages import ClientFilter, page_of_clients

_TYPES = ("confidential", "public")
_TEXTS = ("name", "refresh_delivery", "signing_alg", "consent")
_LISTS = (
    "grant_types",
    "audiences",
    "scopes",
    "default_scopes",
    "serves",
    "allowed_origins",
    "redirect_uris",
    "post_logout_redirect_uris",
)
_SECONDS = ("access_token_ttl", "session_idle_ttl", "session_absolute_ttl", "grace")
_FLAGS = ("first_party", "administrator", "require_pkce")
_MOST_SECONDS = 10 * 365 * 86_400  # what is too long for each, its own rule says
_MOST_HOURS = 8760
_OVERLAP_HOURS = 24


async def list_clients(call: AdminCall) -> Answer:
    """A page of clients by id."""
    query = call.query
    wanted = ClientFilter(
        enabled=query.flag("enabled"),
        type=query.choice("type", _TYPES),
        first_party=query.flag("first_party"),
        administrator=query.flag("administrator"),
    )
    return await answer_page(call, _LISTED, wanted)


async def register_client(call: AdminCall) -> Answer:
    """A new client; its secret is in this answer and in no other."""
    body, services = call.body, call.services
    client_id, type_ = body.text("id"), body.optional("type")
    method = body.optional("token_endpoint_auth_method")
    members = _read_members(body)
    if type_ not in (None, *_TYPES):
        body.fault("type", "must be confidential or public")
    body.check()
    public = type_ == "public" or (type_ is None and members.get("first_party", False))
    registration = replace(PUBLIC if public else CONFIDENTIAL, id=client_id, name=client_id)
    registration = replace(registration, **members)
    if method is not None:
        registration = replace(registration, token_endpoint_auth_method=method)
    if "administrator" in members:
        registration = registration.for_administration(services.issuer)
    secret = await create_client(services.database, registration, services.issuer, call.origin)
    shown = (await _changed(call, client_id)).members
    return Answer(
        status=201, members=shown if secret is None else shown | {"client_secret": secret}
    )


async def show_one(call: AdminCall) -> Answer:
    """One client."""
    call.check()
    return Answer(members=show_client(await get_client(call.services.database, _client_id(call))))


async def change_client(call: AdminCall) -> Answer:
    """Change the members that are named; sessions and tokens go on as they were granted."""
    client_id, services = _client_id(call), call.services
    members = _read_members(call.body)
    call.check()
    if members:
        await amend_client(services.database, client_id, members, services.issuer, call.origin)
    return await _changed(call, client_id)


async def give_secret(call: AdminCall) -> Answer:
    """A further secret; the one before it goes on for a while."""
    client_id, database = _client_id(call), call.services.database
    hours = call.body.number("overlap_hours", 0, _MOST_HOURS)
    call.check()
    if (await get_client(database, client_id)).is_public:
        raise InvalidRequest("a public client has no secret")
    hours = _OVERLAP_HOURS if hours is None else hours
    secret = await rotate_secret(database, client_id, timedelta(hours=hours), call.origin)
    shown = (await _changed(call, client_id)).members
    return Answer(status=201, members=shown | {"client_secret": secret})


async def disable_client(call: AdminCall) -> Answer:
    """Refuse the client, and end its tokens and sessions everywhere."""
    return await _revoke(call, enabled=False)


async def revoke_tokens(call: AdminCall) -> Answer:
    """End the client's tokens and sessions everywhere; it goes on."""
    return await _revoke(call, enabled=True)


async def enable_client(call: AdminCall) -> Answer:
    """Let a disabled client have tokens again."""
    client_id = _client_id(call)
    call.check()
    await reenable_client(call.services.database, client_id, call.origin)
    return await _changed(call, client_id)


async def change_shadow_mode(call: AdminCall) -> Answer:
    """Report the reuse of refresh tokens and end no session for it, for 30 days; or end that."""
    client_id, on = _client_id(call), call.body.flag("on")
    if on is None:
        call.body.fault("on", "must be true or false")
    call.check()
    await shadow_client(call.services.database, client_id, call.origin, on=bool(on))
    return await _changed(call, client_id)


async def _revoke(call: AdminCall, *, enabled: bool) -> Answer:
    client_id, services = _client_id(call), call.services
    call.check()
    await revoke_client(services.database, client_id, call.origin, enabled=enabled)
    services.keeper.nudge()
    return await _changed(call, client_id)


async def _changed(call: AdminCall, client_id: str) -> Answer:
    """The client as it is from here on, also for this pod; others follow within seconds."""
    call.services.clients.drop(client_id)
    return Answer(members=show_client(await get_client(call.services.database, client_id)))


def _client_id(call: AdminCall) -> str:
    if not is_client_id(call.id):
        raise NotFound("there is no such client")
    return call.id


def _read_members(body: JsonBody) -> dict[str, Any]:
    """The members of a registration that are named."""
    read: dict[str, Any] = {name: body.optional(name) for name in _TEXTS}
    read |= {name: body.texts(name) for name in _LISTS}
    read |= {name: body.flag(name) for name in _FLAGS}
    for name in _SECONDS:
        seconds = body.number(name, 0, _MOST_SECONDS)
        read[name] = None if seconds is None else timedelta(seconds=seconds)
    for name, value in read.items():
        if value is None and body.has(name):
            body.fault(name, "can't be null")
    return {name: value for name, value in read.items() if value is not None}


def show_client(client: Client) -> dict[str, Any]:
    """A client as JSON: durations in seconds, of its secrets only how many live."""
    return {
        "id": client.id,
        "name": client.name,
        "type": client.type,
        "token_endpoint_auth_method": client.token_endpoint_auth_method,
        **{name: getattr(client, name) for name in _LISTS},
        **{name: int(getattr(client, name).total_seconds()) for name in _SECONDS},
        "first_party": client.first_party,
        "refresh_delivery": client.refresh_delivery,
        "signing_alg": client.signing_alg,
        "consent": client.consent,
        "require_pkce": client.require_pkce,
        "administrator": client.administrator,
        "enabled": client.enabled,
        "epoch": client.epoch,
        "secrets": len(client.secret_digests),
        "shadow_until": show_time(client.shadow_until),
    }


_LISTED = Listed(
    name="clients",
    listing=page_of_clients,
    place=lambda text: text if is_client_id(text) else None,
    show=show_client,
)
