"""The key sets: /.well-known/jwks.json and the feed's own. JWKS-1 to JWKS-5, ATK-94, ATK-108."""

import base64
import json
from dataclasses import replace

import httpx
import jwt
import pytest
from redis.asyncio import Redis

from service.app import App, create_app
from service.keys.key_store import KeyStore
from service.keys.keyring import Keyring
from service.keys.master_keys import read_master_keys
from service.settings import Settings
from tests.conftest import ISSUER, MakeClient, http_to
from tests.http.forge import issue

JWKS = "/.well-known/jwks.json"
FEED_KEYS = "/.well-known/watchword-feed-keys.json"
METADATA = "/.well-known/oauth-authorization-server"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

documents = pytest.mark.parametrize("path", [JWKS, FEED_KEYS, METADATA])
key_sets = pytest.mark.parametrize("path", [JWKS, FEED_KEYS])


@documents
async def test_document_is_public_json_for_five_minutes(http: httpx.AsyncClient, path: str) -> None:
    """JWKS-1, META-2: for browsers of any origin, without authentication, without cookies."""
    answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.headers.get_list("cache-control") == ["public, max-age=300"]
    assert answer.headers.get_list("access-control-allow-origin") == ["*"]
    assert "access-control-allow-credentials" not in answer.headers
    assert not {"set-cookie", "vary", "pragma"} & set(answer.headers)


@documents
async def test_head_has_the_headers_and_no_body(http: httpx.AsyncClient, path: str) -> None:
    """JWKS-1."""
    get, head = await http.get(path), await http.head(path)
    assert (head.status_code, head.content) == (200, b"")
    for answer in (get, head):
        del answer.headers["x-request-id"]
    assert head.headers == get.headers


@documents
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("known", ["{}", "W/{}", "*", '"a", {}, "b"', '"a",W/{}', " {} "])
async def test_known_document_is_304(
    http: httpx.AsyncClient, path: str, method: str, known: str
) -> None:
    """JWKS-1 [9110 §13.1.2]: compared weakly, for a compressing proxy makes the tag weak."""
    tag = (await http.get(path)).headers["etag"]
    assert tag.startswith('"')
    assert tag.endswith('"')
    answer = await http.request(method, path, headers={"if-none-match": known.format(tag)})
    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == tag
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "content-length" not in answer.headers


@documents
@pytest.mark.parametrize("known", ['"another"', "", 'W/"another"', "{unquoted}", "garbage, *x"])
async def test_another_tag_gets_the_document(
    http: httpx.AsyncClient, path: str, known: str
) -> None:
    """JWKS-1."""
    plain = await http.get(path)
    known = known.replace("{unquoted}", plain.headers["etag"].strip('"'))
    answer = await http.get(path, headers={"if-none-match": known})
    assert (answer.status_code, answer.content) == (200, plain.content)


@documents
@pytest.mark.parametrize(
    "headers",
    [
        {"cookie": "a=b; __Host-watchword_refresh=c"},
        {"authorization": "Basic garbage"},
        {"authorization": "Bearer a.b.c", "dpop": "x"},
        {"origin": "https://evil.example", "accept": "text/html", "x-forwarded-host": "evil"},
        {"accept": "application/jwk-set+json"},
    ],
    ids=str,
)
async def test_document_is_identical_for_all_inputs(
    http: httpx.AsyncClient, path: str, headers: dict[str, str]
) -> None:
    """ATK-94, ATK-108."""
    plain = await http.get(path)
    answer = await http.get(f"{path}?x=1", headers=headers)
    assert (answer.status_code, answer.content) == (200, plain.content)
    for name in ("content-type", "cache-control", "etag", "access-control-allow-origin"):
        assert answer.headers[name] == plain.headers[name]
    assert "set-cookie" not in answer.headers


@documents
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_documents_are_only_read(http: httpx.AsyncClient, path: str, method: str) -> None:
    """JWKS-1."""
    answer = await http.request(method, path)
    assert answer.status_code == 405
    assert {"GET", "HEAD"} <= set(answer.headers["allow"].split(", "))


@key_sets
async def test_keys_have_these_members_and_no_private_one(
    http: httpx.AsyncClient, path: str
) -> None:
    """JWKS-2: RSA of 2048 bits with e = 65537, unpadded base64url, one `alg` a key."""
    document = (await http.get(path)).json()
    assert set(document) == {"keys"}
    for key in document["keys"]:
        assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}
        assert not PRIVATE & set(key)
        assert (key["kty"], key["use"], key["alg"], key["e"]) == ("RSA", "sig", "RS256", "AQAB")
        assert "=" not in key["n"]
        modulus = base64.urlsafe_b64decode(key["n"] + "==")
        assert len(modulus) == 256
        assert modulus[0] & 0x80


@key_sets
async def test_kid_is_the_thumbprint_and_unique(http: httpx.AsyncClient, path: str) -> None:
    """JWKS-3 [7638], JWKS-5: the active key and the next one, always published."""
    keys = (await http.get(path)).json()["keys"]
    assert [key["kid"] for key in keys] == [_thumbprint(key) for key in keys]
    assert len({key["kid"] for key in keys}) == len(keys) == 2
    assert all(len(key["kid"]) == 43 for key in keys)


def _thumbprint(key: dict[str, str]) -> str:
    """By hand, to RFC 7638 §3."""
    from hashlib import sha256  # noqa: PLC0415 (nothing of the service's own)

    text = json.dumps({name: key[name] for name in ("e", "kty", "n")}, separators=(",", ":"))
    return base64.urlsafe_b64encode(sha256(text.encode()).digest()).decode().rstrip("=")


async def test_feed_has_keys_of_its_own(http: httpx.AsyncClient) -> None:
    """JWKS-10: no key of the one set is in the other."""
    sets = [(await http.get(path)).json()["keys"] for path in (JWKS, FEED_KEYS)]
    tokens, feed = ({key["n"] for key in keys} for keys in sets)
    assert not tokens & feed


async def test_foreign_library_verifies_a_token_with_the_set(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """JWKS-1, AT-1: PyJWT finds the key by its kid and needs nothing else."""
    token = await issue(http, await make_client())
    keys = jwt.PyJWKSet(**(await http.get(JWKS)).json())
    header = jwt.get_unverified_header(token)
    assert set(header) == {"alg", "kid", "typ"}
    assert (header["alg"], header["typ"]) == ("RS256", "at+jwt")
    key = keys[header["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["RS256"], options={"verify_aud": False}, issuer=ISSUER
    )
    assert claims["iss"] == ISSUER


async def test_heartbeat_is_verified_with_the_feeds_set(
    http: httpx.AsyncClient, settings: Settings
) -> None:
    """DIST-8: and not with the tokens' one."""
    async with Redis.from_url(settings.redis_url.reveal(), decode_responses=True) as redis:
        heartbeat = await redis.get(f"{{{settings.redis_prefix}}}:feed:heartbeat")
    keys = jwt.PyJWKSet(**(await http.get(FEED_KEYS)).json())
    header = jwt.get_unverified_header(heartbeat)
    assert header["typ"] == "revocation-heartbeat+jwt"
    claims = jwt.decode(heartbeat, keys[header["kid"]], algorithms=["RS256"], issuer=ISSUER)
    assert claims["iss"] == ISSUER
    assert header["kid"] not in (await http.get(JWKS)).text


@key_sets
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_starting_pod_has_no_keys_to_show(
    app: App, settings: Settings, path: str, method: str
) -> None:
    """JWKS-1: 503 with Retry-After, not an empty set, which verifiers would keep for minutes."""
    keyring = Keyring(
        KeyStore(issuer=settings.issuer, master_keys=read_master_keys(settings.keys_dir))
    )
    services = replace(app.services, keyring=keyring)
    async with http_to(App(asgi=create_app(services), services=services)) as http:
        answer = await http.request(method, path)
    assert answer.status_code == 503
    assert answer.headers["cache-control"] == "no-store"
    assert int(answer.headers["retry-after"]) > 0
    assert b"keys" not in answer.content
