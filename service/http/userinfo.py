"""GET and POST /userinfo: OpenID Connect Core §5.3."""

import msgspec
from litestar.types import ASGIApp, Receive, Scope, Send

from service.flows.own_account import get_user
from service.http.bearer import read_openid, user_of
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.headers import JSON, NO_STORE
from service.http.request import request_of
from service.http.services import Services
from service.oauth.errors import InvalidToken, MethodNotAllowed, NotFound
from service.oauth.id_token import userinfo_claims

_METHODS = ("GET", "HEAD", "POST")


def userinfo_endpoint(services: Services) -> ASGIApp:
    """Who the user of an access token is, as far as its scope tells."""

    async def endpoint(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 (ASGI)
        try:
            response = await _respond(services, scope)
        except Exception as error:  # noqa: BLE001 (the one place where exceptions become responses)
            response = render_error(error, challenge=False)
            request = request_of(scope)
            request.error, request.reason = response.error, response.reason
        await send_response(send, response)

    return endpoint


async def _respond(services: Services, scope: Scope) -> Response:
    if scope["method"] not in _METHODS:  # pyright: ignore[reportGeneralTypeIssues]
        raise MethodNotAllowed(_METHODS)
    access = await read_openid(scope, services)
    request_of(scope).client_id = access.client_id
    try:
        user = await get_user(services.database, user_of(access))
    except NotFound:
        raise InvalidToken("the access token is invalid, expired or revoked") from None
    claims = userinfo_claims(user, tuple(access.scope.split(" ")))
    return Response(200, (JSON, *NO_STORE), msgspec.json.encode(claims))
