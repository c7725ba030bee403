"""The Authorization header (RFC 6750 §2.1), and the resource's metadata (RFC 9728)."""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

from watchword_verifier._errors import InvalidRequest, MissingToken

_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)
_PATH = "/.well-known/oauth-protected-resource"


def bearer_token(authorization: Sequence[str]) -> str:
    """The token in a request's Authorization headers: give all of them (RS-1).

    Raises MissingToken when there is none or it is of another scheme, InvalidRequest when there
    are several or it can't be read.
    """
    if not authorization:
        raise MissingToken("no Authorization header")
    if len(authorization) > 1:
        raise InvalidRequest("several Authorization headers")
    value = authorization[0].strip(" \t")
    if value.split(" ", 1)[0].lower() != "bearer":
        raise MissingToken("another authentication scheme")
    match = _BEARER.fullmatch(value)
    if match is None:
        raise InvalidRequest("the Authorization header can't be read")
    return match[1]


def protected_resource_metadata(
    resource: str, issuer: str, scopes: Sequence[str] = ()
) -> dict[str, object]:
    """The resource's metadata (RFC 9728 §2): serve it as JSON at `metadata_path(resource)`.

    `resource` is the audience of its tokens, an https URL.
    """
    document: dict[str, object] = {
        "resource": resource,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
    }
    if scopes:
        document["scopes_supported"] = list(scopes)
    return document


def metadata_path(resource: str) -> str:
    """Where the metadata stands: the well-known path, inserted before the resource's own (§3)."""
    return _PATH + urlsplit(resource).path.rstrip("/")


def metadata_url(resource: str) -> str:
    """The same as a URL, for the `resource_metadata` of challenges (§5.1)."""
    parts = urlsplit(resource)
    return f"{parts.scheme}://{parts.netloc}{metadata_path(resource)}"
