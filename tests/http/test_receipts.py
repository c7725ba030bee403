"""POST /revocations/receipts: who may report, what is kept, and for how long."""

import asyncio
from dataclasses import replace
from uuid import UUID, uuid4

import httpx
import pytest

from service.app import App
from service.flows.note_receipts import MAX_NAMES
from service.flows.purge import purge
from service.flows.watch_verifiers import VerifierWatch
from service.metrics import Metrics
from service.settings import Settings
from tests.conftest import MakeApp, MakeClient, RegisteredClient, http_to
from tests.http.receipts import age_receipt, newest, place, report, verifiers_of
from tests.http.refusals import assert_refused
from tests.sessions import execute, fetch


@pytest.fixture
async def client(make_client: MakeClient) -> RegisteredClient:
    return await make_client()


async def test_receipt_is_noted(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    head = await newest(app)
    answer = await report(http, client, head, kids="a b")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["cache-control"] == "no-store"
    (watched,) = (await verifiers_of(app, client)).values()
    assert place(watched) == (UUID(head.epoch), head.number)
    assert watched.verifier.kids == ("a", "b")
    assert (watched.state, watched.behind_by) == ("current", 0)


async def test_the_newest_receipt_wins_whatever_comes_last(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    head = replace(await newest(app), number=1_000)
    numbers = [*range(900, 1_001), *range(950, 1_000)]
    heads = [replace(head, number=number) for number in numbers]
    answers = await asyncio.gather(*(report(http, client, it) for it in heads))
    assert {answer.status_code for answer in answers} == {200}
    assert (await report(http, client, replace(head, number=3))).status_code == 200
    (watched,) = (await verifiers_of(app, client)).values()
    assert watched.verifier.number == 1_000
    later = replace(head, epoch="ffffffff-0000-7000-8000-000000000000", number=0)
    await report(http, client, later)
    (watched,) = (await verifiers_of(app, client)).values()
    assert place(watched) == (UUID(later.epoch), 0)


async def test_a_client_reports_under_its_own_names_alone(
    http: httpx.AsyncClient, app: App, client: RegisteredClient, make_client: MakeClient
) -> None:
    other, head = await make_client(), await newest(app)
    await report(http, client, head)
    await report(http, other, replace(head, number=head.number + 7))
    await report(http, other, head, gone="true", epoch="", number="", kids="")
    assert place((await verifiers_of(app, client))["billing-7f"])[1] == head.number
    assert await verifiers_of(app, other) == {}


async def test_goodbye_forgets_the_verifier(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    head = await newest(app)
    await report(http, client, head)
    await report(http, client, head, name="other")
    answer = await report(http, client, head, gone="true", epoch="", number="", kids="")
    assert answer.status_code == 200
    assert list(await verifiers_of(app, client)) == ["other"]


@pytest.mark.parametrize(
    "changes",
    [
        {"name": ""},
        {"name": "a b"},
        {"epoch": ""},
        {"epoch": "yesterday"},
        {"number": ""},
        {"number": "-1"},
        {"kids": "ä"},
        {"gone": "yes"},
        {"gone": "true", "name": "a\nb"},
    ],
)
async def test_bad_receipt_is_refused(
    http: httpx.AsyncClient, app: App, client: RegisteredClient, changes: dict[str, str]
) -> None:
    assert_refused(await report(http, client, await newest(app), **changes), "invalid_request")
    assert await verifiers_of(app, client) == {}


async def test_only_a_confidential_client_reports(
    http: httpx.AsyncClient, app: App, make_client: MakeClient
) -> None:
    public = await make_client(type="public")
    head = await newest(app)
    form = {"client_id": public.id, "name": "a", "epoch": head.epoch, "number": "1"}
    assert_refused(await http.post("/revocations/receipts", data=form), "unauthorized_client")
    wrong = RegisteredClient(public.id, "wrong")
    assert_refused(await report(http, wrong, head), "invalid_client", 401)
    answer = await http.get("/revocations/receipts")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


async def test_a_client_has_so_many_names_and_no_more(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    head = await newest(app)
    query = """
        INSERT INTO feed_receipts (client_id, name, epoch, number, kids)
        SELECT $1, 'n' || i, $2, 1, '{}' FROM generate_series(1, $3) AS i
    """
    await execute(app, query, client.id, UUID(head.epoch), MAX_NAMES)
    assert_refused(await report(http, client, head), "temporarily_unavailable", 429)
    assert (await report(http, client, head, name="n1")).status_code == 200
    await execute(app, "DELETE FROM feed_receipts WHERE client_id = $1", client.id)


async def test_a_silent_verifier_is_missing_then_forgotten(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    metrics = Metrics()
    watch = VerifierWatch(app.services.database, metrics)
    before = await _gauges(watch, metrics)
    await report(http, client, await newest(app))
    assert await _gauges(watch, metrics) == before | {"current": before["current"] + 1}
    await age_receipt(app, client, 31)
    assert await _gauges(watch, metrics) == before | {"missing": before["missing"] + 1}
    await age_receipt(app, client, 600)
    assert await _gauges(watch, metrics) == before
    assert await verifiers_of(app, client) == {}
    await purge(app.services.database, audit_retention=app.services.settings.audit_retention)
    query = "SELECT count(*) FROM feed_receipts WHERE client_id = $1"
    assert await fetch(app, query, client.id) == 0


async def _gauges(watch: VerifierWatch, metrics: Metrics) -> dict[str, float]:
    await watch.look()
    samples = next(iter(metrics.verifiers.collect())).samples
    return {sample.labels["state"]: sample.value for sample in samples}


async def test_a_verifier_below_what_it_should_have_seen_is_behind(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    head = await newest(app)
    await report(http, client, head)
    query = """
        INSERT INTO revocations (kind, subject, expires_at, reason, actor)
        VALUES ('jti', $1, clock_timestamp() + '1 minute'::interval, 'test', 'test')
    """
    await execute(app, query, str(uuid4()))
    assert (await newest(app)).number > head.number
    assert (await verifiers_of(app, client))["billing-7f"].state == "current"
    await execute(app, "UPDATE feed_entries SET written_at = written_at - '6 s'::interval")
    watched = (await verifiers_of(app, client))["billing-7f"]
    assert (watched.state, watched.behind_by > 0) == ("behind", True)


async def test_the_way_of_a_revocation_is_measured(
    http: httpx.AsyncClient, app: App, client: RegisteredClient
) -> None:
    """From the fact's writing to the receipt; a verifier that is new tells nothing of it."""
    buckets = app.services.metrics.revocation_seen._buckets
    await report(http, client, await newest(app))
    before = sum(bucket.get() for bucket in buckets)
    token = await http.post("/token", data={"grant_type": "client_credentials"}, auth=client.auth)
    await http.post("/revoke", data={"token": token.json()["access_token"]}, auth=client.auth)
    await report(http, client, await newest(app))
    assert sum(bucket.get() for bucket in buckets) == before + 1
    await report(http, client, await newest(app))
    assert sum(bucket.get() for bucket in buckets) == before + 1


async def test_receipts_of_one_pod_are_seen_at_another(
    make_app: MakeApp, settings: Settings, app: App, client: RegisteredClient
) -> None:
    other = await make_app(settings)
    async with http_to(other) as http:
        assert (await report(http, client, await newest(app))).status_code == 200
    assert list(await verifiers_of(app, client)) == ["billing-7f"]
