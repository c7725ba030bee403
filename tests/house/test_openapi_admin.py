"""docs/reference/openapi.yaml, /admin: what is served there keeps to it."""

from typing import Any
from uuid import uuid4

import httpx
import pytest

from service.app import App
from tests.conftest import register
from tests.house.test_openapi import SPEC, check
from tests.http.administrators import UNKNOWN_ID, Administrator, make_administrator
from tests.sessions import begin, make_public

PASSWORD = "a lantern under the old bridge"
EACH = [
    (path, method)
    for path, item in SPEC["paths"].items()
    if path.startswith("/admin/")
    for method in item.keys() - {"parameters"}
]


@pytest.fixture(scope="module")
async def administrator(app: App, http: httpx.AsyncClient) -> Administrator:
    return await make_administrator(app, http)


async def ask(
    administrator: Administrator,
    status: int,
    method: str,
    path: str,
    members: object = None,
    **ids: str,
) -> dict[str, Any]:
    """What is answered, which has to be as it is described; `id` stands in the path's place."""
    asked = path.replace("{id}", ids.get("id", "")).removeprefix("/admin/")
    answer = await administrator.ask(method, asked, members)
    assert answer.status_code == status, answer.text
    check(path, method.lower(), answer)
    return answer.json() if answer.content else {}


@pytest.mark.parametrize(("path", "method"), EACH)
async def test_refusals_are_as_described(
    administrator: Administrator, path: str, method: str
) -> None:
    """The token's, the method's, the query's and the body's."""
    item, method = SPEC["paths"][path], method.upper()
    asked = path.removeprefix("/admin/").replace("{id}", UNKNOWN_ID)
    answers = [
        await administrator.ask(method, asked, authorization=None),
        await administrator.ask(method, asked, params={"unknown": "x"}),
        await administrator.ask(method, asked, content=b"[]", content_type="text/plain"),
        await administrator.ask(method, asked, content=b" " * 70_000),
    ]
    statuses = [401, 400, 415, 413]
    if method == "GET":
        statuses, answers = statuses[:2], answers[:2]
    assert [answer.status_code for answer in answers] == statuses
    for answer in answers:
        check(path, method.lower(), answer)
    other = next(it for it in ("put", "patch", "delete") if it not in item)
    answer = await administrator.ask(other.upper(), asked)
    assert answer.status_code == 405
    check(path, method.lower(), answer)
    if "{id}" in path:
        assert "404" in item[method.lower()]["responses"]


async def test_a_token_of_nobody_who_administers_is_refused_as_described(
    app: App, http: httpx.AsyncClient
) -> None:
    other = await make_administrator(app, http)
    other_id = f"clients/{other.client.id}"
    await other.ask("PATCH", other_id, {"administrator": False, "audiences": ["x"]})
    check("/admin/clients", "get", await other.get("clients"))
    assert (await other.get("clients")).status_code == 403


async def test_clients_are_as_described(administrator: Administrator) -> None:
    client_id, many, one = f"made-{uuid4().hex[:12]}", "/admin/clients", "/admin/clients/{id}"
    new = {"id": client_id, "audiences": ["https://x.example"], "scopes": ["x"]}
    await ask(administrator, 201, "POST", many, new)
    await ask(administrator, 409, "POST", many, new)
    await ask(administrator, 200, "GET", many)
    await ask(administrator, 200, "GET", one, id=client_id)
    await ask(administrator, 404, "GET", one, id="unknown-client")
    await ask(administrator, 200, "PATCH", one, {"name": "X"}, id=client_id)
    await ask(administrator, 400, "PATCH", one, {"name": ""}, id=client_id)
    await ask(administrator, 201, "POST", f"{one}/secret", id=client_id)
    await ask(administrator, 200, "POST", f"{one}/shadow", {"on": True}, id=client_id)
    for verb in ("disable", "enable", "revoke"):
        await ask(administrator, 200, "POST", f"{one}/{verb}", id=client_id)


async def test_users_are_as_described(administrator: Administrator) -> None:
    name, many, one = f"u-{uuid4().hex[:12]}", "/admin/users", "/admin/users/{id}"
    new = {"username": name, "email": f"{name}@example.com", "full_name": "G", "password": PASSWORD}
    user_id = (await ask(administrator, 201, "POST", many, new))["id"]
    await ask(administrator, 409, "POST", many, new)
    await ask(administrator, 200, "GET", many)
    await ask(administrator, 200, "GET", one, id=user_id)
    await ask(administrator, 200, "PATCH", one, {"roles": ["x"]}, id=user_id)
    other = {"password": f"{PASSWORD} too"}
    await ask(administrator, 200, "PUT", f"{one}/password", other, id=user_id)
    for verb in ("disable", "enable", "revoke"):
        await ask(administrator, 200, "POST", f"{one}/{verb}", id=user_id)
    await ask(administrator, 204, "DELETE", one, id=user_id)
    await ask(administrator, 404, "DELETE", one, id=user_id)


async def test_sessions_and_histories_are_as_described(administrator: Administrator) -> None:
    app = administrator.app
    session_id = str((await begin(app, await make_public(app))).id)
    await ask(administrator, 200, "GET", "/admin/sessions")
    await ask(administrator, 200, "GET", "/admin/sessions/{id}", id=session_id)
    await ask(administrator, 204, "DELETE", "/admin/sessions/{id}", id=session_id)
    await ask(administrator, 200, "GET", "/admin/sessions/{id}", id=session_id)
    client = await register(app)
    form = {"grant_type": "client_credentials"}
    issued = await administrator.http.post("/token", data=form, auth=client.auth)
    token = {"token": issued.json()["access_token"]}
    await ask(administrator, 200, "POST", "/admin/revocations", token)
    await ask(administrator, 200, "GET", "/admin/revocations")
    await ask(administrator, 200, "GET", "/admin/audit")


async def test_keys_are_as_described(administrator: Administrator) -> None:
    """But for what would leave the shared pod with other keys: test_admin_keys does that."""
    keys = (await ask(administrator, 200, "GET", "/admin/keys"))["keys"]
    await ask(administrator, 200, "GET", "/admin/keys/{id}", id=keys[0]["kid"])
    await ask(administrator, 404, "POST", "/admin/keys/{id}/kill", id="unknown")
