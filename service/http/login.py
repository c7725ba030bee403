"""POST /api/login, /api/refresh and /api/logout: LOGIN-6."""

from service.flows.begin_session import begin_session
from service.flows.refresh_token import RefreshRequest
from service.flows.revoke_refresh import revoke_refresh
from service.flows.session_tokens import SessionTokens
from service.http.answer import Answer
from service.http.api import Call
from service.http.browser import check_delivery, clear_cookie, read_cookie, set_cookie
from service.http.device import describe_device
from service.oauth.client import Client
from service.oauth.errors import InvalidGrant, InvalidRequest, LoginFailed, SessionGoesOn

_MAX_NAME = 254
_NO_SESSION = "there is no session to continue; log in"


async def log_in(call: Call) -> Answer:
    """Begin a session: the access token, and the refresh token where the client takes it."""
    client = await call.find_client()
    check_delivery(call.scope, client, call.page)
    name, password = call.body.text("username"), call.body.text("password")
    device = call.body.optional("device")
    if len(name) > _MAX_NAME:
        call.body.fault("username", "is too long")
    call.body.check()
    services, request = call.services, call.request
    user = await services.proof.prove(
        name, password, client_id=client.id, address=request.limit_address, origin=call.origin
    )
    tokens = await begin_session(
        services.database,
        services.session_issuer,
        user,
        client,
        call.origin,
        device=describe_device(call.scope, device),
    )
    if tokens is None:
        raise LoginFailed(
            "unknown user or wrong password", reason="user or client changed meanwhile"
        )
    services.metrics.issued["login"].inc()
    return _deliver(client, tokens)


async def refresh(call: Call) -> Answer:
    """Continue a session. Only a definite refusal clears the cookie, never one to be retried."""
    client = await call.find_client()
    check_delivery(call.scope, client, call.page)
    token, resource = _presented(call, client), call.body.optional("resource")
    call.body.check()
    if token is None:
        raise InvalidGrant(_NO_SESSION, reason="no cookie, or two")
    request = RefreshRequest(
        token=token,
        client=client,
        resources=(resource,) if resource else (),
        origin=call.origin,
    )
    try:
        tokens = await call.services.refresh_tokens.refresh(request)
    except SessionGoesOn:
        raise  # and so does the cookie: perhaps another client's, or a newer token's by now
    except InvalidGrant:
        if client.has_cookie:
            call.late_headers = clear_cookie()
        raise
    call.services.metrics.issued["refresh"].inc()
    return _deliver(client, tokens)


async def log_out(call: Call) -> Answer:
    """End the session, if there is one; nobody has to be logged in to log out."""
    client = await call.find_client()
    check_delivery(call.scope, client, call.page)
    token = _presented(call, client)
    call.body.check()
    services = call.services
    if token is not None:
        try:
            ended = await revoke_refresh(
                token,
                services.database,
                services.session_issuer.refresh_tokens,
                call.origin,
                client_id=client.id,
                reason="logged_out",
                foreign_keys=services.refresh_tokens.foreign_keys,
            )
        except InvalidRequest as error:
            raise SessionGoesOn(error.description, reason="another client's token") from None
        if ended:
            services.metrics.revocations.labels("sid").inc()
            services.keeper.nudge()
    return Answer(status=204, headers=clear_cookie() if client.has_cookie else ())


def _presented(call: Call, client: Client) -> str | None:
    """The refresh token from where the client's registration puts it, and from nowhere else."""
    if client.has_cookie:
        return read_cookie(call.scope)
    return call.body.text("refresh_token")


def _deliver(client: Client, tokens: SessionTokens) -> Answer:
    members: dict[str, object] = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }
    if client.has_cookie:
        cookie = set_cookie(tokens.refresh_token, tokens.refresh_expires_in)
        return Answer(members=members, headers=cookie)
    return Answer(members={**members, "refresh_token": tokens.refresh_token})
