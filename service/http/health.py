"""GET /healthz, /readyz and /metrics: for the cluster, not for clients."""

import time

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from service.http.services import Services


def health_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of the three."""

    @get("/healthz", sync_to_thread=False, include_in_schema=False)
    def healthz() -> Response[dict[str, str]]:
        """The process serves; asks no dependency."""
        return Response({"status": "ok"}, headers=_UNCACHED)

    @get("/readyz", sync_to_thread=False, include_in_schema=False)
    def readyz() -> Response[dict[str, object]]:
        """Whether this pod wants requests.

        A dependency lost later is named and leaves it 200: all pods share it, so taking one out
        of service would help nobody.
        """
        if not services.readiness.ready:
            status = "stopping" if services.readiness.draining else "starting"
            return Response({"status": status}, status_code=503, headers=_UNCACHED)
        degraded = _degraded(services)
        status = "degraded" if degraded else "ready"
        return Response({"status": status, "degraded": degraded}, headers=_UNCACHED)

    @get("/metrics", sync_to_thread=False, include_in_schema=False)
    def metrics() -> Response[bytes]:
        """Prometheus' text format."""
        body = generate_latest(services.metrics.registry)
        # As a header: to a media type the framework would add a second charset.
        return Response(body, headers={**_UNCACHED, "content-type": CONTENT_TYPE_LATEST})

    return [healthz, readyz, metrics]


_UNCACHED = {"cache-control": "no-store"}


def _degraded(services: Services) -> list[str]:
    states = {
        "postgresql": services.database.away,
        "redis": services.keeper.redis_away,
        "lost writes": services.keeper.loss_unknown,
        "signing keys": not services.keyring.is_confirmed(monotonic=time.monotonic()),
    }
    return [name for name, degraded in states.items() if degraded]
