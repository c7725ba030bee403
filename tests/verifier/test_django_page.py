"""docs/how-to/verify-in-django.md: its project does what the page says."""

import importlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.test import Client

from tests.verifier.conftest import LivePod
from tests.verifier.pages import save

# What every project has, and the page leaves out.
OF_ANY_PROJECT = """
SECRET_KEY = "made up"
ALLOWED_HOSTS = ["testserver"]
"""


@pytest.fixture(scope="module")
def http(pod: LivePod, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """The project. Django is set up once a process: this is the one for the whole run."""
    folder = tmp_path_factory.mktemp("django")
    save(folder, "verify-in-django.md")
    settings = folder / "shop/settings.py"
    settings.write_text(settings.read_text() + OF_ANY_PROJECT)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("DJANGO_SETTINGS_MODULE", "shop.settings")
        patch.setenv("WATCHWORD_ISSUER", pod.url)
        patch.delenv("WATCHWORD_REDIS_URL", raising=False)
        django.setup()
        yield Client()
        module: Any = importlib.import_module("shop.watchword")
        module.verifier.close()
    for name in [name for name in sys.modules if name.split(".")[0] == "shop"]:
        del sys.modules[name]


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_good_token_opens(http: Any, pod: LivePod) -> None:
    client = pod.make_client()
    answer = http.get("/orders", headers=bearing(pod.token(client)))
    assert (answer.status_code, answer.json()) == (200, {"orders": [], "of": client.id})


@pytest.mark.parametrize("path", ["/orders", "/nothing-here"])
def test_without_a_token_the_challenge_has_no_error_code(http: Any, path: str) -> None:
    """RS-1."""
    answer = http.get(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="api"'
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"


def test_two_authorization_headers_are_a_bad_request(http: Any, pod: LivePod) -> None:
    """RS-1: as a WSGI server hands them on."""
    token = pod.token()
    answer = http.get("/orders", headers={"Authorization": f"Bearer {token},Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_a_lacking_scope_is_named(http: Any, pod: LivePod) -> None:
    """RS-2."""
    answer = http.post("/orders/new", headers=bearing(pod.token(scope="orders:read")))
    assert answer.status_code == 403
    assert 'scope="orders:write"' in answer.headers["WWW-Authenticate"]
    assert http.post("/orders/new", headers=bearing(pod.token())).status_code == 201


def test_a_revoked_token_is_refused_within_a_second(http: Any, pod: LivePod) -> None:
    """DIST-8, by the HTTP feed."""
    client = pod.make_client()
    token = pod.token(client)
    assert http.get("/orders", headers=bearing(token)).status_code == 200
    pod.revoke(client, token)
    deadline = time.monotonic() + 1
    while (answer := http.get("/orders", headers=bearing(token))).status_code == 200:
        assert time.monotonic() < deadline
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_token")


def test_what_is_public_asks_for_no_token(http: Any) -> None:
    assert http.get("/readyz").status_code == 200
