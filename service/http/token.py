"""POST /token: RFC 6749 §3.2."""

from service.flows.authorization_code import CodeRequest
from service.flows.client_credentials import issue_to_client
from service.flows.origin import Origin
from service.flows.refresh_token import RefreshRequest
from service.flows.session_tokens import SessionTokens
from service.http.form import Form
from service.http.services import Services
from service.oauth.client import GRANT_TYPES, Client
from service.oauth.errors import UnauthorizedClient, UnsupportedGrantType


async def token(
    services: Services, client: Client, form: Form, origin: Origin
) -> dict[str, object]:
    """An access token by the grant that the form names."""
    grant_type = form.require("grant_type")
    if grant_type not in GRANT_TYPES:
        raise UnsupportedGrantType("this server does not have that grant type")
    if grant_type not in client.grant_types:
        raise UnauthorizedClient("the client may not use this grant type")
    answer = _ANSWERS[grant_type]
    members = await answer(services, client, form, origin)
    services.metrics.issued[grant_type].inc()
    return members


async def _client_credentials(
    services: Services, client: Client, form: Form, _: Origin
) -> dict[str, object]:
    if client.is_public:
        # RFC 6749 §4.4: client_credentials is for confidential clients alone.
        raise UnauthorizedClient("the client may not use this grant type")
    issued = issue_to_client(
        client,
        scope=form.get("scope"),
        resources=form.get_all("resource"),
        keyring=services.keyring,
        issuer=services.issuer,
    )
    return {
        "access_token": issued.access_token,
        "token_type": "Bearer",
        "expires_in": issued.expires_in,
        "scope": issued.scope,
    }


async def _refresh_token(
    services: Services, client: Client, form: Form, origin: Origin
) -> dict[str, object]:
    if client.has_cookie:
        # What a browser's script can't read must not come out here either.
        raise UnauthorizedClient("the client refreshes at /api/refresh")
    tokens = await services.refresh_tokens.refresh(
        RefreshRequest(
            token=form.require("refresh_token"),
            client=client,
            scope=form.get("scope"),
            resources=form.get_all("resource"),
            origin=origin,
        )
    )
    return _members(tokens)


async def _authorization_code(
    services: Services, client: Client, form: Form, origin: Origin
) -> dict[str, object]:
    tokens = await services.codes.redeem(
        CodeRequest(
            code=form.require("code"),
            client=client,
            code_verifier=form.get("code_verifier"),
            redirect_uri=form.get("redirect_uri"),
            resources=form.get_all("resource"),
            origin=origin,
        )
    )
    members = _members(tokens)
    # Without the grant the client could do nothing with it.
    if "refresh_token" not in client.grant_types:
        del members["refresh_token"]
    return members


def _members(tokens: SessionTokens) -> dict[str, object]:
    members: dict[str, object] = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
        "refresh_token": tokens.refresh_token,
    }
    return members if tokens.id_token is None else {**members, "id_token": tokens.id_token}


_ANSWERS = {
    "authorization_code": _authorization_code,
    "client_credentials": _client_credentials,
    "refresh_token": _refresh_token,
}
