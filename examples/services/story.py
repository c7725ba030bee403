"""What the example shows: two services accept a token, each by itself, until it is revoked."""

import asyncio
import time
from typing import Any

import httpx

from examples.services.site import Site
from examples.services.telling import Telling

_PASSWORD = "a walk by the river"  # noqa: S105 (made up)
_PATIENCE_SECONDS = 10.0


class Story:
    """Four chapters over a running site."""

    def __init__(self, site: Site, telling: Telling, http: httpx.AsyncClient) -> None:
        self._site = site
        self._telling = telling
        self._http = http

    async def services_call_each_other(self) -> dict[str, Any]:
        """A user's token opens both; what they do for each other they do in their own names."""
        tokens = await self._log_in()
        token: str = tokens["access_token"]
        self._telling.step("Anna logs in at the shop", shown(token))
        lamp = {"item": "lamp", "cents": 4900}
        answer = await self._ask("POST", f"{self._site.orders}/orders", token, 201, json=lamp)
        self._telling.step("she orders a lamp", f"{answer.status_code} from orders")
        self._telling.more("orders has billing write the invoice, by its own token")
        url = f"{self._site.billing}/invoices"
        answer = await self._ask("GET", f"{url}/{answer.json()['invoice']}", token, 200)
        self._telling.step("she reads the invoice", f"{answer.status_code} from billing")
        self._telling.more(f"billing asks orders what it was for: a {answer.json()['item']}")
        invoice = {"order": "none", "customer": "nobody", "cents": 1}
        answer = await self._ask("POST", url, token, 403, json=invoice)
        self._telling.step("she writes an invoice herself", f"{answer.status_code} from billing")
        self._telling.more(answer.json()["error_description"])
        return tokens

    async def a_token_is_revoked(self) -> None:
        """RFC 7009: by the client that it was issued to."""
        token = await self._machine_token()
        self._telling.step("reports, a program, gets a token", shown(token))
        await self._works_in_both("it works in both", token)
        client = self._site.clients["reports"]
        url = f"{self._site.issuer}/revoke"
        answer = await self._http.post(url, data={"token": token}, auth=client)
        await self._refused_by_both(token, "POST /revoke", f"{answer.status_code} from Watchword")

    async def a_session_ends(self, tokens: dict[str, Any]) -> None:
        """With a session all its tokens end, also those that nobody has at hand."""
        token = tokens["access_token"]
        await self._works_in_both("Anna's token works in both", token)
        answer = await self._api("logout", {"refresh_token": tokens["refresh_token"]})
        await self._refused_by_both(
            token, "she logs out: POST /api/logout", f"{answer.status_code} from Watchword"
        )

    async def a_client_is_revoked(self) -> None:
        """An operator's answer to a leak: every token of the client, however many there are."""
        token = await self._machine_token()
        self._telling.step("reports gets another token", shown(token))
        await self._works_in_both("it works in both", token)
        lines = self._site.lines("revoke", "--client", "reports", "--wait")
        await self._refused_by_both(
            token, "watchword revoke --client reports --wait", await anext(lines)
        )
        async for line in lines:
            self._telling.more("both have told Watchword so", line)
        await self._works_in_both("its next token works in both", await self._machine_token())

    async def _log_in(self) -> dict[str, Any]:
        person = {"username": "anna", "password": _PASSWORD}
        names = {"email": "anna@example.com", "full_name": "Anna Lee"}
        await self._api("register", person | names)
        tokens: dict[str, Any] = (await self._api("login", person)).json()
        return tokens

    async def _api(self, path: str, members: dict[str, str]) -> httpx.Response:
        """What the shop's app sends to Watchword for its user."""
        url, headers = f"{self._site.issuer}/api/{path}", {"X-Requested-With": "shop"}
        answer = await self._http.post(url, json={"client_id": "shop", **members}, headers=headers)
        return answer.raise_for_status()

    async def _machine_token(self) -> str:
        form, client = {"grant_type": "client_credentials"}, self._site.clients["reports"]
        answer = await self._http.post(f"{self._site.issuer}/token", data=form, auth=client)
        token: str = answer.raise_for_status().json()["access_token"]
        return token

    async def _ask(
        self, method: str, url: str, token: str, expected: int, **request: Any
    ) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"}
        answer = await self._http.request(method, url, headers=headers, **request)
        if answer.status_code != expected:
            raise SystemExit(f"{method} {url}: {answer.status_code} {answer.text}")
        return answer

    async def _works_in_both(self, text: str, token: str) -> None:
        for url in self._doors().values():
            await self._ask("GET", url, token, 200)
        self._telling.step(text, "200 from orders, 200 from billing")

    async def _refused_by_both(self, token: str, text: str, result: str) -> None:
        """Ask both without a pause from now on, the moment of the revocation's answer."""
        since = time.perf_counter()
        waiting = [self._until_refused(url, token, since) for url in self._doors().values()]
        waited = await asyncio.gather(*waiting)
        self._telling.step(text, result)
        for service, milliseconds in zip(self._doors(), waited, strict=True):
            self._telling.more(f"{service} refuses it: 401", f"{milliseconds:.1f} ms later")

    async def _until_refused(self, url: str, token: str, since: float) -> float:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                headers = {"Authorization": f"Bearer {token}"}
                answer = await self._http.get(url, headers=headers)
                if answer.status_code == httpx.codes.UNAUTHORIZED:
                    return (time.perf_counter() - since) * 1000

    def _doors(self) -> dict[str, str]:
        """One URL of each service that needs a token."""
        return {
            "orders": f"{self._site.orders}/orders",
            "billing": f"{self._site.billing}/invoices",
        }


def shown(token: str) -> str:
    """As much of a token as belongs on a screen."""
    return f"{token[:20]}…"
