"""GET /.well-known/oauth-authorization-server (RFC 8414), jwks.json (RFC 7517) and feed keys."""

import json
from hashlib import sha256
from typing import Any

from litestar import HttpMethod, Request, Response, route
from litestar.handlers import HTTPRouteHandler

from service.http.services import Services
from service.oauth.client import GRANT_TYPES
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.signing_key import FEED, TOKEN

_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
_Request = Request[Any, Any, Any]
_METHODS: dict[str, Any] = {
    "http_method": [HttpMethod.GET, HttpMethod.HEAD],
    "sync_to_thread": False,
    "include_in_schema": False,
}


def metadata(issuer: str) -> dict[str, object]:
    """What this server can do, and nothing that it can't (META-3)."""
    return {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "grant_types_supported": sorted(GRANT_TYPES),
        "token_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _SECRET_METHODS,
    }


def metadata_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of all public documents."""
    age = int(services.settings.jwks_max_age.total_seconds())
    document = json.dumps(metadata(services.issuer), separators=(",", ":")).encode()
    tag = f'"{sha256(document).hexdigest()[:32]}"'
    root, name = services.path, "/.well-known/oauth-authorization-server"

    # RFC 8414 §3.1 inserts the issuer's path; some clients append instead (META-2).
    @route([name + root, root + name] if root else name, **_METHODS)
    def authorization_server(request: _Request) -> Response[bytes]:
        """RFC 8414 §3."""
        return _document(request, document, tag, age)

    @route(f"{root}/.well-known/jwks.json", **_METHODS)
    def jwks(request: _Request) -> Response[bytes]:
        """RFC 7517 §5."""
        return _keys(services, request, TOKEN, age)

    @route(f"{root}/.well-known/watchword-feed-keys.json", **_METHODS)
    def feed_keys(request: _Request) -> Response[bytes]:
        """The keys that sign the revocation feed: a set of their own."""
        return _keys(services, request, FEED, age)

    return [authorization_server, jwks, feed_keys]


def _keys(services: Services, request: _Request, purpose: str, age: int) -> Response[bytes]:
    if not services.keyring.is_loaded():
        raise TemporarilyUnavailable("the server is starting; try again shortly")
    keys = services.keyring.key_set(purpose)
    return _document(request, keys.jwks, keys.etag, age)


def _document(request: _Request, document: bytes, tag: str, age: int) -> Response[bytes]:
    """The document, or 304 to who has it (RFC 9110 §13.1.2)."""
    sent = request.headers.get("if-none-match", "").split(",")
    # Compared weakly: a proxy that compresses the document makes its tag a weak one.
    known = [value.strip().removeprefix("W/") for value in sent]
    fresh = tag in known or "*" in known
    return Response(
        b"" if fresh else document,
        status_code=304 if fresh else 200,
        media_type="application/json",
        headers={
            "cache-control": f"public, max-age={age}",
            "access-control-allow-origin": "*",
            "etag": tag,
        },
    )
