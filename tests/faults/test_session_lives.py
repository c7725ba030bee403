"""A new life of the database begins in the middle of a request: it is asked to come back."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from service.app import App
from service.flows import begin_session, introspect_refresh, refresh_token
from service.flows.origin import OPERATOR
from service.oauth.errors import TemporarilyUnavailable
from service.sql.connection import DatabaseUnavailable
from tests.sessions import begin, execute, know_client, present

_BEGIN = """
    INSERT INTO database_life (id, system_identifier, table_oid)
    SELECT gen_random_uuid(), system_identifier, 'database_life'::regclass::oid
    FROM pg_control_system()
"""


@asynccontextmanager
async def no_life(app: App) -> AsyncIterator[None]:
    """The database has no life, and the pod can't begin one."""
    async with app.services.database.transaction() as connection:
        await connection.execute("SELECT FROM feed FOR UPDATE")
        await execute(app, "DELETE FROM database_life")
        yield


def begin_after(app: App, patch: pytest.MonkeyPatch, owner: object, name: str) -> None:
    """Let a life begin right after that function has looked."""
    look = getattr(owner, name)

    async def look_first(*args: Any) -> Any:
        try:
            return await look(*args)
        finally:
            await execute(app, _BEGIN)

    patch.setattr(owner, name, look_first)


async def test_a_refresh_is_not_refused(
    app: App, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await begin(app)
    begin_after(app, monkeypatch, refresh_token, "find_stored")
    async with no_life(app):
        answer = await present(http, begun.client, begun.token)
    assert answer.status_code == 503, answer.text
    monkeypatch.undo()
    assert (await present(http, begun.client, begun.token)).status_code == 200


async def test_a_refresh_token_is_not_told_inactive(
    app: App, http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = await begin(app, type="confidential")
    begin_after(app, monkeypatch, introspect_refresh, "find_stored")
    async with no_life(app):
        answer = await http.post("/introspect", data={"token": begun.token}, auth=begun.client.auth)
    assert answer.status_code == 503, answer.text


async def test_a_login_is_not_refused(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, services = await begin(app), app.services
    client = await know_client(services.database, begun.client.id)
    begin_after(app, monkeypatch, begin_session, "insert_session")
    async with no_life(app):
        with pytest.raises((TemporarilyUnavailable, DatabaseUnavailable)):
            await begin_session.begin_session(
                services.database,
                services.session_issuer,
                begun.user,
                client,
                OPERATOR,
                device=None,
            )
