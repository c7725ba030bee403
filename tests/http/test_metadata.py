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
from tests.http.browsing import Pkce, make_web_client, obtain_code, open_browser, sign_up
from tests.http.forge import Forge, issue
from tests.sessions import begin

DOCUMENT = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
TENANT = "https://auth.example.com/tenant"
CLAIMS = [
    *("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "amr", "at_hash", "sid"),
    *("name", "preferred_username", "picture", "email", "email_verified"),
]
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
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
        "userinfo_endpoint": f"{ISSUER}/userinfo",
        "end_session_endpoint": f"{ISSUER}/logout",
        "revocation_endpoint": f"{ISSUER}/revoke",
        "introspection_endpoint": f"{ISSUER}/introspect",
        "jwks_uri": f"{ISSUER}/.well-known/jwks.json",
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "form_post"],
        "grant_types_supported": ["authorization_code", "client_credentials", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "prompt_values_supported": ["consent", "login", "none", "select_account"],
        "token_endpoint_auth_methods_supported": [*SECRET_METHODS, "none"],
        "revocation_endpoint_auth_methods_supported": [*SECRET_METHODS, "none"],
        "introspection_endpoint_auth_methods_supported": SECRET_METHODS,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "claim_types_supported": ["normal"],
        "claims_supported": CLAIMS,
        "ui_locales_supported": ["en"],
        "authorization_response_iss_parameter_supported": True,
        "claims_parameter_supported": False,
        "request_parameter_supported": False,
        "request_uri_parameter_supported": False,
    }


async def test_both_documents_are_the_same(http: httpx.AsyncClient) -> None:
    """META-2: RFC 8414 and OpenID Connect Discovery."""
    openid = await http.get(OPENID)
    assert openid.content == (await http.get(DOCUMENT)).content


async def test_no_member_is_null_or_empty(http: httpx.AsyncClient) -> None:
    """META-3 [8414 §3.2]."""
    values = (await http.get(DOCUMENT)).json().values()
    assert all(value or value is False for value in values)


async def test_every_advertised_url_is_served(http: httpx.AsyncClient) -> None:
    """META-3: each by its own methods, all on the issuer's host."""
    document = (await http.get(DOCUMENT)).json()
    urls = {name: url for name, url in document.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(urls) == 7
    both = ("authorization_endpoint", "userinfo_endpoint", "end_session_endpoint")
    methods = {"jwks_uri": {"GET"}, **{name: {"GET", "POST"} for name in both}}
    for name, url in urls.items():
        assert url.startswith(ISSUER + "/")
        served = methods.get(name, {"POST"})
        for method in ("GET", "POST", "DELETE"):
            answer = await http.request(method, url)
            assert answer.status_code in ((200, 400, 401) if method in served else (405,)), name
            if method not in served:
                assert all(it in answer.headers["allow"] for it in served)


@pytest.mark.parametrize(
    "path",
    [
        *("/par", "/device_authorization", "/end_session", "/.well-known/oauth-protected-resource"),
        *("/jwks", "/userinfo/x.css", "/authorize;.js", "/authorize/", "/assets", "/assets/x.css"),
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
    http: httpx.AsyncClient, app: App, grant_type: str
) -> None:
    """META-3."""
    advertised = (await http.get(DOCUMENT)).json()["grant_types_supported"]
    client, pkce = await make_web_client(app, grant_types=tuple(advertised)), Pkce()
    browser = open_browser(app)
    await sign_up(browser)
    code = await obtain_code(browser, client, pkce)
    token = (await begin(app, client)).token
    form = {"grant_type": grant_type, "code": code, "refresh_token": token, "assertion": "x"}
    if grant_type == "authorization_code":
        form["code_verifier"] = pkce.verifier
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
        contents: set[bytes] = set()
        for name in (DOCUMENT, OPENID):
            inserted = await http.get(f"https://auth.example.com{name}/tenant")
            appended = await http.get(f"{TENANT}{name}")
            assert (inserted.status_code, appended.status_code) == (200, 200)
            contents |= {inserted.content, appended.content}
            for path in (name, f"{name}/other", f"/other{name}", f"{name}/tenant/x"):
                assert (await http.get(f"https://auth.example.com{path}")).status_code == 404
    (content,) = contents
    assert json.loads(content)["issuer"] == TENANT


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
