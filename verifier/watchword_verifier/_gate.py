"""What the glue of every framework shares: a request's token, its claims, the answer to a refusal.

Frameworks that speak ASGI hand in the connection's scope; none is imported here.
"""

import json
import logging
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from watchword_verifier._bearer import (
    bearer_token,
    metadata_path,
    metadata_url,
    protected_resource_metadata,
)
from watchword_verifier._claims import Claims
from watchword_verifier._errors import MissingToken, VerifierError
from watchword_verifier._verifier import Verifier

_log = logging.getLogger("watchword_verifier")

_PLACE = "watchword.claims"

Scope = MutableMapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ProtectedResource:
    """What a resource server says of itself (RFC 9728): served at `path`, named by challenges.

    `resource` is the audience of its tokens: a URL, or this is a ValueError.
    """

    resource: str
    issuer: str
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        parts = urlsplit(self.resource)
        if parts.scheme not in {"https", "http"} or not parts.netloc:
            raise ValueError(f"only a resource that is a URL has metadata: {self.resource!r}")
        if parts.query or parts.fragment:
            raise ValueError(f"a resource has neither query nor fragment: {self.resource!r}")

    @classmethod
    def of(cls, verifier: Verifier, *scopes: str) -> Self:
        """The resource that a verifier stands for, and the scopes that it knows."""
        return cls(resource=verifier.audience, issuer=verifier.issuer, scopes=scopes)

    @property
    def path(self) -> str:
        """Where the metadata stands."""
        return metadata_path(self.resource)

    @property
    def url(self) -> str:
        """The same as a URL: the `resource_metadata` of challenges."""
        return metadata_url(self.resource)

    @property
    def body(self) -> bytes:
        """The metadata as JSON."""
        metadata = protected_resource_metadata(self.resource, self.issuer, self.scopes)
        return json.dumps(metadata).encode()


METADATA_HEADERS = {"content-type": "application/json", "cache-control": "public, max-age=3600"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request that is refused, or can't be judged."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class Gate:
    """Lets requests with a good token through; knows the answer to all others."""

    def __init__(
        self, verifier: Verifier, *, realm: str = "api", resource: ProtectedResource | None = None
    ) -> None:
        self.verifier = verifier
        self.resource = resource
        self._realm = realm

    async def admit(self, scope: Scope, scopes: Iterable[str] = ()) -> Claims:
        """The claims of the request's token, which has every one of these scopes.

        They stay with the request: a later call of the same gate only looks at the scopes. Raises
        VerifierError.
        """
        kept = scope.get(_PLACE)
        if kept is not None and kept[0] is self.verifier:
            kept_claims: Claims = kept[1]
            kept_claims.require_scope(*scopes)
            return kept_claims
        token = bearer_token(_authorization(scope))
        claims = await self.verifier.verify(token, scopes=scopes)
        scope[_PLACE] = (self.verifier, claims)
        return claims

    def answer(self, error: VerifierError) -> Answer:
        """The answer that RFC 6750 §3 asks for. The reason goes to the log, never to the client."""
        _log.info("refused: %d, %s: %s", error.status, type(error).__name__, error)
        url = self.resource.url if self.resource else None
        headers = error.headers(realm=self._realm, resource_metadata=url)
        return Answer(error.status, headers, error.body())


def claims_of(scope: Mapping[str, Any]) -> Claims:
    """The claims of a request that was let through: give the ASGI scope, or Starlette's request.

    Raises MissingToken where nobody asked for a token: that is answered 401.
    """
    kept = scope.get(_PLACE)
    if kept is None:
        raise MissingToken("no token was asked for on this path")
    claims: Claims = kept[1]
    return claims


def _authorization(scope: Mapping[str, Any]) -> list[str]:
    """Every Authorization header (RS-1)."""
    headers: Iterable[tuple[bytes, bytes]] = scope["headers"]
    return [value.decode("latin-1") for name, value in headers if name.lower() == b"authorization"]
