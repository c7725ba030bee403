"""Authorization server metadata: RFC 8414. META-1 to META-3, ATK-90, ATK-94, ATK-108."""

import json
import time
from collections.abc import AsyncIterator

import httpx
import jwt
import pytest

from service.app import App, open_app
from service.settings import SettingsError, load_settings
from tests.conftest import ISSUER, MakeClient, MakeSettings, http_to, register, until
from tests.http.forge import Forge, issue
from tests.sessions import begin

DOCUMENT = "/.well-known/oauth-authorization-server"
TENANT = "https://auth.example.com/tenant"
SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@pytest.fixture(scope="module")
async def tenant(make_settings: MakeSettings) -> AsyncIterator[App]:
    """A pod whose issuer has a path."""
    async with open_app(await make_settings(ISSUER=TENANT), "0.0.0-test") as app:
        await until(lambda: app.services.readiness.ready)
        yield app


async def test_document_lists_this_and_nothing_else(http: httpx.AsyncClient) -> None:
    """META-2, META-3 [8414 §2]."""
    answer = await http.get(DOCUMENT)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "issuer": ISSUER,
        "token_endpoint": f"{ISSUER}/token",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "grant_types_supported": ["client_credentials", "refresh_token"],
        "token_endpoint_auth_methods_supported": [*SECRET_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*SECRET_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": SECRET_METHODS,
    }


async def test_no_member_is_null_or_empty(http: httpx.AsyncClient) -> None:
    """META-3 [8414 §3.2]."""
    assert all((await http.get(DOCUMENT)).json().values())


async def test_every_advertised_url_is_served(http: httpx.AsyncClient) -> None:
    """META-3: endpoints take a POST, documents a GET, all on the issuer's host."""
    document = (await http.get(DOCUMENT)).json()
    urls = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(urls) == 4
    for name, url in urls.items():
        assert url.startswith(ISSUER + "/")
        served, other = ("GET", "POST") if name == "jwks_uri" else ("POST", "GET")
        assert (await http.request(served, url)).status_code in (200, 400, 401)
        refused = await http.request(other, url)
        assert refused.status_code == 405
        assert served in refused.headers["allow"]


@pytest.mark.parametrize(
    "path",
    [
        *("/authorize", "/userinfo", "/par", "/device_authorization", "/end_session", "/register"),
        *("/.well-known/openid-configuration", "/.well-known/oauth-protected-resource", "/jwks"),
        *("/token/x.css", "/token;.js", "/token/", "/introspect/x", f"{DOCUMENT}/x.css", "/"),
        *("/.well-known/jwks.json;x.css", "/.well-known/jwks.json/x.css", f"{DOCUMENT}/tenant"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_path_that_is_not_advertised_is_404(
    http: httpx.AsyncClient, path: str, method: str
) -> None:
    """META-3, ATK-94: in JSON, never to be stored, and not as another path's answer."""
    answer = await http.request(method, path)
    assert (answer.status_code, answer.json()["error"]) == (404, "not_found")
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "grant_type",
    [
        *("client_credentials", "authorization_code", "refresh_token", "password", "implicit"),
        "urn:ietf:params:oauth:grant-type:device_code",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "urn:ietf:params:oauth:grant-type:saml2-bearer",
    ],
)
async def test_grant_works_if_and_only_if_it_is_advertised(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, grant_type: str
) -> None:
    """META-3."""
    advertised = (await http.get(DOCUMENT)).json()["grant_types_supported"]
    grants = ("client_credentials", "refresh_token")
    client = await make_client(grant_types=grants)
    token = (await begin(app, client)).token
    form = {"grant_type": grant_type, "code": "x", "refresh_token": token, "assertion": "x"}
    answer = await http.post("/token", data=form, auth=client.auth)
    if grant_type in advertised:
        assert answer.status_code == 200
    else:
        assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("endpoint", ["token", "revocation", "introspection"])
@pytest.mark.parametrize(
    "method",
    [
        *("client_secret_basic", "client_secret_post", "none", "client_secret_jwt"),
        *("private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"),
    ],
)
async def test_authentication_method_works_if_and_only_if_it_is_advertised(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, endpoint: str, method: str
) -> None:
    """META-3: for each endpoint its own list; `none` is left out for introspection."""
    document = (await http.get(DOCUMENT)).json()
    advertised = document[f"{endpoint}_endpoint_auth_methods_supported"]
    members = {"type": "public", "grant_types": ("refresh_token",)} if method == "none" else {}
    client = await make_client(**members)
    now = int(time.time())
    assertion = jwt.encode(
        {"iss": client.id, "sub": client.id, "aud": ISSUER, "exp": now + 60, "jti": "x"},
        client.secret.ljust(32),
        algorithm="HS256",
    )
    form = {"grant_type": "client_credentials", "token": Forge(app, client.id).token()}
    form |= {
        "client_secret_basic": {},
        "client_secret_post": {"client_id": client.id, "client_secret": client.secret},
        "client_secret_jwt": {"client_assertion": assertion, "client_assertion_type": JWT_BEARER},
        "private_key_jwt": {"client_assertion": assertion, "client_assertion_type": JWT_BEARER},
    }.get(method, {"client_id": client.id})
    if method == "none" and endpoint == "token":
        form |= {"grant_type": "refresh_token", "refresh_token": (await begin(app, client)).token}
    answer = await http.post(
        document[f"{endpoint}_endpoint"],
        data=form,
        headers={"client-cert": ":MIIB:", "x-client-cert": "MIIB"} if "tls" in method else {},
        auth=client.auth if method == "client_secret_basic" else httpx.USE_CLIENT_DEFAULT,
    )
    assert (answer.status_code == 200) == (method in advertised)
    if method not in advertised:
        assert answer.json()["error"] in ("invalid_client", "unauthorized_client")


async def test_issuer_is_the_same_string_everywhere(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """META-1: in the metadata, in tokens, in introspection, and in the settings."""
    client = await make_client()
    token = await issue(http, client)
    told = await http.post("/introspect", data={"token": token}, auth=client.auth)
    claims = jwt.decode(token, options={"verify_signature": False})
    issuers = {(await http.get(DOCUMENT)).json()["issuer"], claims["iss"], told.json()["iss"]}
    assert issuers == {ISSUER}


@pytest.mark.parametrize(
    "issuer",
    [
        *("http://auth.example.com", "https://auth.example.com/", "https://Auth.example.com"),
        *("https://auth.example.com:443", "http://localhost:80", "https://auth.example.com?x=1"),
        *(
            "https://auth.example.com#x",
            "https://auth.example.com/a/",
            "auth.example.com",
            "https:",
        ),
        *("https://u:p@auth.example.com", "ftp://localhost", "https://auth.example.com:x"),
        *("https://auth.example.com?", "https://auth.example.com#", "http://localhost.evil.com"),
        *("http://127.0.0.1.evil.com", "https://auth.exämple.com", "https://auth.example.com/\n"),
    ],
)
def test_issuer_that_verifiers_could_read_in_two_ways_is_refused(issuer: str) -> None:
    """META-1 [8414 §2], IOP-1: at start, before anything is signed."""
    others = {"WATCHWORD_DATABASE_URL": "postgresql://x/y", "WATCHWORD_REDIS_URL": "redis://x"}
    with pytest.raises(SettingsError) as refusal:
        load_settings({"WATCHWORD_ISSUER": issuer, **others})
    assert all(fault.startswith("WATCHWORD_ISSUER") for fault in refusal.value.faults)
    good = load_settings({"WATCHWORD_ISSUER": TENANT, **others})
    assert good.issuer == TENANT


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:8000"},
        {"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"},
        {"forwarded": "host=evil.example;proto=https", "x-forwarded-port": "1234"},
        {"x-forwarded-prefix": "/evil", "x-original-url": "/evil", "x-rewrite-url": "/evil"},
        {"origin": "https://evil.example"},
        {"accept": "text/html", "accept-language": "de", "accept-encoding": "gzip, br"},
        {"cookie": "a=b; a=c", "authorization": "Basic garbage"},
        {"authorization": "Bearer x", "dpop": "x", "x-request-id": "evil-request-id"},
        {"user-agent": "Python-urllib/3.11"},
    ],
    ids=str,
)
@pytest.mark.parametrize("query", ["", "?issuer=https://evil.example&x=%00"])
async def test_document_is_identical_for_all_inputs(
    http: httpx.AsyncClient, headers: dict[str, str], query: str
) -> None:
    """ATK-90, ATK-94, ATK-108: caches can't be poisoned; cookies and credentials are ignored."""
    plain = await http.get(DOCUMENT)
    answer = await http.get(DOCUMENT + query, headers=headers)
    assert (answer.status_code, answer.content) == (200, plain.content)
    kept = {"content-type", "cache-control", "etag", "access-control-allow-origin", "vary"}
    assert {name: answer.headers.get(name) for name in kept} == {
        name: plain.headers.get(name) for name in kept
    }
    assert "set-cookie" not in answer.headers


async def test_unknown_host_is_421(http: httpx.AsyncClient) -> None:
    """ATK-90."""
    answer = await http.get(DOCUMENT, headers={"host": "evil.example"})
    assert answer.status_code == 421
    assert "evil" not in answer.text


async def test_path_issuer_has_its_document_inserted_and_appended(tenant: App) -> None:
    """META-2 [8414 §3.1]: both the same bytes; unknown tenants are 404."""
    async with http_to(tenant) as http:
        inserted = await http.get(f"https://auth.example.com{DOCUMENT}/tenant")
        appended = await http.get(f"{TENANT}{DOCUMENT}")
        assert (inserted.status_code, appended.status_code) == (200, 200)
        assert inserted.content == appended.content
        assert inserted.json()["issuer"] == TENANT
        for path in (DOCUMENT, f"{DOCUMENT}/other", f"/other{DOCUMENT}", f"{DOCUMENT}/tenant/x"):
            assert (await http.get(f"https://auth.example.com{path}")).status_code == 404


async def test_path_issuer_serves_all_that_it_advertises_under_its_path(tenant: App) -> None:
    """META-2, META-3: over https, every URL below the issuer, and nothing beside it."""
    client = await register(tenant)
    async with http_to(tenant) as http:
        document = (await http.get(f"{TENANT}{DOCUMENT}")).json()
        urls = [url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))]
        assert all(url.startswith(TENANT + "/") for url in urls)
        form = {"grant_type": "client_credentials"}
        answer = await http.post(document["token_endpoint"], data=form, auth=client.auth)
        token = answer.json()["access_token"]
        keys = jwt.PyJWKSet(**(await http.get(document["jwks_uri"])).json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        claims = jwt.decode(
            token, key, algorithms=["RS256"], options={"verify_aud": False}, issuer=TENANT
        )
        assert claims["iss"] == TENANT
        asked = document["introspection_endpoint"], document["revocation_endpoint"]
        told = await http.post(asked[0], data={"token": token}, auth=client.auth)
        assert told.json()["iss"] == TENANT
        assert (await http.post(asked[1], data={"token": token}, auth=client.auth)).is_success
        for url in urls:
            beside = url.replace("/tenant", "")
            assert (await http.request("POST", beside)).status_code == 404


async def test_token_of_another_tenant_is_inactive(tenant: App, app: App) -> None:
    """ATK-102, ATK-7: keys, clients and issuer are each pod's own."""
    client = await register(tenant)
    async with http_to(tenant) as http:
        for iss in (json.dumps(ISSUER), json.dumps(TENANT)):
            forge = Forge(app, client.id)
            answer = await http.post(
                f"{TENANT}/introspect",
                data={"token": forge.token(claims=forge.claims(iss=iss))},
                auth=client.auth,
            )
            assert answer.json() == {"active": False}
