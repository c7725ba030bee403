"""A service's own access token for its calls to others: `AsyncClient(auth=MachineToken(…))`."""

import time
from collections.abc import Generator

import httpx

# Before it expires: it must not do so on its way.
_EARLY_SECONDS = 30


class MachineToken(httpx.Auth):
    """The client credentials grant (RFC 6749 §4.4), asked again shortly before a token's end."""

    requires_response_body = True

    def __init__(self, issuer: str, client: tuple[str, str], scope: str) -> None:
        self._endpoint = f"{issuer}/token"
        self._client = httpx.BasicAuth(*client)
        self._scope = scope
        self._token = ""
        self._good_until = 0.0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send the request with a token; once more with another one where that is refused."""
        if time.monotonic() >= self._good_until:
            yield from self._fetch()
        response = yield self._signed(request)
        if response.status_code == httpx.codes.UNAUTHORIZED:  # revoked before its time
            yield from self._fetch()
            yield self._signed(request)

    def _signed(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _fetch(self) -> Generator[httpx.Request, httpx.Response, None]:
        form = {"grant_type": "client_credentials", "scope": self._scope}
        request = httpx.Request("POST", self._endpoint, data=form)
        answer = yield next(self._client.auth_flow(request))
        members = answer.raise_for_status().json()
        self._token = members["access_token"]
        self._good_until = time.monotonic() + members["expires_in"] - _EARLY_SECONDS
