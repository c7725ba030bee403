"""What is left of a request: its id, its line in the log, its metrics; what a fault tells."""

import io
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote_plus

import httpx
import pytest
import structlog

from service import telemetry
from service.app import App
from service.http import edge, error_responses
from service.http.edge import LABELS, Edge
from service.sql.connection import DatabaseUnavailable
from tests.conftest import MakeClient, http_to
from tests.http.refusals import GRANT, assert_refused

DOCUMENT = "/.well-known/oauth-authorization-server"
SECRET = "kept-from-clients"
# Line breaks of every kind, ANSI escapes, and what ends a JSON string.
POISON = '\r\n\x1b[31m\x00\x85\u2028{"event":"forged"}\\"}\n'

Lines = Callable[[], list[dict]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """The log's lines so far, written as in production, each parsed by itself."""
    written = io.BytesIO()
    logger = structlog.wrap_logger(
        structlog.BytesLogger(written),
        processors=telemetry._processors(),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    for module in (edge, error_responses):
        monkeypatch.setattr(module, "log", logger)

    def read() -> list[dict]:
        raw = written.getvalue()
        assert not re.search(rb"[\x00-\x09\x0b-\x1f]", raw)
        return [json.loads(line) for line in raw.splitlines()]

    return read


async def boom(*_: object) -> None:
    raise RuntimeError(SECRET)


def boom_now(*_: object) -> None:
    raise RuntimeError(SECRET)


async def test_a_request_leaves_one_line(
    http: httpx.AsyncClient, make_client: MakeClient, lines: Lines
) -> None:
    client = await make_client()
    answer = await http.post("/token", data=GRANT, auth=client.auth)
    (line,) = lines()
    assert line.pop("at")
    assert line.pop("ms") >= 0
    assert line == {
        "event": "request",
        "level": "info",
        "endpoint": "/token",
        "method": "POST",
        "status": 200,
        "request_id": answer.headers["x-request-id"],
        "address": "127.0.0.1",
        "client_id": client.id,
        "error": None,
        "reason": None,
    }


async def test_a_refusal_says_in_the_log_alone_why(
    http: httpx.AsyncClient, make_client: MakeClient, lines: Lines
) -> None:
    """TOK-10: what the client can't tell apart, the operator can."""
    client = await make_client()
    causes = {client.id: "wrong secret", "nobody": "unknown client"}
    for client_id, reason in causes.items():
        answer = await http.post("/token", data=GRANT, auth=(client_id, "wrong"))
        line = lines()[-1]
        assert (line["error"], line["reason"]) == ("invalid_client", reason)
        assert line["client_id"] == client_id
        assert reason not in answer.text
    assert len(lines()) == 2


@pytest.mark.parametrize(
    ("method", "url", "status"),
    [
        ("GET", "/token", 405),
        ("GET", f"https://evil.example{DOCUMENT}", 421),
        ("POST", "/token", 400),
    ],
    ids=str,
)
async def test_every_refusal_names_its_error_in_log_and_metrics(
    app: App, http: httpx.AsyncClient, lines: Lines, method: str, url: str, status: int
) -> None:
    label = {"route": httpx.URL(url).path, "error": "invalid_request"}
    registry = app.services.metrics.registry
    before = registry.get_sample_value("watchword_refusals_total", label) or 0
    assert_refused(await http.request(method, url), "invalid_request", status)
    assert [(line["status"], line["error"]) for line in lines()] == [(status, "invalid_request")]
    assert registry.get_sample_value("watchword_refusals_total", label) == before + 1


async def test_probes_leave_no_line(http: httpx.AsyncClient, lines: Lines) -> None:
    for path in ("/healthz", "/readyz", "/metrics"):
        assert (await http.get(path)).status_code == 200
    assert lines() == []


async def test_nothing_that_is_sent_forges_a_line(
    http: httpx.AsyncClient, make_client: MakeClient, lines: Lines
) -> None:
    """ATK-95: one line a request, whatever stands where."""
    client = await make_client()
    raw, sent = POISON.encode(), 0
    headers = [
        (b"user-agent", raw),
        (b"x-request-id", raw),
        (b"x-forwarded-for", raw),
        (b"referer", raw),
        (b"cookie", raw),
    ]
    for form in (
        {"client_id": POISON},
        {"client_id": f"{client.id}{POISON}", "client_secret": client.secret},
        {"client_id": client.id, "client_secret": POISON},
        {"client_id": client.id, "client_secret": client.secret, "scope": POISON},
        {"client_id": client.id, "client_secret": client.secret, "resource": POISON},
        {"client_id": client.id, "client_secret": client.secret, "grant_type": POISON},
        {POISON: POISON},
    ):
        for member in (form, {k: v.replace("\0", "") for k, v in form.items()}):
            answer = await http.post("/token", data={**GRANT, **member}, headers=headers)
            assert answer.status_code == 400
            sent += 1
    for path in (f"/{quote_plus(POISON)}", f"/token?{quote_plus(POISON)}"):
        await http.get(path, headers=headers)
        sent += 1
    answer = await http.post("/token", data=GRANT, auth=(POISON, POISON), headers=headers)
    assert answer.status_code == 401
    assert len(lines()) == sent + 1
    assert "forged" not in json.dumps(lines())
    assert {line["event"] for line in lines()} == {"request"}


async def test_a_method_of_a_strangers_own_is_escaped(
    http: httpx.AsyncClient, lines: Lines
) -> None:
    """ATK-95: the one thing sent that the line repeats."""
    answer = await http.request(POISON, "/token")
    assert answer.status_code == 405
    assert [line["event"] for line in lines()] == ["request"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "203.0.113.7"])
@pytest.mark.parametrize(
    ("sent", "well"),
    [
        ([b"0123abcd-ABCD.ef_9"], True),
        ([b"a" * 64], True),
        ([], False),
        ([b"a" * 7], False),
        ([b"a" * 65], False),
        ([b"abcdefgh\n"], False),
        ([b"abc defgh"], False),
        ([b"abcdefg\xe9"], False),
        ([b"abcdefgh", b"abcdefgh"], False),
    ],
    ids=str,
)
async def test_a_request_id_is_kept_if_a_proxy_sent_a_fit_one(
    app: App, lines: Lines, peer: str, sent: list[bytes], *, well: bool
) -> None:
    """ATK-91, ATK-95: every other request gets one of its own."""
    headers = [(b"x-request-id", value) for value in sent]
    async with http_to(app, client=(peer, 4711)) as http:
        answers = [
            await http.get(f"https://localhost:8000{DOCUMENT}", headers=headers) for _ in range(2)
        ]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert [line["request_id"] for line in lines()] == ids
    if well and peer == "127.0.0.1":
        assert ids == [sent[0].decode()] * 2
    else:
        assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)
        assert ids[0] != ids[1]


async def test_strangers_make_no_time_series(app: App, http: httpx.AsyncClient) -> None:
    """ATK-100: paths, queries and client ids are no labels."""
    for number in range(30):
        for path in (f"/p{number}", f"/token/{number}", f"//token?{number}", f"/token;{number}"):
            await http.get(path)
        await http.post(f"/token?x={number}", data=GRANT, auth=(f"client-{number}", "x"))
    seen = {
        sample.labels["route"]
        for metric in app.services.metrics.registry.collect()
        for sample in metric.samples
        if "route" in sample.labels
    }
    assert seen <= LABELS
    assert "client-1" not in (await http.get("/metrics")).text


async def test_neither_log_nor_metrics_hold_a_secret(
    http: httpx.AsyncClient, make_client: MakeClient, lines: Lines
) -> None:
    """ATK-96."""
    client = await make_client()
    header = httpx.BasicAuth(*client.auth)._auth_header.removeprefix("Basic ")
    answer = await http.post("/token", data=GRANT, auth=client.auth)
    token = answer.json()["access_token"]
    for path in ("/introspect", "/revoke", "/token"):
        form = {"client_id": client.id, "client_secret": client.secret, "token": token}
        await http.post(path, data=form)
        await http.post(f"{path}?client_secret={client.secret}", data={"token": token})
        await http.post(path, data={"token": token}, auth=(client.secret, client.id))
        await http.post(path, json={"client_secret": client.secret})
    metrics = (await http.get("/metrics")).text
    assert len(lines()) == 13
    for secret in (client.secret, header, token, token.split(".")[2]):
        assert secret not in json.dumps(lines())
        assert secret not in metrics


async def test_a_fault_of_ours_is_told_to_the_log_alone(
    app: App, http: httpx.AsyncClient, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LIB-12: 500 at an endpoint, in the framework and around both, without a word of the cause."""
    monkeypatch.setattr(app.services.clients, "find", boom)
    monkeypatch.setattr(app.services.keyring, "key_set", boom_now)
    broken = App(asgi=Edge({}, boom, app.services), services=app.services)
    async with http_to(broken) as broken_http:
        answers = [
            await http.post("/token", data=GRANT, auth=("some-client", "x")),
            await http.get("/.well-known/jwks.json"),
            await broken_http.get("/anything"),
        ]
    for answer in answers:
        assert_refused(answer, "server_error", 500)
        assert answer.json()["error_description"] == "the server failed; the fault is logged"
        assert not re.search(f"{SECRET}|RuntimeError|Traceback", answer.text + str(answer.headers))
    failures = [line for line in lines() if line["event"] == "failure"]
    assert len(failures) == 3
    assert all(f"RuntimeError: {SECRET}" in line["exception"] for line in failures)
    requests = [line for line in lines() if line["event"] == "request"]
    assert [line["status"] for line in requests] == [500, 500, 500]


async def test_a_fault_after_the_answer_began_is_logged_too(app: App, lines: Lines) -> None:
    async def begin_and_fail(_scope, _receive, send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError(SECRET)

    sent = []

    async def send(message: dict) -> None:
        sent.append(message["type"])

    headers = [(b"host", b"localhost:8000")]
    scope = {"type": "http", "method": "GET", "scheme": "https", "path": "/", "headers": headers}
    await Edge({}, begin_and_fail, app.services)(scope, send, send)
    assert sent == ["http.response.start"]
    assert [line["event"] for line in lines()] == ["failure", "request"]
    assert lines()[1]["error"] == "server_error"


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), TimeoutError()])
async def test_an_outage_is_no_fault(
    app: App,
    http: httpx.AsyncClient,
    lines: Lines,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    """503 with Retry-After, so that clients come back; no traceback."""

    async def away(_: str) -> None:
        raise error

    monkeypatch.setattr(app.services.clients, "find", away)
    answer = await http.post("/token", data=GRANT, auth=("some-client", "x"))
    assert_refused(answer, "temporarily_unavailable", 503)
    assert answer.headers.get_list("retry-after") == ["1"]
    assert [line["event"] for line in lines()] == ["request"]
