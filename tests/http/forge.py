"""Access tokens made by hand: any header and any claims, under the pod's own key or another's."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import uuid4

import httpx

from service.app import App
from service.keys.signer import PrivateKey
from service.oauth.jws import encode_base64url
from service.oauth.signing_key import TOKEN
from tests.conftest import AUDIENCE, RegisteredClient

INACTIVE = b'{"active":false}'

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Forge:
    """Makes tokens that the pod would give the client, but for what a test changes.

    A change is the JSON text of a member, so that it can be what no JSON library writes; None
    leaves the member out.
    """

    app: App
    client_id: str

    @property
    def signer(self) -> PrivateKey:
        """The pod's own active key."""
        signer = self.app.services.keyring.key_set(TOKEN).signer
        assert isinstance(signer, PrivateKey)
        return signer

    def header(self, **changes: str | None) -> bytes:
        """The JOSE header of an honest token, changed."""
        return members({"alg": self.signer.alg, "kid": self.signer.kid, "typ": "at+jwt"}, changes)

    def claims(self, **changes: str | None) -> bytes:
        """The claims of an honest token, changed."""
        now = int(time.time())
        honest = {
            "iss": self.app.services.issuer,
            "sub": self.client_id,
            "aud": AUDIENCE,
            "client_id": self.client_id,
            "scope": "orders:read",
            "iat": now,
            "exp": now + 300,
            "jti": str(uuid4()),
            "cep": 0,
        }
        return members(honest, changes)

    def token(
        self, *, header: bytes | None = None, claims: bytes | None = None, sign: Sign | None = None
    ) -> str:
        """A compact JWS of these bytes, signed by the pod's own key unless `sign` is given."""
        head = encode_base64url(self.header() if header is None else header)
        body = encode_base64url(self.claims() if claims is None else claims)
        signature = (sign or self.signer.sign)(f"{head}.{body}".encode())
        return f"{head}.{body}.{encode_base64url(signature)}"


def members(honest: dict[str, object], changes: dict[str, str | None]) -> bytes:
    """A JSON object of honest members and the JSON texts that replace or join them."""
    texts = {name: json.dumps(value) for name, value in honest.items()} | changes
    return (
        "{" + ",".join(f'"{name}":{text}' for name, text in texts.items() if text is not None) + "}"
    ).encode()


async def introspect(
    http: httpx.AsyncClient, caller: RegisteredClient, token: str
) -> httpx.Response:
    """The answer of the endpoint to an authenticated caller."""
    return await http.post("/introspect", data={"token": token}, auth=caller.auth)


async def is_active(http: httpx.AsyncClient, caller: RegisteredClient, token: str) -> bool:
    """Whether the token is active for the caller; if not, the answer is exactly that (INT-2)."""
    answer = await introspect(http, caller, token)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json()["active"] is True or answer.content == INACTIVE
    return answer.json()["active"]


async def issue(http: httpx.AsyncClient, client: RegisteredClient) -> str:
    """A token from the token endpoint."""
    form = {"grant_type": "client_credentials"}
    answer = await http.post("/token", data=form, auth=client.auth)
    assert answer.status_code == 200, answer.text
    return answer.json()["access_token"]
