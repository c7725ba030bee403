"""An issuer of a test's own on loopback, each answer as the test wants it; its requests counted."""

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from service.keys.signer import PrivateKey

METADATA = "/.well-known/oauth-authorization-server"
JWKS = "/.well-known/jwks.json"
FEED_KEYS = "/.well-known/watchword-feed-keys.json"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers; `hold` is waited for first."""

    body: bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


@dataclass(slots=True)
class Issuer:
    """Keys, answers by path (one with its query goes first), and how often each was asked for."""

    url: str
    signer: PrivateKey
    feed_signer: PrivateKey
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: Counter[str] = field(default_factory=Counter)

    def publish(self, *keys: dict[str, Any], **answer: Any) -> None:
        """Answer with these keys for tokens."""
        self.answers[JWKS] = Answer(json.dumps({"keys": keys}).encode(), **answer)


@contextmanager
def serving() -> Iterator[Issuer]:
    """The issuer, serving."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            issuer.requests[path] += 1
            answer = issuer.answers.get(self.path) or issuer.answers.get(path, Answer(b"", 404))
            if answer.hold is not None:
                answer.hold.wait(20)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    issuer = Issuer(
        f"http://127.0.0.1:{server.server_port}", PrivateKey.generate(), PrivateKey.generate()
    )
    document = {"issuer": issuer.url, "jwks_uri": issuer.url + JWKS}
    issuer.answers[METADATA] = Answer(json.dumps(document).encode())
    issuer.publish(issuer.signer.public_jwk)
    issuer.answers[FEED_KEYS] = Answer(
        json.dumps({"keys": [issuer.feed_signer.public_jwk]}).encode()
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
