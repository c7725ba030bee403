"""POST /revoke: RFC 7009 §2.1."""

import re

from service.flows.await_receipts import await_receipts
from service.flows.client_credentials import utc_now
from service.flows.origin import Origin
from service.flows.read_token import read_token
from service.flows.revoke_refresh import revoke_refresh
from service.flows.revoke_token import revoke_token
from service.http.form import Form
from service.http.receipts import require_confidential
from service.http.services import Services
from service.oauth.client import Client
from service.oauth.errors import InvalidRequest, TemporarilyUnavailable
from service.oauth.refresh_token import PREFIX

_WAIT = re.compile(r"[0-9]|10")
_MAX_MISSING = 20


async def revoke(
    services: Services, client: Client, form: Form, origin: Origin
) -> dict[str, object] | None:
    """Make the token void everywhere; an unknown one is void already (RFC 7009 §2.2).

    With `wait`, the answer says which verifiers have seen it; whatever the token was (REV-1).
    """
    token, wait = form.require("token"), _read_wait(form, client)
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
    return None if wait is None else {"seen_by": await wait_for_verifiers(services, wait)}


def _read_wait(form: Form, client: Client) -> int | None:
    """How long to wait for the verifiers, seconds; None: not at all."""
    wait = form.get("wait")
    if wait is None:
        return None
    require_confidential(client)
    if not _WAIT.fullmatch(wait):
        raise InvalidRequest("wait must be an integer from 0 to 10")
    return int(wait)


async def wait_for_verifiers(services: Services, seconds: int) -> dict[str, object]:
    """Publish, then say which verifiers have seen all that is published, after so long at most."""
    head = await services.keeper.cover()
    if head is None:
        raise TemporarilyUnavailable("it is revoked; which verifiers know is not known yet")
    seen = await await_receipts(services.receipt_reader, head, seconds)
    return {
        "seen": seen.seen,
        "of": len(seen.verifiers),
        "slowest": seen.slowest,
        "missing": [it.name for it in seen.missing[:_MAX_MISSING]],
        "ms": round(seen.seconds * 1000),
    }
