"""HTTP to the issuer: https, no redirects, bounded in size and time (RS-6)."""

import asyncio
import ipaddress
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx

_SECONDS = 5.0
_OK, _UNAUTHORIZED, _NOT_FOUND = 200, 401, 404
_MAX_AGE = re.compile(r"(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])")


class Unreachable(Exception):
    """The issuer did not answer as it should; the text says what happened, without a secret."""

    def __init__(self, text: str, *, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Answer:
    """A 200 answer: its body, and how long it may be kept, seconds (None: not said)."""

    body: bytes
    max_age: int | None


class Fetcher:
    """Requests to one issuer. Basic authentication by `client` where a request asks for it."""

    def __init__(
        self, issuer: str, client: tuple[str, str] | None, tls: ssl.SSLContext | None
    ) -> None:
        self.issuer = check_issuer(issuer)
        self._auth = httpx.BasicAuth(*client) if client else None
        self._tls = tls
        self._http: httpx.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        self._http = httpx.AsyncClient(
            verify=self._tls if self._tls is not None else True,
            follow_redirects=False,
            timeout=_SECONDS,
            # Uncompressed: else a few bytes could become more than a limit allows, before it holds.
            headers={"user-agent": "watchword-verifier", "accept-encoding": "identity"},
        )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def get(
        self,
        url: str,
        *,
        max_length: int,
        params: Mapping[str, str | int] | None = None,
        headers: Mapping[str, str] | None = None,
        wait: float = 0,
        authenticated: bool = False,
    ) -> Answer:
        """A document of the issuer; `wait` seconds are the server's to use. Raises Unreachable."""
        try:
            require_safe(url)
        except ValueError as error:
            raise Unreachable(str(error)) from error
        auth = self._auth if authenticated else None
        http = self._client()
        request = http.build_request("GET", url, params=params, headers=headers)
        request.extensions["timeout"] = httpx.Timeout(_SECONDS + wait).as_dict()
        return await self._send(request, auth, max_length, _SECONDS + wait)

    async def post(self, path: str, form: Mapping[str, str], *, max_length: int) -> Answer:
        """A form to an endpoint of the issuer, with the client's authentication.

        Raises Unreachable.
        """
        request = self._client().build_request("POST", f"{self.issuer}{path}", data=form)
        return await self._send(request, self._auth, max_length, _SECONDS)

    def _client(self) -> httpx.AsyncClient:
        if self._http is None:
            raise Unreachable("the verifier was not started, or is closed")
        return self._http

    async def _send(
        self,
        request: httpx.Request,
        auth: httpx.BasicAuth | None,
        max_length: int,
        seconds: float,
    ) -> Answer:
        name = request.url.copy_with(query=None, username=None, password=None)
        try:
            async with asyncio.timeout(seconds):
                response = await self._client().send(request, auth=auth, stream=True)
                try:
                    body = await _read(response, max_length)
                finally:
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as error:
            raise Unreachable(f"{name}: {type(error).__name__}") from error
        if response.status_code != _OK:
            raise Unreachable(
                f"{name} answered {response.status_code}", status=response.status_code
            )
        max_age = _MAX_AGE.search(response.headers.get("cache-control", ""))
        return Answer(body, int(max_age[1]) if max_age else None)


async def _read(response: httpx.Response, max_length: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > max_length:
            raise Unreachable(f"{response.url.path} is longer than {max_length} bytes")
    return bytes(body)


def check_issuer(issuer: str) -> str:
    """The issuer's URL, if it can be one (META-1). Raises ValueError."""
    parts = urlsplit(issuer)
    if parts.query or parts.fragment or issuer.endswith("/") or not parts.hostname:
        raise ValueError(f"an issuer is a URL without query, fragment or final slash: {issuer!r}")
    require_safe(issuer, of="the issuer")
    return issuer


def require_safe(url: str, *, of: str = "the address") -> None:
    """Raise ValueError unless the URL is https, or plain http to this machine."""
    try:
        httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError(f"{of} is no URL: {error}") from None
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{of} must not hold a password")
    if parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        return
    raise ValueError(f"{of} must be https (plain http only on this machine): {url!r}")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
