"""Debian's mod_auth_openidc: Apache signs users in for an application behind it."""

import json
import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import httpx
import pytest

from tests.browser.live import Live
from tests.faults.failover_support import free_port, until
from tests.interop.visitor import Visitor

APACHE = shutil.which("apache2", path=f"{os.defpath}:/usr/sbin")
MODULE = Path("/usr/lib/apache2/modules/mod_auth_openidc.so")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        APACHE is None or not MODULE.exists(), reason="mod_auth_openidc is not installed"
    ),
]


class Application(BaseHTTPRequestHandler):
    """Shows the headers that it is asked with."""

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Application) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


@contextmanager
def apache(folder: Path, port: int, settings: dict[str, str]) -> Iterator[str]:
    """Apache in the foreground as it is on Debian, with a configuration of its own."""
    text = Path(__file__).with_name("apache.conf").read_text()
    for name, value in {"PORT": str(port), "FOLDER": str(folder), **settings}.items():
        text = text.replace(f"@{name}@", value)
    (folder / "apache.conf").write_text(text)
    url, log = f"http://127.0.0.1:{port}", folder / "apache-error.txt"
    with (folder / "apache-output.txt").open("wb") as output:
        process = subprocess.Popen(
            [str(APACHE), "-f", str(folder / "apache.conf"), "-DFOREGROUND"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def answers() -> bool:
        assert process.poll() is None, (folder / "apache-output.txt").read_text()
        try:
            return httpx.get(url).status_code == 404
        except httpx.TransportError:
            return False

    try:
        until(answers)
        yield url
    finally:
        process.terminate()
        process.wait(30)
    faults = [line for line in log.read_text().splitlines() if ":error]" in line]
    assert faults == []


@pytest.mark.parametrize(("mode", "pkce"), [("query", True), ("form_post", True), ("query", False)])
def test_an_application_behind_it(
    mode: str, pkce: bool, live: Live, backend: int, visitor: Visitor, tmp_path: Path
) -> None:
    """IOP-11, AUTHZ-15, CONF-3, RPL-1."""
    name, port = live.make_user(), free_port()
    app, callback, bye = (f"http://127.0.0.1:{port}/{it}" for it in ("app/", "oidc", "bye"))
    waiver = () if pkce else ("--no-pkce",)
    client_id, secret = live.make_web_client(callback, "--post-logout-redirect-uri", bye, *waiver)
    settings = {
        "ISSUER": live.issuer,
        "CLIENT_ID": client_id,
        "CLIENT_SECRET": secret,
        "PASSPHRASE": secrets.token_urlsafe(16),
        "RESPONSE_MODE": mode,
        "PKCE": "OIDCPKCEMethod S256" if pkce else "",
        "USER": name,
        "BACKEND": str(backend),
    }
    with apache(tmp_path, port, settings):
        answer = visitor.sign_in(f"{app}orders?page=2", name, callback)
        if mode == "form_post":
            page = visitor.follow(visitor.submit(answer), bye)
        else:
            page = visitor.follow(visitor.get(answer.headers["location"]), bye)
        assert str(page.url) == f"{app}orders?page=2"
        told = page.json()
        assert told["oidc_claim_preferred_username"] == name
        assert told["oidc_claim_email"] == f"{name}@example.com"
        info = visitor.get(f"{callback}?info=json").json()
        assert info["userinfo"]["sub"] == info["id_token"]["sub"] == told["oidc_claim_sub"]
        refreshed = visitor.get(f"{callback}?info=json&access_token_refresh_interval=0").json()
        assert refreshed["access_token"] != info["access_token"]
        assert refreshed["refresh_token"] != info["refresh_token"]
        gone = visitor.follow(visitor.get(f"{callback}?logout={quote(bye)}"), bye)
        assert gone.headers["location"].startswith(bye)
        page = visitor.follow(visitor.get(f"{app}orders"), bye)
        assert "Sign in" in page.text
