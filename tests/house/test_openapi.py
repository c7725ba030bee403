"""docs/reference/openapi.yaml is valid, names what is served, and what is served keeps to it."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.app import App
from service.http.edge import ENDPOINTS
from tests.conftest import MakeClient
from tests.http.follower import publish

SPEC: dict[str, Any] = yaml.safe_load(
    Path(__file__).parents[2].joinpath("docs/reference/openapi.yaml").read_text()
)
ONE_SESSION = "/api/sessions/{id}"
PAGE = "https://app.example"
FOR_PEOPLE = {
    *("/authorize/continue", "/login", "/register", "/consent", "/assets"),
    *("/account", "/account/profile", "/account/names", "/account/password"),
    *("/account/sessions", "/account/consents"),
}
PASSWORD = "a lantern under the old bridge"


def is_document(item: dict[str, Any]) -> bool:
    """Whether anybody may get what is at the path."""
    return item.get("get", {}).get("security") == []


def test_the_document_is_valid_openapi() -> None:
    validate(SPEC)


def test_it_names_exactly_the_paths_that_are_served() -> None:
    """But for pages: no program asks for those, and what they say may change at any time."""
    assert ENDPOINTS >= FOR_PEOPLE
    assert set(SPEC["paths"]) == ENDPOINTS - FOR_PEOPLE


@pytest.mark.parametrize("path", [p for p, item in SPEC["paths"].items() if is_document(item)])
async def test_each_document_is_as_described(http: httpx.AsyncClient, path: str) -> None:
    check(path, "get", await http.get(path))


async def test_token_introspection_and_revocation_are_as_described(
    http: httpx.AsyncClient, make_client: MakeClient
) -> None:
    client = await make_client()
    issued = await http.post("/token", data={"grant_type": "client_credentials"}, auth=client.auth)
    check("/token", "post", issued)
    form = {"token": issued.json()["access_token"]}
    for path in ("/introspect", "/revoke", "/introspect"):
        check(path, "post", await http.post(path, data=form, auth=client.auth))


@pytest.mark.parametrize("path", ["/token", "/revoke", "/introspect"])
async def test_refusals_are_as_described(
    http: httpx.AsyncClient, make_client: MakeClient, path: str
) -> None:
    client = await make_client()
    check(path, "post", await http.post(path, data={}, auth=client.auth))
    check(path, "post", await http.post(path, data={}, auth=(client.id, "wrong")))
    check(path, "post", await http.post(path, data={"x": "y" * 70_000}, auth=client.auth))


async def test_the_feed_over_http_is_as_described(http: httpx.AsyncClient, app: App) -> None:
    await publish(app)
    for query in ({"wait": 0}, {"wait": 11}):
        check("/revocations", "get", await http.get("/revocations", params=query))
    check("/revocations", "get", await http.post("/revocations"))


async def test_receipts_are_as_described(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    await publish(app)
    client, head = await make_client(), app.services.keeper.newest()
    assert head is not None
    path = "/revocations/receipts"
    for form in (
        {"name": "a", "epoch": head.epoch, "number": str(head.number), "kids": "k"},
        {"name": "a"},
    ):
        check(path, "post", await http.post(path, data=form, auth=client.auth))
    form = {"token": "unknown", "wait": "0"}
    check("/revoke", "post", await http.post("/revoke", data=form, auth=client.auth))
    gone = {"name": "a", "gone": "true"}
    check(path, "post", await http.post(path, data=gone, auth=client.auth))


@pytest.mark.parametrize("delivery", ["body", "cookie"])
async def test_an_account_and_its_sessions_are_as_described(
    http: httpx.AsyncClient, make_client: MakeClient, delivery: str
) -> None:
    client = await make_client(
        type="public", first_party=True, refresh_delivery=delivery, allowed_origins=(PAGE,)
    )
    page = {"Origin": PAGE} if delivery == "cookie" else {}
    name = {"username": f"user-{uuid4().hex[:12]}"}
    person = {**name, "email": f"{uuid4().hex}@example.com", "full_name": "Anna Example"}

    async def ask(
        method: str, path: str, *, token: str = "", cookie: str = "", **members: str
    ) -> httpx.Response:
        sent = {
            **page,
            "Content-Type": "application/json",
            "X-Requested-With": "fetch",
            **({"Authorization": f"Bearer {token}"} if token else {}),
            **({"Cookie": cookie} if cookie else {}),
        }
        answer = await http.request(
            method, path, headers=sent, content=json.dumps(members) if members else b""
        )
        http.cookies.clear()
        check(path if path in SPEC["paths"] else ONE_SESSION, method.lower(), answer)
        return answer

    of = {"client_id": client.id}
    assert (await ask("POST", "/api/register", **of, **name)).json()["fields"]
    made = await ask("POST", "/api/register", **of, **person, password=PASSWORD)
    assert made.status_code == 201
    again = await ask("POST", "/api/register", **of, **person, password=PASSWORD)
    assert again.status_code == 409
    assert (await ask("POST", "/api/login", **of, **name, password="wrong")).status_code == 401
    begun = await ask("POST", "/api/login", **of, **name, password=PASSWORD)
    assert begun.status_code == 200

    presented = (
        {"cookie": begun.headers["set-cookie"].partition(";")[0]}
        if delivery == "cookie"
        else {"refresh_token": begun.json()["refresh_token"]}
    )
    refreshed = await ask("POST", "/api/refresh", **of, **presented)
    assert refreshed.status_code == 200
    token = refreshed.json()["access_token"]
    assert (await ask("GET", "/api/me")).status_code == 401
    assert (await ask("GET", "/api/me", token=token)).status_code == 200
    for members in ({"full_name": "Anna E."}, {"email": "a@b.example"}, {"roles": "admin"}):
        await ask("PATCH", "/api/me", token=token, **members)
    wrong = {"current_password": "wrong", "new_password": PASSWORD}
    assert (await ask("POST", "/api/password", token=token, **wrong)).status_code == 401
    right = {"current_password": PASSWORD, "new_password": f"{PASSWORD} too"}
    assert (await ask("POST", "/api/password", token=token, **right)).status_code == 204
    await ask("POST", "/api/login", **of, **name, password=f"{PASSWORD} too")
    listed = await ask("GET", "/api/sessions", token=token)
    (other,) = [each["id"] for each in listed.json()["sessions"] if not each["current"]]
    one = ONE_SESSION.replace("{id}", other)
    assert (await ask("DELETE", one, token=token)).status_code == 204
    assert (await ask("DELETE", ONE_SESSION, token=token)).status_code == 404
    ended = await ask("GET", "/api/sessions", token=token)
    assert [each.get("ended_because") for each in ended.json()["sessions"]] == [
        None,
        "ended_by_user",
    ]
    assert (await ask("DELETE", "/api/sessions", token=token)).status_code == 204
    assert (await ask("POST", "/api/refresh", **of, **presented)).status_code == 400
    assert (await ask("POST", "/api/logout", **of, **presented)).status_code == 204


@pytest.mark.parametrize("path", [path for path in SPEC["paths"] if path.startswith("/api/")])
async def test_refusals_under_api_are_as_described(http: httpx.AsyncClient, path: str) -> None:
    for method in SPEC["paths"][path].keys() & {"post", "patch", "delete"}:
        plain = {"Content-Type": "application/json"}
        for headers, body, status in (
            ({}, b"{}", 415),
            (plain, b"{}", 403),
            (plain, b"[]", 400),
            (plain, b" " * 70_000, 413),
        ):
            answer = await http.request(method, path, headers=headers, content=body)
            assert answer.status_code == status
            check(path, method, answer)
    for method in SPEC["paths"][path].keys() & {"get", "post"}:
        wrong = await http.request("PUT", path)
        assert wrong.status_code == 405
        check(path, method, wrong)


def check(path: str, method: str, answer: httpx.Response) -> None:
    """The answer has a described status, its headers, and a body of its schema."""
    described = resolve(SPEC["paths"][path][method]["responses"][str(answer.status_code)])
    headers = {name: resolve(header) for name, header in described.get("headers", {}).items()}
    for name, header in headers.items():
        assert name in answer.headers or not header.get("required")
        if (constant := header["schema"].get("const")) and name in answer.headers:
            assert answer.headers[name] == constant
    content = described.get("content")
    if content is None or (described.get("x-may-be-empty") and not answer.content):
        assert answer.content == b""
    elif media := content.get("application/json"):
        schema = {**media["schema"], "components": SPEC["components"]}
        Draft202012Validator(schema).validate(answer.json())


def resolve(item: dict[str, Any]) -> dict[str, Any]:
    """The item, or what its `$ref` names."""
    if "$ref" not in item:
        return item
    target: Any = SPEC
    for name in item["$ref"].removeprefix("#/").split("/"):
        target = target[name]
    return target
