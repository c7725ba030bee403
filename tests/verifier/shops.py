"""One API by each framework: orders to be read and written, users to be banned, a health check."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import litestar
from fastapi import Depends, FastAPI
from litestar.di import NamedDependency
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from watchword_verifier import Claims, Verifier
from watchword_verifier.asgi import BearerMiddleware, ProtectedResource, claims_of
from watchword_verifier.fastapi import Bearer, install
from watchword_verifier.litestar import BearerPlugin, require_role, require_scope
from watchword_verifier.starlette import requires_role, requires_scope

Note = Callable[[str], object]
MakeShop = Callable[[Verifier, Note], Any]


def resource_of(verifier: Verifier) -> ProtectedResource:
    return ProtectedResource.of(verifier, "orders:read", "orders:write")


def asgi(verifier: Verifier, note: Note) -> Any:
    """Without a framework."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await receive()
            note("started")
            await send({"type": "lifespan.startup.complete"})
            await receive()
            note("stopped")
            await send({"type": "lifespan.shutdown.complete"})
            return
        found: dict[str, str] = {}
        if scope["path"] != "/healthz":
            claims = claims_of(scope)
            found = {"subject": claims.subject}
            if scope["path"] == "/users":
                claims.require_role("clerk")
            if scope["method"] == "POST":
                claims.require_scope("orders:write")
        await JSONResponse(found)(scope, receive, send)

    return BearerMiddleware(
        app, verifier, scopes=["orders:read"], resource=resource_of(verifier), public={"/healthz"}
    )


def starlette(verifier: Verifier, note: Note) -> Any:
    """By the middleware and decorators."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        note("started")
        yield
        note("stopped")

    async def health(_: Request) -> JSONResponse:
        return JSONResponse({})

    async def read(request: Request) -> JSONResponse:
        return JSONResponse({"subject": claims_of(request).subject})

    @requires_scope("orders:write")
    async def write(request: Request) -> JSONResponse:
        return await read(request)

    @requires_role("clerk")
    def ban(request: Request) -> JSONResponse:
        return JSONResponse({"subject": claims_of(request).subject})

    return Starlette(
        routes=[
            Route("/healthz", health),
            Route("/orders", read),
            Route("/orders", write, methods=["POST"]),
            Route("/users", ban),
        ],
        middleware=[
            Middleware(
                BearerMiddleware,
                verifier=verifier,
                scopes=["orders:read"],
                resource=resource_of(verifier),
            )
        ],
        lifespan=lifespan,
    )


def fastapi(verifier: Verifier, note: Note) -> Any:
    """By dependencies."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        note("started")
        yield
        note("stopped")

    bearer = Bearer(verifier, resource=resource_of(verifier))
    app = FastAPI(lifespan=lifespan)
    install(app, bearer)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        return {}

    @app.get("/orders")
    async def read(claims: Annotated[Claims, Depends(bearer)]) -> dict[str, str]:
        return {"subject": claims.subject}

    @app.post("/orders")
    async def write(
        claims: Annotated[Claims, Depends(bearer.require_scope("orders:write"))],
    ) -> dict[str, str]:
        return {"subject": claims.subject}

    @app.get("/users", dependencies=[Depends(bearer.require_role("clerk"))])
    def ban(claims: Annotated[Claims, Depends(bearer)]) -> dict[str, str]:
        return {"subject": claims.subject}

    return app


def by_litestar(verifier: Verifier, note: Note) -> Any:
    """By the plugin and guards."""

    @asynccontextmanager
    async def lifespan(_: litestar.Litestar) -> AsyncIterator[None]:
        note("started")
        yield
        note("stopped")

    @litestar.get("/healthz")
    async def health() -> dict[str, str]:
        return {}

    @litestar.get("/orders")
    async def read(claims: NamedDependency[Claims]) -> dict[str, str]:
        return {"subject": claims.subject}

    @litestar.post("/orders", guards=[require_scope("orders:write")], status_code=200)
    async def write(claims: NamedDependency[Claims]) -> dict[str, str]:
        return {"subject": claims.subject}

    @litestar.get("/users", guards=[require_role("clerk")], sync_to_thread=False)
    def ban(claims: NamedDependency[Claims]) -> dict[str, str]:
        return {"subject": claims.subject}

    return litestar.Litestar(
        [health, read, write, ban],
        plugins=[BearerPlugin(verifier, resource=resource_of(verifier))],
        lifespan=[lifespan],
        logging_config=None,  # it would be the whole suite's
    )


SHOPS: dict[str, MakeShop] = {
    "asgi": asgi,
    "starlette": starlette,
    "fastapi": fastapi,
    "litestar": by_litestar,
}
