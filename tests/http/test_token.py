"""POST /token, the way it is meant."""

import httpx
import pytest

from tests.conftest import MakeClient

pytestmark = pytest.mark.anyio


async def test_a_client_gets_a_token_with_no_store(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    """TOK-8: RFC 6749 §5.1."""
    client = await make_client()
    answer = await http.post("/token", data={"grant_type": "client_credentials"}, auth=client.auth)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["pragma"] == "no-cache"
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 300)
    assert body["scope"] == "orders:read orders:write"
