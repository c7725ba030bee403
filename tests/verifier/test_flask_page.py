"""docs/how-to/verify-in-flask.md: its program does what the page says."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.conftest import AUDIENCE
from tests.verifier.conftest import LivePod
from tests.verifier.pages import programs

APPLICATION, GUNICORN = programs("verify-in-flask.md")

# What gunicorn does with --preload: import, fork, start in each worker, serve, close.
WORKERS = """
import os, sys
import orders, settings
failed = 0
for _ in range(2):
    child = os.fork()
    if not child:
        settings.post_worker_init(None)
        http = orders.app.test_client()
        answer = http.get("/orders", headers={"Authorization": sys.argv[1]})
        settings.worker_exit(None, None)
        os._exit(answer.status_code != 200)
    failed += os.waitpid(child, 0)[1]
sys.exit(failed)
"""


def run(issuer: str) -> ModuleType:
    """The page's application."""
    module = ModuleType("orders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WATCHWORD_ISSUER", issuer)
        patch.delenv("WATCHWORD_REDIS_URL", raising=False)
        exec(compile(APPLICATION, "orders.py", "exec"), module.__dict__)  # noqa: S102 (the page's)
    return module


@pytest.fixture(scope="module")
def http(pod: LivePod) -> Iterator[FlaskClient]:
    module: Any = run(pod.url)
    yield module.app.test_client()
    module.verifier.close()


def error_of(answer: TestResponse) -> str:
    assert answer.json is not None
    return answer.json["error"]


def bearing(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def test_a_good_token_opens(http: FlaskClient, pod: LivePod) -> None:
    client = pod.make_client()
    answer = http.get("/orders", headers=bearing(pod.token(client)))
    assert (answer.status_code, answer.json) == (200, {"orders": [], "of": client.id})


def test_without_a_token_the_challenge_has_no_error_code(http: FlaskClient) -> None:
    """RS-1; PRM-1: it names the metadata. A path that is not there asks as well."""
    for path in ("/orders", "/nothing-here"):
        answer = http.get(path)
        assert answer.status_code == 401
        url = f"{AUDIENCE}/.well-known/oauth-protected-resource"
        challenge = f'Bearer realm="api", resource_metadata="{url}"'
        assert answer.headers["WWW-Authenticate"] == challenge
        assert answer.headers.getlist("Content-Type") == ["application/json"]


def test_two_authorization_headers_are_a_bad_request(http: FlaskClient, pod: LivePod) -> None:
    """RS-1: as a WSGI server hands them on."""
    token = pod.token()
    answer = http.get("/orders", headers={"Authorization": f"Bearer {token},Bearer {token}"})
    assert (answer.status_code, error_of(answer)) == (400, "invalid_request")


def test_a_lacking_scope_is_named(http: FlaskClient, pod: LivePod) -> None:
    """RS-2."""
    answer = http.post("/orders", headers=bearing(pod.token(scope="orders:read")))
    assert answer.status_code == 403
    assert 'scope="orders:write"' in answer.headers["WWW-Authenticate"]
    assert http.post("/orders", headers=bearing(pod.token())).status_code == 201


def test_a_revoked_token_is_refused_within_a_second(http: FlaskClient, pod: LivePod) -> None:
    """DIST-8, by the HTTP feed."""
    client = pod.make_client()
    token = pod.token(client)
    assert http.get("/orders", headers=bearing(token)).status_code == 200
    pod.revoke(client, token)
    deadline = time.monotonic() + 1
    while (answer := http.get("/orders", headers=bearing(token))).status_code == 200:
        assert time.monotonic() < deadline
    assert answer.status_code == 401
    assert error_of(answer) == "invalid_token"


def test_what_is_public_asks_for_no_token(http: FlaskClient, pod: LivePod) -> None:
    """PRM-1, RFC 9728 §3."""
    assert http.get("/readyz").status_code == 200
    answer = http.get("/.well-known/oauth-protected-resource")
    assert answer.get_json()["authorization_servers"] == [pod.url]


def test_while_nobody_can_say_the_answer_is_503(pod: LivePod) -> None:
    """RS-5."""
    module: Any = run("http://127.0.0.1:1")
    module.verifier.start_timeout = timedelta(seconds=0.1)
    try:
        http = module.app.test_client()
        answer = http.get("/orders", headers=bearing(pod.token()))
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert http.get("/readyz").status_code == 503
    finally:
        module.verifier.close()


def test_each_worker_starts_its_own_verifier(pod: LivePod, tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text(APPLICATION)
    (tmp_path / "settings.py").write_text(GUNICORN)
    ran = subprocess.run(
        [sys.executable, "-c", WORKERS, f"Bearer {pod.token()}"],
        cwd=tmp_path,
        env={"WATCHWORD_ISSUER": pod.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
