"""Scope values and sets of them: RFC 6749 §3.3."""

import re

from service.oauth.errors import InvalidScope

_SCOPE_VALUE = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]+")

# Values that only a person's sign-in can grant (CC-1).
USER_SCOPES = frozenset({"openid", "offline_access"})
# What OpenID Connect gives a meaning (Core §3.1.2.1, §5.4, §11); all others are an API's.
OIDC_SCOPES = USER_SCOPES | {"profile", "email", "address", "phone"}


def is_scope_value(text: str) -> bool:
    """Whether the text is one scope-token of RFC 6749 §3.3."""
    return _SCOPE_VALUE.fullmatch(text) is not None


def parse_scope(text: str) -> tuple[str, ...]:
    """The values of a scope parameter in their order, without repetitions.

    Raises InvalidScope unless they are scope-tokens with single spaces between (RFC 6749 §3.3).
    """
    values = text.split(" ")
    if not all(map(is_scope_value, values)):
        raise InvalidScope("scope must be scope values with single spaces between")
    return tuple(dict.fromkeys(values))


def grant_scope(
    requested: str | None, *, allowed: tuple[str, ...], default: tuple[str, ...]
) -> tuple[str, ...]:
    """The scope a client gets without a resource owner: what it asked for, else its default.

    Raises InvalidScope for a value beyond `allowed`, or when nothing would be granted
    (RFC 6749 §3.3 and §4.4.2).
    """
    if requested is None:
        granted = default or allowed
    else:
        granted = parse_scope(requested)
        if not set(granted) <= set(allowed):
            raise InvalidScope("the client may not have all of the requested scope")
    granted = tuple(value for value in granted if value not in USER_SCOPES)
    if not granted:
        raise InvalidScope("no scope was requested and the client has no default scope")
    return granted


def grant_user_scope(
    requested: str | None, *, allowed: tuple[str, ...], default: tuple[str, ...]
) -> tuple[str, ...]:
    """The scope that a client may ask a resource owner for: of what it asks, what it may have.

    Values that are unknown or not the client's are dropped (OpenID Connect Core §3.1.2.1); a
    request that names none gets its default, without what has to be asked for by name. Raises
    InvalidScope when the scope is malformed or nothing is left (AUTHZ-14).
    """
    if requested is None:
        granted = tuple(value for value in default or allowed if value not in USER_SCOPES)
    else:
        granted = tuple(value for value in parse_scope(requested) if value in allowed)
    if not granted:
        raise InvalidScope("nothing is left of the scope that the client may have")
    return granted
