"""How often the code flow may be begun: by an address, and by a user. RATE-1, RATE-3."""

from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from service.app import App
from service.gauges import excess_counter
from service.redis.rate_limits import RateLimit
from tests.http.at_pages import COUNT_REQUESTS, assert_page, changed, count, signed_on, visitor
from tests.http.browsing import Pkce, make_web_client, request_of, response_of

PKCE = Pkce()


@pytest.fixture
async def limit(app: App) -> AsyncIterator[RateLimit]:
    """Three in nine hours."""
    settings = app.services.settings
    limit = RateLimit(
        settings.redis_url.reveal(),
        f"t{uuid4().hex[:12]}",
        amount=3,
        window=timedelta(hours=9),
        on_excess=excess_counter(app.services.metrics),
    )
    yield limit
    await limit.close()


async def test_a_stranger_can_not_fill_the_table(app: App, limit: RateLimit) -> None:
    """RATE-3: by address; whoever need not be asked goes on, and no client is sent in circles."""
    client = await make_web_client(app)
    async with changed(app, authorization_limit=limit) as pod:
        browser, someone = visitor(pod), await signed_on(pod)
        for _ in range(3):
            answer = await browser.get("/authorize", **request_of(client, PKCE))
            assert answer.headers["location"].startswith("/login")
        for answer in (
            await browser.get("/authorize", **request_of(client, PKCE)),
            await browser.http.post("/authorize", data=request_of(client, PKCE)),
        ):
            assert_page(answer, 429)
            assert int(answer.headers["retry-after"]) > 0
        someone.browser.http.headers["x-forwarded-for"] = browser.http.headers["x-forwarded-for"]
        answer = await someone.ask(client, PKCE, prompt="none")
        assert response_of(answer)["error"] == "consent_required"
        answer = await visitor(pod).get("/authorize", **request_of(client, PKCE))
        assert answer.status_code == 303
    assert await count(app, COUNT_REQUESTS, client.id) == 4


async def test_a_user_can_not_begin_sessions_without_end(app: App, limit: RateLimit) -> None:
    """RATE-1, AUTHZ-8: nobody has to be asked for them, and each that is too many is a fact."""
    client = await make_web_client(app, consent="skip")
    async with changed(app, code_limit=limit) as pod:
        someone, other = await signed_on(pod), await signed_on(pod)
        for _ in range(3):
            assert "code" in response_of(await someone.ask(client, PKCE))
        answer = await someone.ask(client, PKCE)
        assert_page(answer, 429)
        assert int(answer.headers["retry-after"]) > 0
        assert "code" in response_of(await other.ask(client, PKCE))
