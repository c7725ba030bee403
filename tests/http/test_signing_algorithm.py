"""A client whose tokens are signed with ES256: from when on, and where they count. AT-1, JWKS-4."""

import json
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import jwt
import pytest

from service.app import App
from service.flows.rotate_keys import keep_keys, rotate_keys
from service.oauth.signing_key import ES256, RS256
from tests.conftest import MakeApp, MakeSettings, RegisteredClient, http_to, register

JWKS = "/.well-known/jwks.json"


@pytest.fixture
async def pod(make_app: MakeApp, make_settings: MakeSettings) -> App:
    return await make_app(await make_settings())


@pytest.fixture
async def http(pod: App) -> AsyncIterator[httpx.AsyncClient]:
    async with http_to(pod) as client:
        yield client


async def keep(pod: App, hours: int = 0) -> None:
    """Let hours pass for the keys, and do what is due then."""
    database, settings = pod.services.database, pod.services.settings
    async with database.connection() as connection:
        await connection.execute(
            """
            UPDATE signing_keys
            SET created_at = created_at - $1::interval, activates_at = activates_at - $1::interval
            """,
            timedelta(hours=hours),
        )
    for _ in range(2):  # the second makes what the first has used
        await keep_keys(database, pod.services.keyring, settings.key_times)


async def token(http: httpx.AsyncClient, client: RegisteredClient) -> str:
    answer = await http.post("/token", data={"grant_type": "client_credentials"}, auth=client.auth)
    assert answer.status_code == 200
    return answer.json()["access_token"]


def alg_of(token: str) -> str:
    return jwt.get_unverified_header(token)["alg"]


async def algorithms(http: httpx.AsyncClient) -> list[str]:
    return sorted(key["alg"] for key in (await http.get(JWKS)).json()["keys"])


async def test_no_key_is_made_that_nobody_asks_for(pod: App, http: httpx.AsyncClient) -> None:
    """JWKS-5: some verifiers fail a whole set for a kind that they don't know."""
    await register(pod)
    await keep(pod)
    assert await algorithms(http) == [RS256, RS256]


async def test_es256_signs_once_verifiers_can_know_its_key(
    pod: App, http: httpx.AsyncClient
) -> None:
    """JWKS-4: published a day before; until then RS256, which all know, signs."""
    client, other = await register(pod, signing_alg=ES256), await register(pod)
    await keep(pod)
    assert await algorithms(http) == [ES256, RS256, RS256]
    early = await token(http, client)
    assert alg_of(early) == RS256
    await keep(pod, hours=25)
    assert await algorithms(http) == [ES256, ES256, RS256, RS256]
    late = await token(http, client)
    assert (alg_of(late), alg_of(await token(http, other))) == (ES256, RS256)
    keys = {key["kid"]: key for key in (await http.get(JWKS)).json()["keys"]}
    key = jwt.PyJWK(keys[jwt.get_unverified_header(late)["kid"]])
    issuer, audience = pod.services.issuer, jwt.decode(late, options={"verify_signature": False})
    jwt.decode(late, key, algorithms=[ES256], issuer=issuer, audience=audience["aud"])
    for each in (early, late):
        told = await http.post("/introspect", data={"token": each}, auth=client.auth)
        assert told.json()["active"] is True


async def test_an_operator_may_not_wait(pod: App, http: httpx.AsyncClient) -> None:
    client = await register(pod, signing_alg=ES256)
    await keep(pod)
    settings = pod.services.settings
    rotation = await rotate_keys(pod.services.database, settings.key_times, alg=ES256, now=True)
    assert rotation.replaced is None
    await keep(pod)
    made = await token(http, client)
    assert (alg_of(made), jwt.get_unverified_header(made)["kid"]) == (ES256, rotation.kid)


async def test_es256_keys_rotate_among_themselves(pod: App, http: httpx.AsyncClient) -> None:
    client = await register(pod, signing_alg=ES256)
    await keep(pod)
    await keep(pod, hours=25)
    first = jwt.get_unverified_header(await token(http, client))["kid"]
    await keep(pod, hours=31 * 24)
    second = jwt.get_unverified_header(await token(http, client))
    assert (second["alg"], second["kid"] == first) == (ES256, False)
    async with pod.services.database.connection() as connection:
        rows = await connection.fetch(
            "SELECT state, count(*) AS keys FROM signing_keys WHERE alg = 'ES256' GROUP BY state"
        )
    assert {row["state"]: row["keys"] for row in rows} == {"pending": 1, "active": 1, "retiring": 1}
    kids = [key["kid"] for key in json.loads((await http.get(JWKS)).content)["keys"]]
    assert len(kids) == len(set(kids))


async def test_a_forged_algorithm_is_no_token(pod: App, http: httpx.AsyncClient) -> None:
    """ATK-3: a token says ES256 and is signed by the RS256 key, or names that one."""
    client = await register(pod, signing_alg=ES256)
    await keep(pod)
    await rotate_keys(pod.services.database, pod.services.settings.key_times, alg=ES256, now=True)
    await keep(pod)
    good = await token(http, client)
    keys = {key["alg"]: key["kid"] for key in (await http.get(JWKS)).json()["keys"]}
    signature = good.rsplit(".", 1)[1]
    payload = good.split(".")[1]
    for header in ({"alg": RS256}, {"kid": keys[RS256]}, {"alg": RS256, "kid": keys[RS256]}):
        whole = {**jwt.get_unverified_header(good), **header}
        head = jwt.utils.base64url_encode(json.dumps(whole).encode()).decode()
        told = await http.post(
            "/introspect", data={"token": f"{head}.{payload}.{signature}"}, auth=client.auth
        )
        assert told.json() == {"active": False}
