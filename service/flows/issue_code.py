"""Issuing an authorization code: a person has signed in, and allowed what the client asks for."""

import secrets
from dataclasses import dataclass
from datetime import timedelta

from service.oauth.authorization_code import CODE_BYTES, PREFIX, digest_code
from service.oauth.authorization_request import AuthorizationRequest
from service.oauth.client import Client
from service.oauth.errors import TemporarilyUnavailable
from service.oauth.jws import encode_base64url
from service.oauth.scope import OIDC_SCOPES
from service.oauth.sign_on import SignOn
from service.sql.authorization_codes import NewCode, insert_code
from service.sql.connection import Connection

# RFC 6749 §4.1.2 advises ten minutes at most; a browser needs no more than seconds (AC-5).
CODE_TTL = timedelta(seconds=60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a user allows a client. `userinfo`: the audience of tokens that are for no API."""

    request: AuthorizationRequest
    client: Client
    sign_on: SignOn
    userinfo: str
    device: str | None


async def issue_code(connection: Connection, grant: Grant) -> str:
    """The code that the client redeems at the token endpoint. In the caller's transaction.

    Raises TemporarilyUnavailable where user, client or sign-on changed just now, or the database
    recovers, which undoes what the transaction did: another try finds what there is then.
    """
    request, client, sign_on = grant.request, grant.client, grant.sign_on
    code = PREFIX + encode_base64url(secrets.token_bytes(CODE_BYTES))
    new = NewCode(
        digest=digest_code(code),
        client_id=client.id,
        user_id=sign_on.user_id,
        credential_version=sign_on.credential_version,
        sign_on_id=sign_on.id,
        redirect_uri=request.redirect_uri,
        scopes=request.scope,
        audiences=audiences_of(request, client, grant.userinfo),
        nonce=request.nonce,
        code_challenge=request.code_challenge,
        auth_time=sign_on.auth_time,
        amr=sign_on.amr,
        device=grant.device,
    )
    if not await insert_code(connection, new, CODE_TTL):
        raise TemporarilyUnavailable("try again shortly", reason="changed, or a recovery")
    return code


def audiences_of(request: AuthorizationRequest, client: Client, userinfo: str) -> tuple[str, ...]:
    """The audiences of the session: the resource that was asked for, else all of the client's.

    For scopes of OpenID Connect alone it is the UserInfo endpoint (AT-3).
    """
    if request.resource is not None:
        return (request.resource,)
    if set(request.scope) <= OIDC_SCOPES or not client.audiences:
        return (userinfo,)
    return client.audiences
