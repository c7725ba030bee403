"""An ASGI application as a server runs it: its lifespan, requests in process, WebSockets."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx

Message = MutableMapping[str, Any]


@asynccontextmanager
async def running(app: Any) -> AsyncIterator[httpx.AsyncClient]:
    """HTTP to an application that has started and will be shut down, in this loop."""
    before = asyncio.all_tasks()
    to_app, from_app = asyncio.Queue[Message](), asyncio.Queue[Message]()
    scope: Message = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    living = asyncio.create_task(app(scope, to_app.get, from_app.put))
    await to_app.put({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}

    async def with_state(request: Any, receive: Any, send: Any) -> None:
        await app({**request, "state": dict(scope["state"])}, receive, send)

    transport = httpx.ASGITransport(with_state)
    async with httpx.AsyncClient(transport=transport, base_url="http://api.test") as client:
        yield client
    await to_app.put({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    # A server may stop the loop here: what still runs would be cut off.
    left = asyncio.all_tasks() - before - {living}
    assert not [task for task in left if "watchword_verifier" in repr(task)]
    await living


async def open_websocket(
    app: Any, path: str, token: str | None, *, extensions: Sequence[str] = ()
) -> list[Message]:
    """What the application says to a WebSocket that connects, up to its first whole answer."""
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "subprotocols": [],
        "extensions": {name: {} for name in extensions},
        "client": ("127.0.0.1", 1),
        "server": ("api.test", 80),
        "scheme": "ws",
        "http_version": "1.1",
        "state": {},
    }
    heard = [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1000}]
    said: list[Message] = []

    async def receive() -> Message:
        return heard.pop(0)

    async def send(message: Message) -> None:
        said.append(message)

    await app(scope, receive, send)
    return said
