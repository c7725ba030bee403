"""nginx and HAProxy let long headers of answers through: a client's state comes back in one."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest

from tests.deploy.proxies import HAPROXY, NGINX, HAProxy, Nginx, Proxy

# What a request's target of 8 KiB can bring, and the escapes that it gets on its way back.
STATE = "s" * 12_000

pytestmark = pytest.mark.slow


class Pod(BaseHTTPRequestHandler):
    """Sends every browser back to its client."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/readyz" else 303)
        self.send_header("Location", f"https://app.example/callback?state={STATE}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def pod() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Pod) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("kind", [Nginx, HAProxy])
def test_a_long_state_comes_back(tmp_path: Path, pod: str, kind: type[Proxy]) -> None:
    if (NGINX if kind is Nginx else HAPROXY) is None:
        pytest.skip("the proxy is not installed")
    proxy = kind(tmp_path, [pod])
    proxy.start()
    try:
        answer = httpx.get(f"{proxy.url}/authorize", verify=proxy.trust())
        assert (answer.status_code, answer.headers["location"][-12_000:]) == (303, STATE)
    finally:
        proxy.stop()
