"""Client authentication: RFC 6749 §2.3 and §3.2.1."""

from dataclasses import dataclass

from service.flows.client_cache import ClientCache
from service.oauth.client import Client, digest_secret, is_client_id
from service.oauth.errors import InvalidClient, TooManyAttempts
from service.redis.rate_limits import FailureLimit

_REFUSED = "client authentication failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """What a request says of its client: an id, and a secret or none (a public client)."""

    client_id: str
    secret: str | None


async def authenticate_client(
    credentials: Credentials, clients: ClientCache, limit: FailureLimit, address: str
) -> Client:
    """The client that proved itself, or the public client that named itself.

    Raises InvalidClient, with one text for every cause; TooManyAttempts in its place after too
    many failures of the client or from the address (TOK-17). A right secret is never refused:
    with 256 random bits a limit on it would only let a stranger lock a client out.
    """
    client_id = credentials.client_id
    client = await clients.find(client_id) if is_client_id(client_id) else None
    reason = _fault(client, credentials.secret)
    if client is not None and reason is None:
        return client
    for kind, subject in (("client_address", address), ("client_id", client_id)):
        if retry_after := await limit.count_failure(kind, subject):
            raise TooManyAttempts(
                "too many failed client authentications; wait and check the client's secret",
                reason=f"limit of {kind}: {reason}",
                retry_after=retry_after,
            )
    raise InvalidClient(_REFUSED, reason=reason)


def _fault(client: Client | None, secret: str | None) -> str | None:
    """Why authentication fails, for our log alone; None when it does not."""
    if client is None:
        # Digested even for an unknown client, or its absence could be timed.
        digest_secret(secret or "")
        return "unknown client"
    if secret is None:
        fault = None if client.is_public else "no secret"
    elif client.is_public:
        digest_secret(secret)
        fault = "a public client sent a secret"  # TOK-12
    else:
        fault = None if client.has_secret(secret) else "wrong secret"
    return fault if client.enabled else "disabled client"
