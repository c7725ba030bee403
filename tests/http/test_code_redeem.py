"""POST /token with authorization_code: what a code is worth, and to whom. RFC 6749 §4.1.3."""

from datetime import timedelta
from typing import Any

import pytest

from service.app import App
from service.keys.sign import sign
from service.keys.signer import Signer, SignerUnavailable
from tests.conftest import AUDIENCE, RegisteredClient, http_to
from tests.http.at_pages import Visitor, signed_on, tokens_of
from tests.http.browsing import CALLBACK, Pkce, make_web_client, obtain_code, redeem
from tests.http.refusals import assert_refused
from tests.sessions import execute, fetch, present

PKCE = Pkce("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk")
OTHER = "https://invoices.example"


@pytest.fixture(scope="module")
async def client(app: App) -> RegisteredClient:
    return await make_web_client(app, audiences=(AUDIENCE, OTHER))


@pytest.fixture(scope="module")
async def someone(app: App) -> Visitor:
    return await signed_on(app)


@pytest.fixture
async def code(someone: Visitor, client: RegisteredClient) -> str:
    return await obtain_code(someone.browser, client, PKCE)


async def age(app: App, client: RegisteredClient, seconds: float) -> None:
    """Let the client's codes be so much older."""
    query = (
        "UPDATE authorization_codes SET expires_at = expires_at - $2::interval WHERE client_id = $1"
    )
    await execute(app, query, client.id, timedelta(seconds=seconds))


async def test_the_vector_of_the_standard(app: App, client: RegisteredClient, code: str) -> None:
    """AC-3: RFC 7636 Appendix B."""
    assert PKCE.challenge == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    assert len(code) == len("wwc_") + 43
    assert await tokens_of(app, client, code, PKCE)


@pytest.mark.parametrize(
    "verifier",
    [
        None,
        PKCE.challenge,
        PKCE.verifier[:-1],
        PKCE.verifier + "A",
        PKCE.verifier.swapcase(),
        "é" * 43,
        "a" * 129,
        PKCE.verifier + "\n",
    ],
)
async def test_the_verifier_has_to_fit(
    app: App, client: RegisteredClient, code: str, verifier: str | None
) -> None:
    """AC-3, AC-8, ATK-45, ATK-46: else invalid_grant, and the code is as good as before."""
    changes = {} if verifier is None else {"code_verifier": verifier}
    assert_refused(await redeem(app, client, code, None, **changes), "invalid_grant")
    assert await tokens_of(app, client, code, PKCE)


async def test_a_stolen_code_is_of_no_use_in_the_thiefs_own_flow(
    app: App, client: RegisteredClient, code: str
) -> None:
    """ATK-46: injected behind the thief's request, it meets the thief's verifier."""
    assert_refused(await redeem(app, client, code, Pkce()), "invalid_grant")


@pytest.fixture(scope="module")
async def waived(app: App) -> RegisteredClient:
    return await make_web_client(app, require_pkce=False)


async def test_without_a_challenge_no_verifier_is_taken(
    app: App, someone: Visitor, waived: RegisteredClient
) -> None:
    """AC-4, ATK-45, CONF-3: who strips the challenge from a request is found out."""
    bare: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
    code = await obtain_code(someone.browser, waived, PKCE, **bare)
    assert_refused(await redeem(app, waived, code, PKCE), "invalid_request")
    assert await tokens_of(app, waived, code, None)


async def test_who_may_go_without_pkce_and_does_not_has_to_prove_it(
    app: App, someone: Visitor, waived: RegisteredClient
) -> None:
    """AC-3, ATK-45."""
    code = await obtain_code(someone.browser, waived, PKCE)
    assert_refused(await redeem(app, waived, code, None), "invalid_grant")
    assert await tokens_of(app, waived, code, PKCE)


async def test_without_pkce_the_redirect_uri_is_needed(
    app: App, someone: Visitor, waived: RegisteredClient
) -> None:
    """AC-9: RFC 6749 §4.1.3."""
    bare: dict[str, Any] = {"code_challenge": None, "code_challenge_method": None}
    code = await obtain_code(someone.browser, waived, PKCE, **bare)
    answer = await redeem(app, waived, code, None, redirect_uri="")
    assert_refused(answer, "invalid_request")
    assert await tokens_of(app, waived, code, None)


@pytest.mark.parametrize(
    "uri", [f"{CALLBACK}/", f"{CALLBACK}?", CALLBACK.upper(), "https://evil.example/"]
)
async def test_a_redirect_uri_that_is_sent_is_the_same(
    app: App, client: RegisteredClient, code: str, uri: str
) -> None:
    """AC-9, AC-6: byte for byte."""
    assert_refused(await redeem(app, client, code, PKCE, redirect_uri=uri), "invalid_grant")
    assert await tokens_of(app, client, code, PKCE)


async def test_with_pkce_the_redirect_uri_need_not_be_sent(
    app: App, client: RegisteredClient, code: str
) -> None:
    """AC-9: OAuth 2.1 §10.2."""
    assert await tokens_of(app, client, code, PKCE, redirect_uri="")


async def test_a_code_lives_for_a_minute(app: App, client: RegisteredClient, code: str) -> None:
    """AC-5."""
    query = "SELECT expires_at - created_at FROM authorization_codes WHERE client_id = $1 LIMIT 1"
    assert abs((await fetch(app, query, client.id)).total_seconds() - 60) < 0.5
    await age(app, client, 61)
    assert_refused(await redeem(app, client, code, PKCE), "invalid_grant")


async def test_a_code_is_its_clients(app: App, client: RegisteredClient, code: str) -> None:
    """AC-6, ATK-48: another's attempts, however many, do no harm; they are written down."""
    other = await make_web_client(app)
    for _ in range(6):
        assert_refused(await redeem(app, other, code, PKCE), "invalid_grant")
    assert await tokens_of(app, client, code, PKCE)
    query = """SELECT detail ->> 'owner' FROM audit_events
               WHERE event = 'code_of_another_client' AND client_id = $1 LIMIT 1"""
    assert await fetch(app, query, other.id) == client.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "A" * 43},
        {"redirect_uri": "https://evil.example/"},
        {"resource": "https://other.example"},
    ],
)
async def test_five_failures_burn_a_code(
    app: App, client: RegisteredClient, code: str, wrong: dict[str, str]
) -> None:
    """AC-8: four do not."""
    for times, works in ((4, True), (5, False)):
        changes = {"code_verifier": PKCE.verifier, **wrong}
        for _ in range(times):
            answer = await redeem(app, client, code, None, **changes)
            assert answer.status_code == 400
        answer = await redeem(app, client, code, PKCE)
        assert (answer.status_code == 200) is works
        if works:
            browser = (await signed_on(app)).browser
            code = await obtain_code(browser, client, PKCE)


@pytest.mark.parametrize("code", ["", "x", "wwc_", "wwc_" + "A" * 43, "é", "wwc_" + "a" * 5000])
async def test_what_is_no_code(app: App, client: RegisteredClient, code: str) -> None:
    """AC-6: one refusal for all of it; without any the request is at fault."""
    answer = await redeem(app, client, code, PKCE)
    assert_refused(answer, "invalid_grant" if code else "invalid_request")


async def test_a_code_comes_in_the_body_and_once(
    app: App, client: RegisteredClient, code: str
) -> None:
    """AC-11, TOK-5: neither in the query nor twice."""
    form = {"grant_type": "authorization_code", "code_verifier": PKCE.verifier}
    async with http_to(app) as http:
        answer = await http.post(f"/token?code={code}", data=form, auth=client.auth)
        assert_refused(answer, "invalid_request")
        twice = {**form, "code": [code, code]}
        assert_refused(await http.post("/token", data=twice, auth=client.auth), "invalid_request")
    assert await tokens_of(app, client, code, PKCE)


async def test_a_public_client_proves_itself_by_the_verifier_alone(
    app: App, someone: Visitor
) -> None:
    """AC-3, AC-6."""
    native = await make_web_client(app, type="public")
    code = await obtain_code(someone.browser, native, PKCE)
    form = {"grant_type": "authorization_code", "code": code, "client_id": native.id}
    async with http_to(app) as http:
        assert_refused(await http.post("/token", data=form), "invalid_grant")
        answer = await http.post("/token", data={**form, "code_verifier": PKCE.verifier})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("good", [0, 1], ids=["access token", "ID Token"])
async def test_a_key_that_does_not_answer_spends_no_code(
    app: App, code: str, client: RegisteredClient, monkeypatch: pytest.MonkeyPatch, good: int
) -> None:
    """AC-8: the answer says that it can be sent again. So it can, and no session has begun."""
    signed: list[str] = []

    def sign_some(signer: Signer, typ: str, claims: dict[str, Any]) -> str:
        if len(signed) == good:
            raise SignerUnavailable("the token is away")
        signed.append(sign(signer, typ, claims))
        return signed[-1]

    sessions = "SELECT count(*) FROM sessions WHERE client_id = $1"
    before = await fetch(app, sessions, client.id)
    with monkeypatch.context() as patch:
        patch.setattr("service.flows.session_tokens.sign", sign_some)
        answer = await redeem(app, client, code, PKCE)
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert await fetch(app, sessions, client.id) == before
    tokens = await tokens_of(app, client, code, PKCE)
    async with http_to(app) as http:
        assert (await present(http, client, tokens["refresh_token"])).status_code == 200
