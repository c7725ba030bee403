"""The access token that /token issues, read as any other service would: by the served JWKS."""

import json
import time
from base64 import urlsafe_b64decode
from datetime import timedelta
from uuid import UUID

import httpx
import jwt
import pytest

from service.app import App
from service.flows.manage_clients import revoke_client
from tests.conftest import AUDIENCE, ISSUER, MakeClient, RegisteredClient
from tests.http.refusals import GRANT

BILLING = "https://billing.example"


async def issue(http: httpx.AsyncClient, client: RegisteredClient, **form: str) -> str:
    answer = await http.post("/token", data={**GRANT, **form}, auth=client.auth)
    assert answer.status_code == 200
    return answer.json()["access_token"]


async def verify(http: httpx.AsyncClient, token: str, audience: str = AUDIENCE) -> dict:
    jwks = jwt.PyJWKSet.from_dict((await http.get("/.well-known/jwks.json")).json())
    key = jwks[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(
        token,
        key,
        algorithms=["RS256"],
        audience=audience,
        issuer=ISSUER,
        options={"require": ["iss", "exp", "aud", "sub", "iat", "jti"], "strict_aud": True},
    )


def parts(token: str) -> list[dict]:
    """Header and claims, as they are spelt."""
    segments = token.split(".")
    assert len(segments) == 3
    assert "=" not in token
    return [json.loads(urlsafe_b64decode(segment + "==")) for segment in segments[:2]]


async def test_the_header_names_type_algorithm_and_key_and_nothing_else(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """AT-1: RFC 9068 §2.1."""
    header, _ = parts(await issue(http, await make_client()))
    served = (await http.get("/.well-known/jwks.json")).json()["keys"]
    assert header == {"typ": "at+jwt", "alg": "RS256", "kid": header["kid"]}
    assert header["kid"] in [key["kid"] for key in served]


async def test_the_served_keys_verify_the_token(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """AT-1, AT-2: with PyJWT, which knows nothing of this server."""
    client = await make_client()
    token = await issue(http, client)
    claims = await verify(http, token)
    assert claims["sub"] == client.id
    head, _, signature = token.rpartition(".")
    forged = f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    with pytest.raises(jwt.InvalidSignatureError):
        await verify(http, forged)


async def test_the_claims_are_exactly_these(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """AT-2: RFC 9068 §2.2."""
    client = await make_client()
    before = int(time.time())
    _, claims = parts(await issue(http, client))
    issued_at = claims["iat"]
    assert before <= issued_at <= time.time()
    assert claims == {
        "iss": ISSUER,
        "sub": client.id,
        "aud": AUDIENCE,
        "client_id": client.id,
        "scope": "orders:read orders:write",
        "iat": issued_at,
        "exp": issued_at + 300,
        "jti": claims["jti"],
        "cep": 0,
    }
    assert [type(claims[name]) for name in ("iat", "exp", "cep")] == [int, int, int]


@pytest.mark.parametrize("seconds", [60, 600])
async def test_the_lifetime_is_the_clients(
    http: httpx.AsyncClient, make_client: MakeClient, seconds: int
) -> None:
    """AT-2: at most 600 s; TOK-8: expires_in is the same number."""
    client = await make_client(access_token_ttl=timedelta(seconds=seconds))
    answer = await http.post("/token", data=GRANT, auth=client.auth)
    _, claims = parts(answer.json()["access_token"])
    assert claims["exp"] - claims["iat"] == answer.json()["expires_in"] == seconds


async def test_the_epoch_is_the_clients(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """AT-2, AT-4: by cep a client's tokens are revoked, those from after it are not."""
    client = await make_client()
    epoch = await revoke_client(app.services.database, client.id, enabled=True)
    _, claims = parts(await issue(http, client))
    assert claims["cep"] == epoch == 1


async def test_the_audience_is_the_resource_else_the_clients_first(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """AT-3, RES-1: a string, and never the client or the issuer."""
    client = await make_client(audiences=(AUDIENCE, BILLING, "urn:example:stock"))
    assert (await verify(http, await issue(http, client)))["aud"] == AUDIENCE
    for audience in (AUDIENCE, BILLING, "urn:example:stock"):
        token = await issue(http, client, resource=audience)
        assert (await verify(http, token, audience))["aud"] == audience


async def test_every_token_has_a_uuid7_of_its_own(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """AT-4: RFC 9562 §5.7."""
    client = await make_client()
    tokens = [await issue(http, client) for _ in range(20)]
    names = {parts(token)[1]["jti"]: parts(token)[1]["iat"] for token in tokens}
    assert len(names) == 20
    for jti, issued_at in names.items():
        assert str(UUID(jti)) == jti
        assert (UUID(jti).version, UUID(jti).variant) == (7, "specified in RFC 4122")
        assert (UUID(jti).int >> 80) // 1000 == issued_at


async def test_no_token_is_stored(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """AT-4: what the database would have to know of a token is its jti."""
    token = await issue(http, await make_client())
    jti = parts(token)[1]["jti"]
    async with app.services.database.connection() as connection:
        rows = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = [row["tablename"] for row in rows]
        assert "revocations" in tables
        for table in tables:
            rows = await connection.fetch(f'SELECT t::text AS line FROM "{table}" AS t')  # noqa: S608
            assert [row["line"] for row in rows if jti in row["line"]] == []
