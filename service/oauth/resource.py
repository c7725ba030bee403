"""Resource indicators: which audience a token is for. RFC 8707 §2."""

import re

from service.oauth.errors import InvalidTarget

_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!$&-;=?-Z_a-z~%@/\[\]]+")


def choose_audience(resources: tuple[str, ...], audiences: tuple[str, ...]) -> str:
    """The one audience of a token: the requested resource, else the client's first audience.

    Raises InvalidTarget for more than one resource (stricter than RFC 8707 §2: one audience per
    access token), for one that is not an absolute URI without a fragment, and for one that the
    client has no right to.
    """
    if not resources:
        if not audiences:
            raise InvalidTarget(
                "the client has no audience; name one with clients create --audience"
            )
        return audiences[0]
    resource = check_resource(resources)
    if resource not in audiences:
        raise InvalidTarget("the client may not have tokens for this resource")
    return resource


def check_resource(resources: tuple[str, ...]) -> str:
    """The one resource that is asked for, its form checked. Raises InvalidTarget."""
    resource, *others = resources
    if others:
        raise InvalidTarget("one resource per access token: send one request for each")
    if not _ABSOLUTE_URI.fullmatch(resource):
        raise InvalidTarget("resource must be an absolute URI without a fragment")
    return resource
