"""The outermost layer: who asks, whether over TLS and to a known host; one log line at the end."""

import time
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from prometheus_client import Counter

from service.http.admin_endpoints import ADMIN_ACTIONS
from service.http.api_endpoints import ACTIONS
from service.http.endpoint import send_response
from service.http.error_responses import Response, render_error
from service.http.headers import JSON, NO_STORE, header_values
from service.http.page_endpoints import PAGE_ACTIONS
from service.http.request import Request, identify, request_of
from service.http.services import Services
from service.metrics import OTHER_GRANT, Metrics
from service.pages.paths import ASSETS
from service.settings import Settings
from service.telemetry import log

# Probes come from the node, in clear and by address.
_OPEN = frozenset({"/healthz", "/readyz", "/metrics"})
_OTHER = "other"
# What a proxy that ends TLS says of a request, if it says anything.
_OVER_TLS = ([], [b"https"])
# A closed set, also as metric labels: strangers can't make time series.
ENDPOINTS = frozenset(
    {
        "/token",
        "/revoke",
        "/introspect",
        "/revocations",
        "/revocations/receipts",
        "/.well-known/jwks.json",
        "/.well-known/watchword-feed-keys.json",
        "/.well-known/oauth-authorization-server",
        "/.well-known/openid-configuration",
        *ACTIONS,
        *ADMIN_ACTIONS,
        *PAGE_ACTIONS,
        ASSETS,
        "/userinfo",
        *_OPEN,
    }
)
# What many paths are one of, where each by itself would say little: series cost memory everywhere.
_ROOMS = ("/admin", "/account")
_LABELS = {
    name: next((room for room in _ROOMS if name.startswith(f"{room}/")), name)
    for name in (*ENDPOINTS, _OTHER)
}
LABELS = frozenset(_LABELS.values())
# Which answers a request can have is the same everywhere, nearly: these stand at 0 from the start.
_STATUSES = (200, 400, 401, 429, 500, 503)
_ERRORS = ("invalid_request", "invalid_client", "temporarily_unavailable", "server_error")
# Where access tokens come from, and by which grant, if the request need not say it.
_GRANTS = {"/token": None, "/api/login": "login", "/api/refresh": "refresh"}
# Of a path such as /api/sessions/01a1…: what stands where an id may be.
_ID_AT = 3
_FEED = "/revocations"
_OK = 200


class Edge:
    """Guards, routes and logs. No 500 leaves it without a line in the log, and none with a text.

    Most endpoints are called directly: going through the framework would cost each of their
    requests as much as parsing it. All other paths are the framework's.
    """

    def __init__(
        self, endpoints: Mapping[str, ASGIApp], framework: ASGIApp, services: Services
    ) -> None:
        self._endpoints = endpoints
        self._framework = framework
        self._services = services
        metrics = services.metrics
        self._counters: dict[tuple[str, int], Counter] = {
            (label, status): metrics.requests.labels(label, str(status))
            for label in LABELS
            for status in _STATUSES
        }
        self._histograms = {label: metrics.latency.labels(label) for label in LABELS}
        for label in LABELS - {*_OPEN, _OTHER}:
            for error in _ERRORS:
                metrics.refusals.labels(label, error)
        self._hosts = _hosts(services.settings)
        self._path = services.path
        self._names = {f"{self._path}{name}": name for name in ENDPOINTS - _OPEN}
        self._names |= {name: name for name in _OPEN}
        assets = (services.pages.style, services.pages.logo)
        self._names |= {f"{self._path}{it.path}": ASSETS for it in assets}
        self._open_to_all = "*" in services.settings.allowed_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection: HTTP requests are guarded and logged, lifespan is answered."""
        if scope["type"] != "http":
            await _live(receive, send)
            return
        began, status = time.perf_counter(), 0
        endpoint = self._name(scope["path"])

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_common, (b"x-request-id", request_id)]
            await send(message)

        request = identify(scope, self._services.settings.trusted_proxies)
        request_id = request.id.encode()
        try:
            refused = self._refuse(scope, request)
            if refused is None:
                if not self._services.readiness.started and scope["path"] not in _OPEN:
                    await self._services.readiness.settle()
                app = self._endpoints.get(endpoint, self._framework)
                await app(scope, receive, note_status)
            else:
                request.error = refused.error
                await send_response(note_status, refused)
        except Exception as error:  # noqa: BLE001 (the last one who can answer)
            response = render_error(error, challenge=False)
            request.error, request.reason = response.error, response.reason
            if status == 0:
                await send_response(note_status, response)
        finally:
            self._note(scope, endpoint, status, time.perf_counter() - began)

    def _refuse(self, scope: Scope, request: Request) -> Response | None:
        """The answer to a request that came over plain http from outside, or to another host."""
        if scope["path"] in _OPEN:
            return None
        headers = scope["headers"]
        if scope["scheme"] != "https":
            forwarded = header_values(headers, b"x-forwarded-proto")
            clear = forwarded not in _OVER_TLS and not self._services.settings.is_loopback
            if clear or not request.trusted_peer:
                return _refusal(400, "use https")
        host = (header_values(headers, b"host") or [b""])[0].decode("latin-1").lower()
        if not self._open_to_all and host not in self._hosts and _name(host) not in self._hosts:
            return _refusal(421, "this server does not serve that host")
        return None

    def _name(self, path: str) -> str:
        """The endpoint that a path is of: its path under the issuer's, as in ENDPOINTS."""
        name = self._names.get(path)
        if name is not None:
            return name
        before, segments = path[: len(self._path)], path[len(self._path) :].split("/")
        if before != self._path or len(segments) <= _ID_AT:
            return _OTHER
        segments[_ID_AT] = "{id}"
        name = "/".join(segments)
        return name if name in ENDPOINTS else _OTHER

    def _note(self, scope: Scope, endpoint: str, status: int, seconds: float) -> None:
        request, path, label = request_of(scope), scope["path"], _LABELS[endpoint]
        self._counter(label, status).inc()
        # What a follower waited for news says nothing of how fast this server is.
        self._histograms[label].observe(max(0.0, seconds - request.waited))
        if request.error:
            _count_refusal(self._services.metrics, label, request)
        if path in _OPEN:
            return
        # Thousands of followers ask again every ten seconds, all day.
        say = log.debug if endpoint == _FEED and status == _OK else log.info
        say(
            "request",
            endpoint=endpoint,
            method=scope["method"],  # pyright: ignore[reportGeneralTypeIssues]
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=request.id,
            address=request.address,
            client_id=request.client_id,
            error=request.error,
            reason=request.reason,
        )

    def _counter(self, endpoint: str, status: int) -> Counter:
        """The counter of these labels; looking them up anew costs more than counting."""
        counter = self._counters.get((endpoint, status))
        if counter is None:
            labels = (endpoint, str(status))
            counter = self._services.metrics.requests.labels(*labels)
            self._counters[endpoint, status] = counter
        return counter


def _count_refusal(metrics: Metrics, endpoint: str, request: Request) -> None:
    metrics.refusals.labels(endpoint, request.error).inc()
    if endpoint in _GRANTS:
        grant = _GRANTS[endpoint] or request.grant_type or OTHER_GRANT
        metrics.tokens_refused.labels(grant, request.error).inc()


async def _live(receive: Receive, send: Send) -> None:
    """The lifespan protocol: nothing here begins or ends with the server."""
    await receive()
    await send({"type": "lifespan.startup.complete"})  # pyright: ignore[reportArgumentType]
    await receive()
    await send({"type": "lifespan.shutdown.complete"})  # pyright: ignore[reportArgumentType]


_common = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
)


def _hosts(settings: Settings) -> frozenset[str]:
    """Host header values that are ours: the issuer's, and those that the operator allows."""
    parts = urlsplit(settings.issuer)
    names = {parts.netloc, *(name.lower() for name in settings.allowed_hosts)}
    if settings.is_loopback:
        names |= {"localhost", "127.0.0.1", "[::1]"}
    return frozenset(names)


def _name(host: str) -> str:
    """A Host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host


def _refusal(status: int, description: str) -> Response:
    body = {"error": "invalid_request", "error_description": description}
    return Response(status, (JSON, *NO_STORE), msgspec.json.encode(body), "invalid_request")
