"""A refresh while the hardware that signs is away: nothing is spent, however long that lasts."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from service.app import App
from service.keys.signer import PrivateKey, Signer, SignerUnavailable
from tests.http.refusals import assert_refused
from tests.sessions import age, begin, fetch_session, list_events, present


def fail(signer: Signer, typ: str, claims: dict[str, Any]) -> str:
    raise SignerUnavailable("the token is away")


@pytest.mark.parametrize("grace", [0, 30])
async def test_nothing_is_spent_where_nothing_can_be_signed(
    app: App, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, grace: int
) -> None:
    """RT-8: who retries after the grace window, or has none, keeps the session."""
    begun = await begin(app, grace=timedelta(seconds=grace))
    monkeypatch.setattr(PrivateKey, "in_memory", False)
    with monkeypatch.context() as away:
        away.setattr("service.flows.session_tokens.sign", fail)
        for _ in range(2):
            answer = await present(http, begun.client, begun.token)
            assert_refused(answer, "temporarily_unavailable", 503)
            await age(app, begun.id, 3600)
    assert (await fetch_session(app, begun.id))["generation"] == 0
    answer = await present(http, begun.client, begun.token)
    assert answer.status_code == 200
    row = await fetch_session(app, begun.id)
    assert (row["generation"], row["revoked_at"]) == (1, None)
    assert await list_events(app, begun.id) == [("session_begun", None)]
