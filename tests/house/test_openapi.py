"""docs/reference/openapi.yaml is valid, names what is served, and what is served keeps to it."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from jsonschema import Draft202012Validator
from openapi_spec_validator import validate

from service.http.edge import ENDPOINTS
from tests.conftest import MakeClient

SPEC: dict[str, Any] = yaml.safe_load(
    Path(__file__).parents[2].joinpath("docs/reference/openapi.yaml").read_text()
)


def test_the_document_is_valid_openapi() -> None:
    validate(SPEC)


def test_it_names_exactly_the_paths_that_are_served() -> None:
    assert set(SPEC["paths"]) == ENDPOINTS


@pytest.mark.parametrize("path", [p for p, item in SPEC["paths"].items() if "get" in item])
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


def check(path: str, method: str, answer: httpx.Response) -> None:
    """The answer has a described status, its headers, and a body of its schema."""
    described = resolve(SPEC["paths"][path][method]["responses"][str(answer.status_code)])
    for name, header in described.get("headers", {}).items():
        assert name in answer.headers
        if constant := resolve(header)["schema"].get("const"):
            assert answer.headers[name] == constant
    content = described.get("content")
    if content is None:
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
