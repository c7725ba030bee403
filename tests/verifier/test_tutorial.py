"""docs/tutorial/protect-an-api.md: its service does what the page says."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.embedded.redis import EmbeddedRedis
from tests.faults.failover_support import free_port, until
from tests.verifier.conftest import LivePod

PAGE = Path(__file__).parents[2].joinpath("docs/tutorial/protect-an-api.md").read_text()


@pytest.fixture
def orders(pod: LivePod, redis_server: EmbeddedRedis, tmp_path: Path) -> Iterator[str]:
    """The page's service as a process, beside the suite's pod."""
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    program = program.replace("http://localhost:8000", pod.url).replace(
        "revocations=", f'redis_prefix="{pod.settings.redis_prefix}",\n    revocations='
    )
    (tmp_path / "orders.py").write_text(program)
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "orders:app", f"--port={port}"],
        cwd=tmp_path,
        env={**os.environ, "WATCHWORD_REDIS_URL": redis_server.url},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}/orders"
    try:
        until(lambda: _status(url, process) is not None)
        yield url
    finally:
        process.terminate()
        process.wait()


def _status(url: str, process: "subprocess.Popen[bytes]") -> int | None:
    assert process.poll() is None
    try:
        return httpx.get(url).status_code
    except httpx.TransportError:
        return None


def test_the_tutorials_service_takes_a_token_until_it_is_revoked(orders: str, pod: LivePod) -> None:
    bare = httpx.get(orders)
    assert (bare.status_code, bare.headers["www-authenticate"]) == (401, 'Bearer realm="api"')
    client = pod.make_client()
    token = pod.token(client)
    headers = {"Authorization": f"Bearer {token}"}
    assert httpx.get(orders, headers=headers).json() == {"orders of": client.id}
    pod.revoke(client, token)
    deadline = time.monotonic() + 5
    while (answer := httpx.get(orders, headers=headers)).status_code == 200:
        assert time.monotonic() < deadline
    assert answer.status_code == 401
    assert answer.text in PAGE
