"""Receipts for tests: how verifiers report, and where they stand."""

from uuid import UUID

import httpx

from service.app import App
from service.flows.watch_verifiers import WatchedVerifier, watch_verifiers
from service.oauth.feed import Head
from tests.conftest import RegisteredClient
from tests.sessions import execute


async def report(
    http: httpx.AsyncClient, client: RegisteredClient, head: Head, **form: str
) -> httpx.Response:
    """The answer to a verifier that reports to be at a head; `form` replaces parameters."""
    honest = {"name": "billing-7f", "epoch": head.epoch, "number": str(head.number), "kids": "k"}
    data = {name: value for name, value in {**honest, **form}.items() if value}
    return await http.post("/revocations/receipts", data=data, auth=client.auth)


async def newest(app: App) -> Head:
    """The head, with all that was committed so far."""
    await app.services.keeper.publish()
    head = app.services.keeper.newest()
    assert head is not None
    return head


async def verifiers_of(app: App, client: RegisteredClient) -> dict[str, WatchedVerifier]:
    """The client's verifiers by their names."""
    watched = await watch_verifiers(app.services.database)
    return {it.verifier.name: it for it in watched if it.verifier.client_id == client.id}


async def forget_all(app: App) -> None:
    """No verifier reports any more."""
    await execute(app, "DELETE FROM feed_receipts")


async def age_receipt(app: App, client: RegisteredClient, seconds: float) -> None:
    """Let the client's receipts be so much older."""
    query = """
        UPDATE feed_receipts
        SET reported_at = reported_at - make_interval(secs => $2)
        WHERE client_id = $1
    """
    await execute(app, query, client.id, seconds)


def place(watched: WatchedVerifier) -> tuple[UUID, int]:
    return (watched.verifier.epoch, watched.verifier.number)
