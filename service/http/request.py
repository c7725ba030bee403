"""What is known of one request beside its scope: id, address, and how it went, for its log line."""

import ipaddress
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from litestar.types import Scope

from service.environment import Network
from service.http.headers import header_values

_KEY = "watchword"
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,64}")
_WITH_PORT = re.compile(r"([0-9.]+):[0-9]{1,5}|\[([0-9A-Fa-f:.%]+)\](?::[0-9]{1,5})?")
_MAX_HOPS = 50

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(slots=True)
class Request:
    """One request. `address` is the client's, proxies taken off.

    `waited`: seconds for which it was held because the client asked for that. `grant_type`: what it
    asks a token by, if this server has that grant.
    """

    id: str
    address: str
    trusted_peer: bool
    client_id: str | None = None
    error: str | None = None
    reason: str | None = None
    waited: float = 0.0
    grant_type: str | None = None

    @property
    def limit_address(self) -> str:
        """What attempts are counted under: an IPv6 address by its /64, which one host commands."""
        if ":" not in self.address:
            return self.address
        return str(ipaddress.ip_network((self.address, 64), strict=False))


def request_of(scope: Scope) -> Request:
    """The request that `identify` put into the scope."""
    return cast("Any", scope)[_KEY]


def identify(scope: Scope, trusted: Sequence[Network]) -> Request:
    """Work out who asks, and keep it in the scope.

    The request id and the forwarded address are taken from trusted proxies alone (ATK-91, ATK-92).
    """
    headers = scope["headers"]
    peer, text, is_trusted = _judge((scope.get("client") or ("127.0.0.1", 0))[0], tuple(trusted))
    if is_trusted and header_values(headers, b"x-forwarded-for"):
        text = str(_forwarded(headers, peer, trusted))
    sent_id = header_values(headers, b"x-request-id") if is_trusted else []
    keep_id = len(sent_id) == 1 and _REQUEST_ID.fullmatch(sent_id[0])
    request = Request(
        id=sent_id[0].decode() if keep_id else os.urandom(16).hex(),
        address=text,
        trusted_peer=is_trusted,
    )
    cast("Any", scope)[_KEY] = request
    return request


@lru_cache(maxsize=4096)
def _judge(peer: str, trusted: tuple[Network, ...]) -> tuple[Address | None, str, bool]:
    """The peer's address, the same as text, and whether it is a trusted proxy."""
    address = _parse(peer)
    text = str(address or "0.0.0.0")  # noqa: S104 (no address, not a listener)
    return address, text, address is not None and is_in(address, trusted)


def is_in(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks has the address."""
    return any(address in network for network in networks)


def _forwarded(
    headers: Iterable[tuple[bytes, bytes]], peer: Address | None, trusted: Sequence[Network]
) -> Address | None:
    """The rightmost address of X-Forwarded-For that is no trusted proxy's."""
    hops = b",".join(header_values(headers, b"x-forwarded-for")).decode("latin-1").split(",")
    address = peer
    for hop in reversed(hops[-_MAX_HOPS:]):
        parsed = _parse(hop.strip())
        if parsed is None:
            return address  # what no proxy of ours can have written ends the chain
        address = parsed
        if not is_in(parsed, trusted):
            return parsed
    return address


def _parse(text: str) -> Address | None:
    """An address as proxies write it: perhaps with a port, perhaps with a zone."""
    if match := _WITH_PORT.fullmatch(text):
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
