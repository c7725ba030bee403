"""docs/tutorial/protect-an-api.md: its program does what the page says."""

import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import anyio
import httpx

from service.app import App
from service.settings import Settings
from tests.conftest import MakeClient, until

PAGE = Path(__file__).parents[2].joinpath("docs/tutorial/protect-an-api.md").read_text()


async def test_the_tutorials_check_accepts_a_token_and_refuses_it_once_revoked(
    app: App,
    settings: Settings,
    http: httpx.AsyncClient,
    make_client: MakeClient,
    tmp_path: Path,
) -> None:
    (program,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    documents = {
        path: (await http.get(path)).content
        for path in ("/.well-known/jwks.json", "/.well-known/watchword-feed-keys.json")
    }
    with serving(documents) as port:
        program = program.replace("{ww}", f"{{{settings.redis_prefix}}}")
        for name in ("jwks", "watchword-feed-keys"):
            program = program.replace(
                f'f"{{ISSUER}}/.well-known/{name}.json"',
                f'"http://127.0.0.1:{port}/.well-known/{name}.json"',
            )
        check = tmp_path / "check.py"
        check.write_text(program)
        client = await make_client()
        issued = await http.post(
            "/token", data={"grant_type": "client_credentials"}, auth=client.auth
        )
        token = issued.json()["access_token"]
        environment = {"WATCHWORD_REDIS_URL": settings.redis_url.reveal(), "PYTHONUNBUFFERED": "1"}

        async def run() -> subprocess.CompletedProcess[bytes]:
            command = [sys.executable, str(check), token]
            return await anyio.run_process(command, env=environment, check=False)

        accepted = await run()
        assert accepted.returncode == 0, accepted.stderr
        assert client.id.encode() in accepted.stdout
        head = app.services.keeper.head()
        await http.post("/revoke", data={"token": token}, auth=client.auth)
        await until(lambda: app.services.keeper.head() != head)
        refused = await run()
        assert refused.returncode == 1
        assert b"401: revoked" in refused.stderr


class serving:  # noqa: N801 (reads as a context manager)
    """Documents over HTTP, as the issuer would serve them."""

    def __init__(self, documents: dict[str, bytes]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(documents[self.path])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self) -> int:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self._server.server_port

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
