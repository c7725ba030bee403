"""Glue for Litestar: a plugin with the dependency `claims`, and guards.

app = Litestar([list_orders], plugins=[BearerPlugin(verifier)])

@get("/orders", guards=[require_scope("orders:read")])
async def list_orders(claims: Claims) -> …
"""

from collections.abc import Awaitable, Callable, Iterable
from copy import copy
from typing import Any, cast

from litestar import MediaType, Response, get
from litestar.config.app import AppConfig
from litestar.connection import ASGIConnection, Request
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.exceptions import WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import Components, SecurityScheme
from litestar.plugins import InitPlugin
from litestar.types import Scope

from watchword_verifier._claims import Claims
from watchword_verifier._errors import VerifierError
from watchword_verifier._gate import METADATA_HEADERS, Gate, ProtectedResource
from watchword_verifier._verifier import Verifier

__all__ = [
    "BearerPlugin",
    "ProtectedResource",
    "require_role",
    "require_scope",
    "require_token",
]

_Connection = ASGIConnection[Any, Any, Any, Any]
Guard = Callable[[_Connection, BaseRouteHandler], Awaitable[None]]

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class BearerPlugin(InitPlugin):
    """Gives handlers `claims: Claims`, answers refusals (RFC 6750), and documents the scheme.

    A handler is protected that takes `claims` or has one of the guards here. The verifier starts
    and ends with the application: hand in one that nobody started. `resource`: serve its metadata,
    and name it in challenges (RFC 9728); `realm`: the name of what is protected, in challenges.
    """

    def __init__(
        self, verifier: Verifier, *, resource: ProtectedResource | None = None, realm: str = "api"
    ) -> None:
        self._gate = Gate(verifier, realm=realm, resource=resource)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        """Put the parts into the application."""
        app_config.lifespan.insert(0, self._gate.verifier)
        app_config.dependencies["claims"] = Provide(self._provide_claims)
        app_config.exception_handlers[VerifierError] = cast("Any", self._answer)
        if self._gate.resource is not None:
            app_config.route_handlers.append(_metadata(self._gate.resource))
        _document(app_config)
        return app_config

    async def admit(
        self, scope: Scope, *, scopes: Iterable[str] = (), roles: Iterable[str] = ()
    ) -> Claims:
        """The claims of a request's token, whose scopes and user's roles are at least these.

        Raises VerifierError, or what refuses a WebSocket.
        """
        try:
            claims = await self._gate.admit(cast("Any", scope), scopes)
            claims.require_role(*roles)
        except VerifierError as error:
            if scope["type"] != ScopeType.WEBSOCKET:
                raise
            self._gate.answer(error)
            raise WebSocketException(detail="refused", code=_POLICY_VIOLATION) from error
        return claims

    async def _provide_claims(self, scope: Scope) -> Claims:
        return await self.admit(scope)

    def _answer(self, _: Request[Any, Any, Any], error: VerifierError) -> Response[bytes]:
        answer = self._gate.answer(error)
        return Response(
            answer.body,
            status_code=answer.status,
            headers=dict(answer.headers),
            media_type=MediaType.JSON,
        )


def require_scope(*names: str) -> Guard:
    """A guard for tokens that have every one of these scopes."""

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        await _plugin(connection).admit(connection.scope, scopes=names)

    return guard


def require_role(*names: str) -> Guard:
    """A guard for users who have every one of these roles."""

    async def guard(connection: _Connection, _: BaseRouteHandler) -> None:
        await _plugin(connection).admit(connection.scope, roles=names)

    return guard


async def require_token(connection: _Connection, handler: BaseRouteHandler) -> None:
    """A guard for a whole application: a good token, but for handlers with `exclude_from_auth`."""
    if not handler.opt.get("exclude_from_auth"):
        await _plugin(connection).admit(connection.scope)


def _plugin(connection: _Connection) -> BearerPlugin:
    return connection.app.plugins.get(BearerPlugin)


def _metadata(resource: ProtectedResource) -> BaseRouteHandler:
    @get(resource.path, include_in_schema=False, exclude_from_auth=True, sync_to_thread=False)
    def metadata() -> Response[bytes]:
        return Response(resource.body, headers=METADATA_HEADERS, media_type=MediaType.JSON)

    return metadata


def _document(app_config: AppConfig) -> None:
    """Put the scheme into the OpenAPI document, as Litestar's own put theirs there."""
    if app_config.openapi_config is None:
        return
    # A copy: the default is one for all applications of the process.
    config = app_config.openapi_config = copy(app_config.openapi_config)
    scheme = SecurityScheme(type="http", scheme="bearer", bearer_format="JWT")
    known = config.components if isinstance(config.components, list) else [config.components]
    config.components = [Components(security_schemes={"bearer": scheme}), *known]
    config.security = [*(config.security or ()), {"bearer": []}]
