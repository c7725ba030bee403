"""POST /revoke: RFC 7009 §2.1."""

from service.flows.client_credentials import utc_now
from service.flows.origin import Origin
from service.flows.read_token import read_token
from service.flows.revoke_token import revoke_token
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import Client


async def revoke(services: Services, client: Client, form: Form, origin: Origin) -> None:
    """Make the token void everywhere; an unknown one is void already (RFC 7009 §2.2)."""
    access = read_token(form.require("token"), services.keyring, services.issuer)
    written = await revoke_token(
        access, services.database, origin, client_id=client.id, now=utc_now()
    )
    if written:
        services.metrics.revocations.labels("jti").inc()
        services.keeper.nudge()
