"""POST /token: RFC 6749 §3.2."""

from service.flows.client_credentials import issue_to_client
from service.flows.origin import Origin
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import GRANT_TYPES, Client
from service.oauth.errors import UnauthorizedClient, UnsupportedGrantType


async def token(services: Services, client: Client, form: Form, _: Origin) -> dict[str, object]:
    """An access token by the grant that the form names."""
    grant_type = form.require("grant_type")
    if grant_type not in GRANT_TYPES:
        raise UnsupportedGrantType("this server does not have that grant type")
    # RFC 6749 §4.4: client_credentials is for confidential clients alone.
    if client.is_public or grant_type not in client.grant_types:
        raise UnauthorizedClient("the client may not use this grant type")
    issued = issue_to_client(
        client,
        scope=form.get("scope"),
        resources=form.get_all("resource"),
        keyring=services.keyring,
        issuer=services.issuer,
    )
    services.metrics.tokens.labels(grant_type).inc()
    return {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }
