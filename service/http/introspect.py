"""POST /introspect: RFC 7662 §2.1."""

from service.flows import introspect as flow
from service.flows.client_credentials import utc_now
from service.flows.introspect_refresh import introspect_refresh
from service.flows.origin import Origin
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import Client
from service.oauth.errors import InvalidClient
from service.oauth.refresh_token import PREFIX


async def introspect(
    services: Services, client: Client, form: Form, _: Origin
) -> dict[str, object]:
    """What the token is, to a confidential client that it concerns."""
    if client.is_public:
        # RFC 7662 §2.1: the endpoint MUST require authorization; naming oneself is none.
        raise InvalidClient("client authentication failed", reason="a public client")
    token = form.require("token")
    if token.startswith(PREFIX):
        return await introspect_refresh(
            token,
            client,
            services.database,
            services.session_issuer.refresh_tokens,
            services.issuer,
            foreign_keys=services.refresh_tokens.foreign_keys,
        )
    return await flow.introspect(
        token,
        client,
        services.live_tokens,
        services.keyring,
        services.issuer,
        utc_now(),
    )
