"""A middleware for any ASGI application: every path needs a good token, but those that are public.

app = BearerMiddleware(app, verifier, scopes=["orders:read"])
"""

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, MutableMapping
from typing import Any

from watchword_verifier._errors import VerifierError
from watchword_verifier._gate import METADATA_HEADERS, Gate, ProtectedResource, Scope, claims_of
from watchword_verifier._verifier import Verifier

__all__ = ["BearerMiddleware", "ProtectedResource", "claims_of"]

_log = logging.getLogger("watchword_verifier")

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

PUBLIC = frozenset({"/healthz", "/readyz"})

_POLICY_VIOLATION = 1008  # RFC 6455 §7.4.1


class BearerMiddleware:
    """Asks every request for a bearer token, in the Authorization header and nowhere else.

    The application finds the claims with `claims_of(scope)`; VerifierErrors that it raises before
    it answers, as `claims.require_scope(…)` does, are answered here too. The verifier starts and
    ends with the application: hand in one that nobody started.

    scopes
        What every token must have.
    public
        Paths for which nobody needs a token, each spelt in full.
    resource
        Serve its metadata, and name it in challenges (RFC 9728).
    realm
        The name of what is protected, in challenges.

    A WebSocket is judged once, before it opens. Whatever answers preflights (CORS) belongs outside:
    those have no token.
    """

    def __init__(
        self,
        app: Application,
        verifier: Verifier,
        *,
        scopes: Iterable[str] = (),
        public: Collection[str] = PUBLIC,
        resource: ProtectedResource | None = None,
        realm: str = "api",
    ) -> None:
        self._app = app
        self._gate = Gate(verifier, realm=realm, resource=resource)
        self._scopes = tuple(scopes)
        self._public = frozenset(public)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        path = _path(scope)
        resource = self._gate.resource
        if resource is not None and path == resource.path and scope.get("method") in _READING:
            await _serve_metadata(resource, send)
        else:
            await self._judge(scope, receive, send, is_public=path in self._public)

    async def _judge(self, scope: Scope, receive: Receive, send: Send, *, is_public: bool) -> None:
        begun = False

        async def send_on(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            if not is_public:
                await self._gate.admit(scope, self._scopes)
            await self._app(scope, receive, send_on)
        except VerifierError as error:
            if begun:
                raise
            await self._refuse(error, scope, send)

    async def _refuse(self, error: VerifierError, scope: Scope, send: Send) -> None:
        answer = self._gate.answer(error)
        kind = "http.response"
        if scope["type"] == "websocket":
            kind = "websocket.http.response"
            if kind not in (scope.get("extensions") or {}):
                # Before it was accepted: the server makes it a bare 403.
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
                return
        headers = [(name.encode(), value.encode()) for name, value in answer.headers]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": f"{kind}.start", "status": answer.status, "headers": headers})
        await send({"type": f"{kind}.body", "body": answer.body})

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The application's lifespan within the verifier's."""
        verifier, heard, said = self._gate.verifier, list[str](), list[str]()

        async def receive_noted() -> Message:
            message = await receive()
            heard.append(message["type"])
            return message

        async def send_last(message: Message) -> None:
            said.append(message["type"])
            if message["type"] != "lifespan.startup.complete":
                await verifier.close()  # whoever hears that all is over may stop the loop
            await send(message)

        await verifier.start()
        try:
            try:
                await self._app(scope, receive_noted, send_last)
            except Exception as error:
                if said:
                    raise
                # How an application says that it has no lifespan. The verifier has one.
                _log.info("the application takes no lifespan: %r", error)
            if not said:
                await _live_alone(receive, send_last, has_begun=bool(heard))
        finally:
            await verifier.close()


_READING = frozenset({"GET", "HEAD"})


def _path(scope: Scope) -> str:
    """The path within the application, wherever that is mounted."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


async def _serve_metadata(resource: ProtectedResource, send: Send) -> None:
    body = resource.body
    headers = {**METADATA_HEADERS, "content-length": str(len(body))}
    encoded = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": 200, "headers": encoded})
    await send({"type": "http.response.body", "body": body})


async def _live_alone(receive: Receive, send: Send, *, has_begun: bool) -> None:
    if not has_begun:
        await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
