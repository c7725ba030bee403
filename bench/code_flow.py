"""python -m bench code-flow: a whole code flow of a browser that is signed on, CPU of the pod."""

import asyncio
import base64
import re
import secrets
import statistics
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx

from bench.servers import CALLBACK, ISSUER, PASSWORD, USERNAMES, WEB_APP, Pod
from bench.table import print_row, progress
from bench.yardstick import Yardstick

_ROUNDS = 5
# As many as a user has sessions; more would end the oldest.
_EACH = 100
_FLOWS = _EACH * len(USERNAMES)
_SCOPES = {
    "without OpenID Connect": "orders:read",
    "with an ID Token": "openid orders:read",
}


def measure_code_flow(pod: Pod) -> None:
    """Authorize with a living sign-on, then redeem the code: two requests, one new session."""
    print_row("what", "ms CPU", "x signature", "", "note")
    with ThreadPoolExecutor(len(USERNAMES)) as threads:
        browsers = [_Browser(pod, username) for username in USERNAMES]
        for name, scope in _SCOPES.items():
            _measure(pod, f"code flow, {name}", scope, browsers, threads)


def _measure(
    pod: Pod, name: str, scope: str, browsers: list["_Browser"], threads: ThreadPoolExecutor
) -> None:
    yardstick = Yardstick()
    costs: list[float] = []
    ratios: list[float] = []
    databases: list[float] = []

    def run(browser: "_Browser") -> None:
        for _ in range(_EACH):
            browser.run_flow(scope)

    list(threads.map(run, browsers))
    for number in range(_ROUNDS):
        progress(f"{name}: round {number + 1} of {_ROUNDS}")
        asyncio.run(_forget_sessions(pod))
        before = yardstick.seconds()
        cpu, database = pod.cpu_seconds(), pod.postgres_seconds()
        list(threads.map(run, browsers))
        costs.append((pod.cpu_seconds() - cpu) / _FLOWS)
        databases.append((pod.postgres_seconds() - database) / _FLOWS)
        ratios.append(costs[-1] / statistics.mean((before, yardstick.seconds())))
    progress("")
    print_row(
        name,
        f"{statistics.median(costs) * 1000:.3f}",
        f"{statistics.median(ratios):.2f}",
        "",
        f"{min(ratios):.2f} to {max(ratios):.2f}; PostgreSQL "
        f"{statistics.median(databases) * 1000:.2f} ms",
    )


async def _forget_sessions(pod: Pod) -> None:
    connection = await asyncpg.connect(pod.database_url)
    await connection.execute("DELETE FROM sessions")
    await connection.close()


class _Browser:
    """A browser that is signed on, and the client that it comes from."""

    def __init__(self, pod: Pod, username: str) -> None:
        self._secret = pod.web_secret
        self._http = httpx.Client(base_url=ISSUER)
        self._cookie = self._sign_on(username)

    def run_flow(self, scope: str) -> None:
        verifier = secrets.token_urlsafe(32)
        digest = sha256(verifier.encode()).digest()
        answer = self._http.get(
            "/authorize",
            params={
                "response_type": "code",
                "client_id": WEB_APP,
                "redirect_uri": CALLBACK,
                "scope": scope,
                "state": "s",
                "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
                "code_challenge_method": "S256",
            },
            headers={"cookie": self._cookie},
        )
        assert answer.status_code == 303, answer.text  # noqa: PLR2004
        (code,) = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
        form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier}
        tokens = self._http.post("/token", data=form, auth=(WEB_APP, self._secret))
        assert tokens.status_code == 200, tokens.text  # noqa: PLR2004
        assert ("id_token" in tokens.json()) == ("openid" in scope)

    def _sign_on(self, username: str) -> str:
        page = self._http.get("/login")
        fields = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        answer = self._http.post(
            "/login",
            data={**fields, "username": username, "password": PASSWORD},
            headers={"origin": ISSUER, "cookie": _cookies(page)},
        )
        return _cookies(answer)


def _cookies(answer: httpx.Response) -> str:
    texts = answer.headers.get_list("set-cookie")
    return "; ".join(text.partition(";")[0] for text in texts)
