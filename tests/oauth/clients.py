"""A client with the authorization code flow; tests change what they are about."""

from dataclasses import replace
from datetime import timedelta

from service.oauth.client import Client

CLIENT = Client(
    id="web",
    name="Web",
    type="confidential",
    token_endpoint_auth_method="client_secret_basic",
    grant_types=("authorization_code", "refresh_token"),
    redirect_uris=("https://app.example/cb", "https://app.example/cb?x=1"),
    post_logout_redirect_uris=(),
    require_pkce=True,
    consent="ask",
    audiences=("https://orders.example", "https://stock.example"),
    scopes=("openid", "profile", "offline_access", "orders:read"),
    default_scopes=(),
    serves=(),
    access_token_ttl=timedelta(seconds=300),
    session_idle_ttl=timedelta(days=7),
    session_absolute_ttl=timedelta(days=30),
    grace=timedelta(seconds=30),
    shadow_until=None,
    first_party=False,
    refresh_delivery="body",
    allowed_origins=(),
    signing_alg="RS256",
    administrator=False,
    epoch=0,
    enabled=True,
    secret_digests=(),
)
NATIVE = replace(
    CLIENT,
    id="native",
    type="public",
    token_endpoint_auth_method="none",
    redirect_uris=("http://127.0.0.1/cb",),
)
