"""Who asks: RFC 6749 §2.3 over HTTP. The failure limit (TOK-17) is in test_failure_limit.py."""

from base64 import b64encode
from datetime import timedelta
from hashlib import sha256
from urllib.parse import quote_plus

import httpx
import pytest

from service.app import App
from service.flows import authenticate_client
from service.flows.manage_clients import ClientRefused, revoke_client, rotate_secret
from service.oauth import client as client_module
from tests.conftest import MakeClient, RegisteredClient
from tests.http.refusals import GRANT, assert_refused

ASSERTION = {
    "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    "client_assertion": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.AAAA",
}


def basic(client_id: str, secret: str) -> str:
    return "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode()


async def ask(http: httpx.AsyncClient, *authorization: str, **form: str) -> httpx.Response:
    headers = [("authorization", value) for value in authorization]
    return await http.post("/token", data={**GRANT, **form}, headers=headers)


def in_body(client: RegisteredClient) -> dict[str, str]:
    return {"client_id": client.id, "client_secret": client.secret}


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
async def test_a_secret_may_come_by_header_or_body(
    http: httpx.AsyncClient, make_client: MakeClient, method: str
) -> None:
    """TOK-15: every client with a secret may post it; RFC 6749 §2.3.1."""
    client = await make_client(token_endpoint_auth_method=method)
    assert (await ask(http, **in_body(client))).status_code == 200
    assert (await ask(http, basic(client.id, client.secret))).status_code == 200


async def test_the_scheme_is_read_in_any_case(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-30: RFC 9110 §11.1."""
    client = await make_client()
    header = basic(client.id, client.secret)
    for scheme in ("basic", "BASIC", "bAsIc"):
        assert (await ask(http, header.replace("Basic", scheme))).status_code == 200


async def failures(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> dict[str, tuple[str, str]]:
    """Id and secret for each cause of a failure that must not be told from the others."""
    wrong, disabled, public = (
        await make_client(),
        await make_client(),
        await make_client(type="public"),
    )
    assert (await ask(http, **in_body(disabled))).status_code == 200
    await revoke_client(app.services.database, disabled.id, enabled=False)
    app.services.clients.drop(disabled.id)
    return {
        "unknown client": ("nobody-here", wrong.secret),
        "no client id at all": ("?", wrong.secret),
        "wrong secret": (wrong.id, disabled.secret),
        "secret cut by one": (wrong.id, wrong.secret[:-1]),
        "secret in other case": (wrong.id, wrong.secret.swapcase()),
        "secret and a space": (wrong.id, wrong.secret + " "),
        "disabled client": (disabled.id, disabled.secret),
        "disabled client, wrong secret": (disabled.id, wrong.secret),
        "public client with a secret": (public.id, wrong.secret),
    }


async def test_all_failures_look_the_same(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """TOK-10, TOK-12: 401 with a challenge where the header was used, else 400 without one."""
    bodies = set()
    for client_id, secret in (await failures(http, app, make_client)).values():
        answer = await ask(http, basic(quote_plus(client_id), quote_plus(secret)))
        assert_refused(answer, "invalid_client", 401)
        posted = await ask(http, client_id=client_id, client_secret=secret)
        assert_refused(posted, "invalid_client")
        bodies |= {answer.content, posted.content}
    assert len(bodies) == 1


async def test_no_credentials_are_refused_without_a_challenge(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-10, TOK-12: so is a confidential client that only names itself."""
    client = await make_client()
    assert_refused(await ask(http), "invalid_client")
    assert_refused(await ask(http, client_id=client.id), "invalid_client")
    assert_refused(await ask(http, client_id=client.id, client_secret=""), "invalid_client")
    assert_refused(await ask(http, client_secret=client.secret), "invalid_client")


async def test_introspection_always_challenges(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-10, INT-1: RFC 7662 §2.3; a public client has no credentials to show."""
    client, public = await make_client(), await make_client(type="public")
    for form in (
        {},
        {"client_id": client.id},
        {"client_id": public.id},
        {"client_id": client.id, "client_secret": "wrong"},
    ):
        answer = await http.post("/introspect", data={"token": "a", **form})
        assert_refused(answer, "invalid_client", 401)


async def test_a_public_client_names_itself_and_nothing_more(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-12: it is let in by its id (and then has no such grant), and not with any secret."""
    client = await make_client(type="public")
    assert_refused(await ask(http, client_id=client.id), "unauthorized_client")
    assert_refused(await ask(http, client_id=client.id, client_secret="a"), "invalid_client")
    assert_refused(await ask(http, basic(client.id, "a")), "invalid_client", 401)
    assert_refused(await ask(http, basic(client.id, "")), "invalid_client", 401)


async def test_one_method_of_authentication_a_request(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-11, ATK-32: RFC 6749 §2.3; also where each alone would do."""
    client, other = await make_client(), await make_client()
    header = basic(client.id, client.secret)
    for headers, form in (
        ([header], in_body(client)),
        ([header], {"client_secret": client.secret}),
        ([header], in_body(other)),
        ([header], ASSERTION),
        ([header], {"client_assertion": "a"}),
        ([], {**in_body(client), **ASSERTION}),
        ([header, header], {}),
        ([header, basic(other.id, other.secret)], {}),
        ([header, "Bearer abc"], {}),
        ([header], {"client_id": other.id}),
        ([header], {"client_id": client.id.upper()}),
    ):
        assert_refused(await ask(http, *headers, **form), "invalid_request")
    assert (await ask(http, header, client_id=client.id)).status_code == 200


async def test_an_assertion_is_refused(http: httpx.AsyncClient, make_client: MakeClient) -> None:
    """TOK-15: HS256 and every other, as long as there is no private_key_jwt."""
    client = await make_client()
    assert_refused(await ask(http, **ASSERTION), "invalid_client")
    assert_refused(await ask(http, client_id=client.id, **ASSERTION), "invalid_client")


OTHER_IDS = {
    "NUL": ("{}%00", "invalid_request"),
    "space": ("{}+", "invalid_client"),
    "newline": ("{}%0A", "invalid_client"),
    "wildcard": ("test-%25", "invalid_client"),
    "wildcards": ("%25", "invalid_client"),
    "look-alike": ("t%D0%B5st{}", "invalid_client"),
    "quote": ("{}'+OR+'1'='1", "invalid_client"),
    "comment": ("{};--", "invalid_client"),
    "braces": ("%7B{}%7D*", "invalid_client"),
    "backslash": ("{}%5C", "invalid_client"),
    "too long": ("{}" + "a" * 60, "invalid_client"),
}


@pytest.mark.parametrize(("form", "error"), OTHER_IDS.values(), ids=OTHER_IDS)
async def test_the_client_id_matches_exactly(
    http: httpx.AsyncClient, make_client: MakeClient, form: str, error: str
) -> None:
    """ATK-33, ATK-97."""
    client = await make_client()
    body = f"grant_type=client_credentials&client_id={form.format(client.id)}"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    sent = f"{body}&client_secret={client.secret}"
    assert_refused(await http.post("/token", content=sent, headers=headers), error)


async def test_the_client_id_is_neither_an_array_nor_in_other_case(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """ATK-33."""
    client = await make_client()
    form = {"client_secret": client.secret}
    for name, client_id in (
        ("client_id[]", client.id),
        ("client_id", client.id.upper()),
        ("CLIENT_ID", client.id),
    ):
        answer = await http.post("/token", data={**GRANT, **form, name: client_id})
        assert_refused(answer, "invalid_client")


async def test_two_secrets_live_side_by_side(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """TOK-16: a rotation without downtime; what is older than the two has ended."""
    client, database = await make_client(), app.services.database
    second = await rotate_secret(database, client.id, timedelta(hours=1))
    for secret in (client.secret, second):
        assert (await ask(http, basic(client.id, secret))).status_code == 200
    third = await rotate_secret(database, client.id, timedelta(hours=1))
    app.services.clients.drop(client.id)
    assert_refused(await ask(http, basic(client.id, client.secret)), "invalid_client", 401)
    for secret in (second, third):
        assert (await ask(http, basic(client.id, secret))).status_code == 200


async def test_the_old_secret_ends_with_its_overlap(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    """TOK-16."""
    client = await make_client()
    newest = await rotate_secret(app.services.database, client.id, timedelta(0))
    assert_refused(await ask(http, basic(client.id, client.secret)), "invalid_client", 401)
    assert (await ask(http, basic(client.id, newest))).status_code == 200


async def test_a_public_client_has_no_secret_to_rotate(app: App, make_client: MakeClient) -> None:
    """TOK-12, TOK-16."""
    client = await make_client(type="public")
    with pytest.raises(ClientRefused, match="a public client: it has no secret"):
        await rotate_secret(app.services.database, client.id, timedelta(0))


async def test_secrets_are_stored_as_their_digest(app: App, make_client: MakeClient) -> None:
    """TOK-16."""
    client = await make_client()
    async with app.services.database.connection() as connection:
        stored = await connection.fetch(
            "SELECT digest FROM client_secrets WHERE client_id = $1", client.id
        )
    assert [row["digest"] for row in stored] == [sha256(client.secret.encode()).digest()]


async def test_time_tells_nothing_of_a_secret(
    http: httpx.AsyncClient, app: App, make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ATK-40 by its cause: the same work for a secret that is right, wrong, first or second."""
    client, public = await make_client(), await make_client(type="public")
    second = await rotate_secret(app.services.database, client.id, timedelta(hours=1))
    compared, digested = [], []
    compare, digest = client_module.compare_digest, client_module.digest_secret

    def counting_digest(secret: str) -> bytes:
        digested.append(secret)
        return digest(secret)

    def counting_compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one))
        return compare(one, other)

    monkeypatch.setattr(client_module, "compare_digest", counting_compare)
    monkeypatch.setattr(client_module, "digest_secret", counting_digest)
    monkeypatch.setattr(authenticate_client, "digest_secret", counting_digest)
    for secret in (client.secret, second, "wrong", client.secret[:-1]):
        await ask(http, basic(client.id, secret))
    assert (compared, len(digested)) == ([32] * 8, 4)
    for client_id in ("unknown", "?", public.id):
        await ask(http, basic(client_id, "wrong"))
    assert (compared, len(digested)) == ([32] * 8, 7)
