"""A small relying party: plain Python, another site than the pod, nothing of the service in it."""

import json
import secrets
import socket
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx
import jwt

SCOPE = "openid profile email offline_access orders:read"


PAGE = '<!doctype html><html lang="en"><title>Notebook</title><link rel="icon" href="data:,">{}'


@dataclass(frozen=True)
class Login:
    """What the relying party has of a user: tokens, the ID Token's claims, and UserInfo's."""

    tokens: dict[str, Any]
    claims: dict[str, Any]
    about: dict[str, Any]


@dataclass
class RelyingParty:
    """One client of the pod. `onward`: where its callback sends the browser."""

    issuer: str
    url: str
    client: tuple[str, str] = ("", "")
    onward: str = "/welcome"
    answers: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    logins: list[Login] = field(default_factory=list)
    _sent: dict[str, tuple[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.http = httpx.Client(timeout=10)
        found = self.http.get(f"{self.issuer}/.well-known/openid-configuration").json()
        self.metadata: dict[str, Any] = found

    @property
    def callback(self) -> str:
        return f"{self.url}/callback"

    def start(self, **changes: str) -> str:
        """The authorization request as a URL."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        self._sent[state] = (nonce, verifier)
        digest = sha256(verifier.encode()).digest()
        query = {
            "response_type": "code",
            "client_id": self.client[0],
            "redirect_uri": self.callback,
            "scope": SCOPE,
            "state": state,
            "nonce": nonce,
            "code_challenge": urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
            **changes,
        }
        return f"{self.metadata['authorization_endpoint']}?{urlencode(query)}"

    def end_session(self, **query: str) -> str:
        """The URL that signs a user out."""
        query = {"client_id": self.client[0], **query}
        return f"{self.metadata['end_session_endpoint']}?{urlencode(query)}"

    def by_form(self, url: str) -> str:
        """A page of the relying party that sends the same by POST."""
        to, _, query = url.partition("?")
        return f"{self.url}/send?{urlencode({'to': to})}&{query}"

    def take(self, method: str, answer: dict[str, str]) -> str:
        """What the browser is sent to with an authorization response."""
        self.answers.append((method, answer))
        nonce, verifier = self._sent.pop(answer["state"])
        assert answer["iss"] == self.issuer
        if "error" in answer:
            return "/refused?" + urlencode({"error": answer["error"]})
        form = {"code": answer["code"], "redirect_uri": self.callback, "code_verifier": verifier}
        tokens = self.token(grant_type="authorization_code", **form).json()
        claims = self.read(tokens["id_token"])
        assert claims["nonce"] == nonce
        bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
        about = self.http.get(self.metadata["userinfo_endpoint"], headers=bearer).json()
        assert about["sub"] == claims["sub"]
        self.logins.append(Login(tokens, claims, about))
        return self.onward

    def token(self, **form: str) -> httpx.Response:
        """What the token endpoint answers."""
        endpoint, (client_id, secret) = self.metadata["token_endpoint"], self.client
        if not secret:
            return self.http.post(endpoint, data={"client_id": client_id, **form})
        return self.http.post(endpoint, data=form, auth=self.client)

    def refresh(self, login: Login) -> httpx.Response:
        """What a refresh with the login's token is answered."""
        token = login.tokens["refresh_token"]
        return self.token(grant_type="refresh_token", refresh_token=token)

    def is_dead(self, login: Login) -> bool:
        """Whether neither of the login's tokens is good for anything."""
        token, bearer = login.tokens["access_token"], "Bearer " + login.tokens["access_token"]
        told = self.http.post(
            self.metadata["introspection_endpoint"], data={"token": token}, auth=self.client
        )
        about = self.http.get(self.metadata["userinfo_endpoint"], headers={"Authorization": bearer})
        refreshed = self.refresh(login)
        statuses = (about.status_code, refreshed.status_code)
        return told.json() == {"active": False} and statuses == (401, 400)

    def read(self, id_token: str) -> dict[str, Any]:
        """The claims of an ID Token that proves to be for this client."""
        keys = self.http.get(self.metadata["jwks_uri"]).json()
        key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(id_token)["kid"]]
        options = {"audience": self.client[0], "issuer": self.issuer}
        return jwt.decode(id_token, key, algorithms=["RS256"], **options)


class _Handler(BaseHTTPRequestHandler):
    party: RelyingParty

    def do_GET(self) -> None:
        path, query = urlsplit(self.path).path, dict(parse_qsl(urlsplit(self.path).query))
        if path == "/callback":
            self._go(self.party.take("GET", query))
        elif path == "/send":
            self._send(PAGE.format(self._form(query.pop("to"), query)))
        else:
            self._show(path.strip("/") or "home", query)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._go(self.party.take("POST", dict(parse_qsl(body, strict_parsing=True))))

    def _go(self, location: str) -> None:
        self.send_response(303)
        self.send_header("Location", location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _show(self, name: str, query: dict[str, str]) -> None:
        self._send(PAGE.format(f"<h1>{name}</h1><pre>{escape(json.dumps(query))}</pre>"))

    def _form(self, to: str, fields: dict[str, str]) -> str:
        """A form of another site than the pod's, which sends what a link would have sent."""
        inputs = (
            f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
            for name, value in fields.items()
        )
        return f'<form method="post" action="{escape(to)}">{"".join(inputs)}<button>Send</button>'

    def _send(self, page: str) -> None:
        body = page.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _V6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


_SERVERS = {False: ThreadingHTTPServer, True: _V6}


@contextmanager
def open_relying_party(issuer: str, host: str = "127.0.0.1") -> Iterator[RelyingParty]:
    """The relying party on a port of its own; it has no client yet."""
    handler = type("Handler", (_Handler,), {})
    with _SERVERS[":" in host]((host, 0), handler) as server:
        name = f"[{host}]" if ":" in host else host
        handler.party = RelyingParty(issuer, f"http://{name}:{server.server_port}")
        Thread(target=server.serve_forever, daemon=True).start()
        yield handler.party
        handler.party.http.close()
        server.shutdown()
