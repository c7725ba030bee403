"""What an API answers to a request, whatever framework it is made with: RFC 6750, RFC 9728."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from watchword_verifier import Verifier

from tests.conftest import AUDIENCE, RegisteredClient
from tests.verifier.conftest import LivePod, Options
from tests.verifier.serving import running
from tests.verifier.shops import SHOPS, MakeShop

METADATA = f"{AUDIENCE}/.well-known/oauth-protected-resource"
CHALLENGE = f'Bearer realm="api"{{}}, resource_metadata="{METADATA}"'


@pytest.fixture(params=SHOPS, scope="module")
def make_shop(request: pytest.FixtureRequest) -> MakeShop:
    return SHOPS[request.param]


@pytest.fixture(scope="module")
async def shop(make_shop: MakeShop, options: Options) -> AsyncIterator[httpx.AsyncClient]:
    """The API, which has started its verifier itself."""
    async with running(make_shop(Verifier(**options), lambda _: None)) as http:
        yield http


@pytest.fixture
def client(pod: LivePod) -> RegisteredClient:
    return pod.make_client()


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("scheme", ["Bearer ", "bearer ", "BEARER  "])
async def test_a_good_token_opens_and_its_claims_are_at_hand(
    shop: httpx.AsyncClient, pod: LivePod, client: RegisteredClient, scheme: str
) -> None:
    """RS-1: the scheme's case does not matter."""
    headers = {"Authorization": scheme + pod.token(client)}
    answer = await shop.get("/orders", headers=headers)
    assert (answer.status_code, answer.json()) == (200, {"subject": client.id})


async def test_what_is_public_asks_for_no_token(shop: httpx.AsyncClient) -> None:
    assert (await shop.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"headers": {"Authorization": "Basic b3JkZXJzOnNlY3JldA=="}},
        {"headers": {"Authorization": ""}},
        {"params": "token"},
        {"method": "POST", "data": "token"},
    ],
    ids=["nothing", "basic", "empty", "query", "form"],
)
async def test_without_credentials_the_challenge_has_no_error_code(
    shop: httpx.AsyncClient, pod: LivePod, request_: dict[str, Any]
) -> None:
    """RS-1, RFC 6750 §3.1: no error code; a token elsewhere than in the header is none."""
    sent: dict[str, Any] = {"method": "GET"}
    for name, value in request_.items():
        sent[name] = {"access_token": pod.token()} if value == "token" else value
    answer = await shop.request(url="/orders", **sent)
    assert answer.status_code == 401
    assert answer.headers.get_list("www-authenticate") == [CHALLENGE.format("")]
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.json() == {}


async def test_several_authorization_headers_are_a_bad_request(
    shop: httpx.AsyncClient, pod: LivePod
) -> None:
    """RS-1: two good ones as well."""
    header = ("Authorization", f"Bearer {pod.token()}")
    answer = await shop.get("/orders", headers=[header, header])
    assert answer.status_code == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]
    assert answer.json()["error"] == "invalid_request"


async def test_refused_tokens_read_alike_whatever_is_wrong_and_the_log_says_what(
    shop: httpx.AsyncClient, pod: LivePod, caplog: pytest.LogCaptureFixture
) -> None:
    """RS-2: the reason is not for the client."""
    caplog.set_level("INFO", "watchword_verifier")
    client, elsewhere = pod.make_client(), pod.make_client(audiences=("https://other.example",))
    revoked, good = pod.token(client), pod.token(client)
    pod.revoke(client, revoked)
    await becomes(shop, revoked, 401)
    caplog.clear()
    tokens = ["garbage", good[:-6] + "AAAAAA", pod.token(elsewhere), revoked]
    answers = [await shop.get("/orders", headers=bearing(token)) for token in tokens]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        CHALLENGE.format(
            ', error="invalid_token", '
            'error_description="the access token is invalid, expired or revoked"'
        )
    }
    assert len({answer.content for answer in answers}) == 1
    said = [record.getMessage() for record in caplog.records]
    for reason in ("Malformed", "BadSignature", "WrongAudience", "Revoked"):
        assert sum(f"refused: 401, {reason}:" in line for line in said) == 1, said
    assert not [line for line in said for token in tokens if token in line]


async def test_a_revoked_token_is_refused_within_a_second(
    shop: httpx.AsyncClient, pod: LivePod, client: RegisteredClient
) -> None:
    """DIST-1, DIST-8."""
    token, other = pod.token(client), pod.token(client)
    assert (await shop.get("/orders", headers=bearing(token))).status_code == 200
    pod.revoke(client, token)
    async with asyncio.timeout(1):
        await becomes(shop, token, 401)
    assert (await shop.get("/orders", headers=bearing(other))).status_code == 200


async def test_a_lacking_scope_is_named(shop: httpx.AsyncClient, pod: LivePod) -> None:
    """RS-2, RFC 6750 §3.1."""
    narrow = bearing(pod.token(scope="orders:read"))
    answer = await shop.post("/orders", headers=narrow)
    assert answer.status_code == 403
    assert answer.headers["www-authenticate"] == CHALLENGE.format(
        ', error="insufficient_scope", '
        'error_description="the access token lacks a scope that is needed here", '
        'scope="orders:write"'
    )
    assert answer.json()["error"] == "insufficient_scope"
    assert (await shop.get("/orders", headers=narrow)).status_code == 200
    assert (await shop.post("/orders", headers=bearing(pod.token()))).status_code == 200


async def test_a_lacking_role_is_no_challenge(shop: httpx.AsyncClient, pod: LivePod) -> None:
    """RS-2: another token would not help. RS-8: a client has no roles."""
    for token in (pod.token(), pod.begin().tokens.access_token):
        answer = await shop.get("/users", headers=bearing(token))
        assert answer.status_code == 403
        assert "www-authenticate" not in answer.headers
        assert answer.json()["error"] == "access_denied"
    clerk = pod.begin(roles=("clerk",))
    answer = await shop.get("/users", headers=bearing(clerk.tokens.access_token))
    assert (answer.status_code, answer.json()) == (200, {"subject": str(clerk.user.id)})


async def test_a_token_that_cannot_be_judged_is_answered_503(
    make_shop: MakeShop, pod: LivePod
) -> None:
    """RS-5: it may be good."""
    away = Verifier(
        issuer="http://127.0.0.1:1", audience=AUDIENCE, start_timeout=timedelta(seconds=0.1)
    )
    async with running(make_shop(away, lambda _: None)) as shop:
        answer = await shop.get("/orders", headers=bearing(pod.token()))
        assert answer.status_code == 503
        assert answer.headers.get_list("retry-after") == ["1"]
        assert "www-authenticate" not in answer.headers
        assert answer.json()["error"] == "temporarily_unavailable"
        assert (await shop.get("/orders")).status_code == 401


async def test_the_metadata_stands_where_challenges_say(
    shop: httpx.AsyncClient, pod: LivePod
) -> None:
    """PRM-1, RFC 9728 §2, §3, §5.1."""
    answer = await shop.get(METADATA.removeprefix(AUDIENCE))
    assert answer.status_code == 200
    assert answer.headers.get_list("content-type") == ["application/json"]
    assert answer.json() == {
        "resource": AUDIENCE,
        "authorization_servers": [pod.url],
        "bearer_methods_supported": ["header"],
        "scopes_supported": ["orders:read", "orders:write"],
    }


async def test_the_verifier_lives_around_the_application(
    make_shop: MakeShop, options: Options
) -> None:
    """It is ready before the first request, and closed when the server hears of the end."""
    verifier, seen = Verifier(**options), list[tuple[str, bool]]()
    async with running(make_shop(verifier, lambda what: seen.append((what, verifier.ready)))):
        assert verifier.ready
    assert seen == [("started", True), ("stopped", True)]


async def test_an_application_that_was_stopped_may_be_started_again(
    make_shop: MakeShop, options: Options, pod: LivePod
) -> None:
    """As test clients do."""
    app = make_shop(Verifier(**options), lambda _: None)
    client = pod.make_client()
    revoked, good = pod.token(client), pod.token(client)
    async with running(app) as shop:
        assert (await shop.get("/orders", headers=bearing(revoked))).status_code == 200
    pod.revoke(client, revoked)
    async with running(app) as shop:
        await becomes(shop, revoked, 401)
        assert (await shop.get("/orders", headers=bearing(good))).status_code == 200


async def becomes(shop: httpx.AsyncClient, token: str, status: int) -> None:
    """Ask until the answer has that status."""
    async with asyncio.timeout(5):
        while (await shop.get("/orders", headers=bearing(token))).status_code != status:  # noqa: ASYNC110 (no event)
            await asyncio.sleep(0.001)
