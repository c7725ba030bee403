"""Glue for FastAPI: the token's claims as a dependency.

bearer = Bearer(verifier)
install(app, bearer)

@app.get("/orders")
async def list_orders(claims: Annotated[Claims, Depends(bearer)]) -> …
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Request, Response, Security
from fastapi.openapi.models import HTTPBearer
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection

from watchword_verifier._claims import Claims
from watchword_verifier._errors import VerifierError
from watchword_verifier._gate import METADATA_HEADERS, Gate, ProtectedResource, claims_of
from watchword_verifier._verifier import Verifier
from watchword_verifier.starlette import answer

__all__ = ["Bearer", "ProtectedResource", "claims_of", "install"]

Dependency = Callable[..., Awaitable[Claims]]


class Bearer(SecurityBase):
    """The claims of the request's token: `Annotated[Claims, Depends(bearer)]`.

    In the OpenAPI document it is an HTTP bearer scheme. `Security(bearer, scopes=[…])` asks for
    scopes, as `require_scope` does. `resource`: serve its metadata, and name it in challenges (RFC
    9728); `realm`: the name of what is protected, in challenges.
    """

    def __init__(
        self, verifier: Verifier, *, resource: ProtectedResource | None = None, realm: str = "api"
    ) -> None:
        self.gate = Gate(verifier, realm=realm, resource=resource)
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "bearer"

    async def __call__(self, connection: HTTPConnection, needed: SecurityScopes) -> Claims:
        return await self.gate.admit(connection.scope, needed.scopes)

    def require_scope(self, *names: str) -> Dependency:
        """A dependency like this one, for tokens that have every one of these scopes."""

        async def scoped(claims: Annotated[Claims, Security(self, scopes=names)]) -> Claims:
            return claims

        return scoped

    def require_role(self, *names: str) -> Dependency:
        """A dependency like this one, for users who have every one of these roles."""

        async def of_role(claims: Annotated[Claims, Security(self)]) -> Claims:
            claims.require_role(*names)
            return claims

        return of_role


def install(app: FastAPI, bearer: Bearer) -> None:
    """Answer refusals (RFC 6750), serve the metadata, start and close the verifier with the app.

    Hand in a verifier that nobody started.
    """

    async def refuse(request: HTTPConnection, error: Exception) -> Any:
        if not isinstance(error, VerifierError):
            raise error
        return await answer(bearer.gate, request, error)

    app.add_exception_handler(VerifierError, refuse)
    resource = bearer.gate.resource
    if resource is not None:

        async def metadata(_: Request) -> Response:
            return Response(resource.body, headers=METADATA_HEADERS)

        # A route of Starlette's: what FastAPI asks of every other one is not asked here.
        app.router.add_route(resource.path, metadata)
    _live_with(app, bearer.gate.verifier)


def _live_with(app: FastAPI, verifier: Verifier) -> None:
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with verifier, inner(app) as state:
            yield state

    app.router.lifespan_context = lifespan
