"""grant_type=client_credentials: who may have it, with which scope, for which audience."""

import httpx
import pytest

from service.app import App
from service.flows.manage_clients import ClientRefused
from tests.conftest import AUDIENCE, MakeClient, RegisteredClient
from tests.http.refusals import GRANT, assert_refused

BILLING = "https://billing.example"


async def ask(
    http: httpx.AsyncClient, client: RegisteredClient, **form: str | list[str]
) -> httpx.Response:
    return await http.post("/token", data={**GRANT, **form}, auth=client.auth)


async def test_a_public_client_has_no_grant_of_its_own(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """CC-1: RFC 6749 §4.4; also where a row of the database says otherwise."""
    client = await make_client(type="public")
    named = {**GRANT, "client_id": client.id}
    assert_refused(await http.post("/token", data=named), "unauthorized_client")
    async with app.services.database.connection() as connection:
        await connection.execute(
            "UPDATE clients SET grant_types = '{client_credentials}' WHERE id = $1", client.id
        )
    app.services.clients.drop(client.id)
    assert_refused(await http.post("/token", data=named), "unauthorized_client")


async def test_a_public_client_can_not_be_registered_with_it(make_client: MakeClient) -> None:
    """CC-1, ATK-109."""
    with pytest.raises(ClientRefused, match="a public client can't have client_credentials"):
        await make_client(type="public", grant_types=("client_credentials",))


async def test_scopes_of_users_are_not_granted_to_clients(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """CC-1: no ID token, no refresh token, whatever the client's registration lists."""
    client = await make_client(
        scopes=("openid", "offline_access", "orders:read"),
        grant_types=("client_credentials", "authorization_code", "refresh_token"),
        redirect_uris=("https://app.example/cb",),
    )
    for form in ({}, {"scope": "openid offline_access orders:read"}, {"scope": "orders:read"}):
        answer = await ask(http, client, **form)
        assert answer.json()["scope"] == "orders:read"
        assert set(answer.json()) == {"access_token", "token_type", "expires_in", "scope"}
    for scope in ("openid", "offline_access", "openid offline_access"):
        assert_refused(await ask(http, client, scope=scope), "invalid_scope")


async def test_scope_is_what_was_asked_else_the_default_else_all(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """CC-2, TOK-8: the answer always says it; RFC 6749 §3.3."""
    plain = await make_client(scopes=("a", "b", "c"))
    modest = await make_client(scopes=("a", "b", "c"), default_scopes=("b",))
    assert (await ask(http, plain)).json()["scope"] == "a b c"
    assert (await ask(http, plain, scope="")).json()["scope"] == "a b c"
    assert (await ask(http, modest)).json()["scope"] == "b"
    for client in (plain, modest):
        assert (await ask(http, client, scope="c a")).json()["scope"] == "c a"
        assert (await ask(http, client, scope="a a")).json()["scope"] == "a"


@pytest.mark.parametrize(
    "scope", ["d", "a d", "A", "a,b", "a  b", " a", "a ", "a\tb", "a\n", 'a"', "a\\", "ä", "*"]
)
async def test_a_scope_beyond_the_clients_is_invalid(
    http: httpx.AsyncClient, make_client: MakeClient, scope: str
) -> None:
    """CC-2; nothing is granted where a part of it could be."""
    client = await make_client(scopes=("a", "b"))
    assert_refused(await ask(http, client, scope=scope), "invalid_scope")


async def test_a_client_without_scopes_gets_no_token(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """CC-2, ATK-109: an empty list grants nothing."""
    client = await make_client(scopes=())
    assert_refused(await ask(http, client), "invalid_scope")
    assert_refused(await ask(http, client, scope="orders:read"), "invalid_scope")


async def test_a_client_without_the_grant_gets_no_token(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-109."""
    client = await make_client(grant_types=(), audiences=())
    assert_refused(await ask(http, client), "unauthorized_client")


@pytest.mark.parametrize(
    "client_id", ["0199d2c1-7b1e-7c55-9f6e-0a4b8f0e2d11", "0199D2C17B1E7C559F6E0A4B8F0E2D11"]
)
async def test_a_client_id_never_looks_like_a_users(
    make_client: MakeClient, client_id: str
) -> None:
    """CC-2: RFC 9700 §4.15."""
    with pytest.raises(ClientRefused, match="neither a UUID nor a secret"):
        await make_client(id=client_id)


@pytest.mark.parametrize("members", [{}, {"grant_types": ()}, {"type": "public"}])
async def test_the_password_grant_is_unknown_to_every_client(
    http: httpx.AsyncClient,
    app: App,
    make_client: MakeClient,
    monkeypatch: pytest.MonkeyPatch,
    members: dict[str, object],
) -> None:
    """ROPC-1: RFC 9700 §2.4; no statement is run, so no user is looked up."""
    client = await make_client(**members)
    named = {"client_id": client.id, "grant_type": "password"}
    form = {**named, "username": "ada", "password": "correct horse"}
    form |= {"client_secret": client.secret} if client.secret else {}
    assert_refused(await http.post("/token", data=form), "unsupported_grant_type")
    monkeypatch.setattr(app.services.database, "connection", None)
    assert_refused(await http.post("/token", data=form), "unsupported_grant_type")


async def test_the_password_grant_is_not_in_the_metadata(http: httpx.AsyncClient) -> None:
    """ROPC-1."""
    document = (await http.get("/.well-known/oauth-authorization-server")).json()
    assert "password" not in document["grant_types_supported"]


REFUSED_RESOURCES = {
    "unknown": "https://unknown.example",
    "not allowed, one slash more": f"{AUDIENCE}/",
    "not allowed, other case": AUDIENCE.upper(),
    "fragment": f"{AUDIENCE}#f",
    "empty fragment": f"{AUDIENCE}#",
    "relative": "/orders",
    "no scheme": "orders.example",
    "scheme alone": "https:",
    "space in it": f"{AUDIENCE} ",
    "not ASCII": "https://ördérs.example",
}


@pytest.mark.parametrize("resource", REFUSED_RESOURCES.values(), ids=REFUSED_RESOURCES)
async def test_another_resource_is_an_invalid_target(
    http: httpx.AsyncClient, make_client: MakeClient, resource: str
) -> None:
    """RES-1: RFC 8707 §2."""
    client = await make_client()
    assert_refused(await ask(http, client, resource=resource), "invalid_target")


async def test_two_resources_in_a_request_are_an_invalid_target(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """RES-1: one resource per access token, also where both are allowed or equal."""
    client = await make_client(audiences=(AUDIENCE, BILLING))
    for resources in ([AUDIENCE, BILLING], [AUDIENCE, AUDIENCE], [BILLING, "https://unknown"]):
        assert_refused(await ask(http, client, resource=resources), "invalid_target")
    assert (await ask(http, client, resource=[BILLING, ""])).status_code == 200
