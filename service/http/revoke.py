"""POST /revoke: RFC 7009 §2.1."""

from service.flows.client_credentials import utc_now
from service.flows.origin import Origin
from service.flows.read_token import read_token
from service.flows.revoke_refresh import revoke_refresh
from service.flows.revoke_token import revoke_token
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import Client
from service.oauth.refresh_token import PREFIX


async def revoke(services: Services, client: Client, form: Form, origin: Origin) -> None:
    """Make the token void everywhere; an unknown one is void already (RFC 7009 §2.2)."""
    token = form.require("token")
    # What a token is shows in its form; a wrong hint is no reason to search less (REV-3).
    kind = "sid" if token.startswith(PREFIX) else "jti"
    if kind == "sid":
        written = await revoke_refresh(
            token,
            services.database,
            services.session_issuer.refresh_tokens,
            origin,
            client_id=client.id,
            foreign_keys=services.refresh_tokens.foreign_keys,
        )
    else:
        access = read_token(token, services.keyring, services.issuer)
        written = await revoke_token(
            access, services.database, origin, client_id=client.id, now=utc_now()
        )
    if written:
        services.metrics.revocations.labels(kind).inc()
        services.keeper.nudge()
