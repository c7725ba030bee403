import secrets
from uuid import UUID
from service.flows.begin_session import begin_session
from service.flows.manage_users import create_user
from service.flows.origin import OPERATOR
from service.oauth.user import Profile, KnownUser
from service.sql.users import find_known_user
from tests.conftest import register
import pytest
pytestmark = pytest.mark.anyio

async def test_smoke(app, http, settings):
    s = app.services
    name = f"u{secrets.token_hex(5)}"
    await create_user(s.database, Profile(username=name, email=f"{name}@example.com"), "x", OPERATOR)
    async with s.database.connection() as c:
        known = await find_known_user(c, name.upper())
    client = await register(app, type="public", grant_types=("refresh_token",))
    found = await s.clients.find(client.id)
    tokens = await begin_session(s.database, s.session_issuer, known, found, OPERATOR, device=None)
    t = tokens.refresh_token
    a = await http.post("/token", data={"grant_type": "refresh_token", "refresh_token": t, "client_id": client.id})
    assert a.status_code == 200, a.text
    b = await http.post("/token", data={"grant_type": "refresh_token", "refresh_token": t, "client_id": client.id})
    assert b.json()["refresh_token"] == a.json()["refresh_token"]
    c = await http.post("/token", data={"grant_type": "refresh_token", "refresh_token": a.json()["refresh_token"], "client_id": client.id})
    assert c.status_code == 200, c.text
    conf = await register(app, serves=("https://orders.example",))
    i = await http.post("/introspect", data={"token": c.json()["access_token"]}, auth=conf.auth)
    assert i.json()["active"], i.text
    print(i.json())
    b = await http.post("/token", data={"grant_type": "refresh_token", "refresh_token": t, "client_id": client.id})
    assert b.json()["error"] == "invalid_grant", b.text
    i = await http.post("/introspect", data={"token": c.json()["access_token"]}, auth=conf.auth)
    assert i.json() == {"active": False}
    import asyncpg
