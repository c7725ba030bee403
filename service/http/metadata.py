"""GET /.well-known/oauth-authorization-server (RFC 8414), openid-configuration, the key sets."""

import json
from hashlib import sha256
from typing import Any

from litestar import HttpMethod, Request, Response, route
from litestar.handlers import HTTPRouteHandler

from service.http.authorize import USERINFO
from service.http.page_endpoints import AUTHORIZE
from service.http.services import Services
from service.oauth.authorization_request import PROMPTS, RESPONSE_MODES
from service.oauth.client import GRANT_TYPES
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.pkce import METHOD
from service.oauth.signing_key import FEED, TOKEN, TOKEN_ALGORITHMS
from service.pages import paths

_CLAIMS = [
    *("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "amr", "at_hash", "sid"),
    *("name", "preferred_username", "picture", "email", "email_verified"),
]
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
        "authorization_endpoint": f"{issuer}{AUTHORIZE}",
        "token_endpoint": f"{issuer}/token",
        "userinfo_endpoint": f"{issuer}{USERINFO}",
        "end_session_endpoint": f"{issuer}{paths.SIGN_OUT}",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "jwks_uri": f"{issuer}/.well-known/jwks.json",
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": list(RESPONSE_MODES),
        "grant_types_supported": sorted(GRANT_TYPES),
        "code_challenge_methods_supported": [METHOD],
        "prompt_values_supported": sorted(PROMPTS),
        "token_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*_SECRET_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": _SECRET_METHODS,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": list(TOKEN_ALGORITHMS),
        "claim_types_supported": ["normal"],
        "claims_supported": _CLAIMS,
        "ui_locales_supported": ["en"],
        "authorization_response_iss_parameter_supported": True,
        # RFC 9101 §10.5 and Core §3 have defaults that say otherwise.
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


def metadata_handlers(services: Services) -> list[HTTPRouteHandler]:
    """The handlers of all public documents."""
    age = int(services.settings.jwks_max_age.total_seconds())
    document = json.dumps(metadata(services.issuer), separators=(",", ":")).encode()
    tag = f'"{sha256(document).hexdigest()[:32]}"'
    root = services.path
    names = ("/.well-known/oauth-authorization-server", "/.well-known/openid-configuration")
    # RFC 8414 §3.1 inserts the issuer's path, OpenID Connect Discovery §4 appends it (META-2).
    where = {place for name in names for place in (name + root, root + name)}

    @route(sorted(where), **_METHODS)
    def authorization_server(request: _Request) -> Response[bytes]:
        """RFC 8414 §3, OpenID Connect Discovery 1.0 §4."""
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
