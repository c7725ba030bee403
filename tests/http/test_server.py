"""The server on real sockets: ATK-93, ATK-100, ATK-101, TOK-41; its time limits, drain and TLS."""

import asyncio
import contextlib
import errno
import http.client
import ipaddress
import json
import logging
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from service.http import listening
from service.http.listening import ListenError, TlsFiles, bind, tls_context
from service.http.protocol import Limits
from service.http.server import DEFAULT_LIMITS, StartUpError, serve

ROOT = Path(__file__).parents[2]
SECOND = timedelta(seconds=1)
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LAST = b"Connection: close\r\n\r\n"


async def app(scope, receive, send):
    """Answer with what arrived; /early before the body, /sleep/x after x seconds.

    /late looks at the body after half a second only.
    """
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    if scope["path"] == "/late":
        await asyncio.sleep(0.5)
    length, more = 0, scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length, more = length + len(message["body"]), message["more_body"]
    if scope["path"].startswith("/sleep/"):
        await asyncio.sleep(float(scope["path"][7:]))
    names = [name.decode() for name, _ in scope["headers"]]
    seen = {"method": scope["method"], "path": scope["path"], "length": length, "names": names}
    body = json.dumps(seen | {"scheme": scope["scheme"]}).encode()
    if scope["path"] == "/large":
        body = bytes(20_000_000)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextlib.contextmanager
def serving(limits=DEFAULT_LIMITS, *, tls=None) -> Iterator[int]:
    """A server in a thread; gives its port."""
    sockets, ready, control = bind(["127.0.0.1:0"]), threading.Event(), {}
    port = sockets[0].getsockname()[1]

    async def main() -> None:
        control["loop"], control["task"] = asyncio.get_running_loop(), asyncio.current_task()
        with contextlib.suppress(asyncio.CancelledError):
            options = {"limits": limits, "tls": tls, "drain": SECOND, "grace": SECOND}
            await serve(app, sockets, **options, on_ready=ready.set, on_drain=lambda: None)

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())

    thread = threading.Thread(target=run)
    thread.start()
    assert ready.wait(5)
    try:
        yield port
    finally:
        control["loop"].call_soon_threadsafe(control["task"].cancel)
        thread.join(5)
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as port:
        yield port


@pytest.fixture(autouse=True)
def no_traceback(caplog) -> Iterator[None]:
    yield
    records = caplog.get_records("call")
    assert [each.getMessage() for each in records if each.levelno >= logging.WARNING] == []


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=5)


def read_answer(client: socket.socket) -> http.client.HTTPResponse:
    answer = http.client.HTTPResponse(client)
    answer.begin()
    answer.text = answer.read()
    return answer


def read_answers(client: socket.socket) -> list[tuple[int, dict]]:
    """All answers up to the end of the connection, which must come within the time-out."""
    with client, client.makefile("rb") as stream:
        rest, answers = stream.read(), []
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers["content-length"])
        answers.append((int(status.split()[1]), json.loads(rest[:size]) | {"headers": headers}))
        rest = rest[size:]
    return answers


def exchange(port: int, *segments: bytes) -> list[tuple[int, dict]]:
    client = connect(port)
    for segment in segments:
        client.sendall(segment)
    return read_answers(client)


def assert_refused(answers: list[tuple[int, dict]], status: int) -> None:
    assert [answer[0] for answer in answers] == [status]
    body = answers[0][1]
    assert body["error"] == ("temporarily_unavailable" if status == 503 else "invalid_request")
    assert body["error_description"]
    assert body["headers"]["content-type"] == "application/json"
    assert body["headers"]["cache-control"] == "no-store"
    assert body["headers"]["connection"] == "close"


MALFORMED = {
    "equal content-lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two content-lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "listed content-lengths": POST + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed content-length": POST + b"Content-Length: +3\r\n\r\nabc",
    "endless content-length": POST + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "length then chunks": POST
    + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks then length": POST
    + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n\x1f\x8b",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "vertical tab before chunked": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "two transfer-encodings": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "chunked, then identity": (
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"
    ),
    "chunks in HTTP/1.0": b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunk extension": CHUNKED + b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "chunk extension at the end": CHUNKED + b"3\r\nabc\r\n0;a\r\n\r\n",
    "chunk size of another base": CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
    "negative chunk size": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
    "chunk size with space": CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
    "chunk size overflow": CHUNKED + b"fffffffffffffffff\r\nabc",
    "no chunk size": CHUNKED + b"\r\nabc\r\n0\r\n\r\n",
    "chunk longer than said": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "bare LF after chunk size": CHUNKED + b"3\nabc\r\n0\r\n\r\n",
    "trailer": CHUNKED + b"0\r\nAuthorization: Basic eDp5\r\n\r\n",
    "bare LF everywhere": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare LF after request line": b"GET / HTTP/1.1\nHost: a\r\n\r\n",
    "bare LF after header": GET + b"X: a\nY: b\r\n\r\n",
    "bare LF at the end": GET + b"\n",
    "NUL in value": GET + b"X: a\0b\r\n\r\n",
    "CR in value": GET + b"X: a\rb\r\n\r\n",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "space before colon": GET + b"X : a\r\n\r\n",
    "space in name": GET + b"X Y: a\r\n\r\n",
    "no name": GET + b": a\r\n\r\n",
    "no colon": GET + b"X\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
    "HTTP/0.9 by name": b"GET / HTTP/0.9\r\nHost: a\r\n\r\n",
    "HTTP/1.2": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "URL of another host": b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "URL with user": b"GET http://a@b/ HTTP/1.1\r\nHost: b\r\n\r\n",
    "URL without Host": b"GET http://a/ HTTP/1.0\r\n\r\n",
    "another scheme": b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "asterisk": b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
    "fragment": b"GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
    "high byte in target": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n",
    "NUL in target": b"GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n",
    "no Host": b"GET / HTTP/1.1\r\nX: a\r\n\r\n",
    "two Hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "two Hosts in HTTP/1.0": b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n",
    "empty Host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "Host with path": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "Host with user": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "TLS to a plain port": b"\x16\x03\x01\x02\x00\x01\x00",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=MALFORMED)
def test_malformed_request_is_refused_and_the_connection_closed(port, request_bytes):
    """A request after it is not looked at."""
    assert_refused(exchange(port, request_bytes + GET + LAST), 400)


@pytest.mark.parametrize("name", [name for name in MALFORMED if "chunk" in name or "LF" in name])
def test_malformed_request_is_refused_however_it_is_cut(port, name):
    with connect(port) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(ConnectionError):
            for byte in MALFORMED[name]:
                client.sendall(bytes([byte]))
        assert_refused(read_answers(client), 400)


ACCEPTED = {
    "spaces around framing": (POST + b"Content-Length:  3 \r\n", b"abc", 3),
    "chunks": (
        POST + b"Transfer-Encoding: Chunked\r\n",
        b"3\r\na\n;\r\n00A\r\n0123456789\r\n0\r\n\r\n",
        13,
    ),
    "HTTP/1.0 without Host": (b"GET / HTTP/1.0\r\n", b"", 0),
    "IPv6 Host with port": (b"GET / HTTP/1.1\r\nHost: [::1]:8000\r\n", b"", 0),
    "URL of the Host": (b"GET http://A:80/ HTTP/1.1\r\nHost: a:80\r\n", b"", 0),
    "URL without path": (b"GET http://a?x HTTP/1.1\r\nHost: a\r\n", b"", 0),
    "TRACE": (b"TRACE / HTTP/1.1\r\nHost: a\r\n", b"", 0),
    "Expect": (POST + b"Expect: other\r\nContent-Length: 1\r\n", b"a", 1),
    "websocket": (GET + b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", b"", 0),
}


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED)
@pytest.mark.parametrize("cut", [1, 7, 10_000])
def test_sound_request_reaches_the_application(port, case, cut):
    head, body, length = case
    connection = b"close, upgrade" if b"Upgrade" in head else b"close"
    data = head + b"Connection: " + connection + b"\r\n\r\n" + body
    [(status, seen)] = exchange(port, *(data[at : at + cut] for at in range(0, len(data), cut)))
    assert (status, seen["path"], seen["length"]) == (200, "/", length)
    assert (seen["method"], seen["scheme"]) == (head.split()[0].decode(), "http")
    assert "server" not in seen["headers"]


def test_connect_is_refused(port):
    answers = exchange(port, b"CONNECT b:80 HTTP/1.1\r\nHost: b:80\r\n\r\n" + GET + LAST)
    assert_refused(answers, 405)
    assert "b:80" not in str(answers)


@pytest.mark.parametrize("together", [True, False])
def test_offer_of_another_protocol_is_ignored_and_the_body_read(port, together):
    """As Java's HttpClient posts; with the body taken for a request, 'GET' would be answered."""
    offer = (
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIA\r\n"
    )
    head, body = POST + offer + b"Content-Length: %d\r\n\r\n" % len(GET + LAST), GET + LAST
    answers = exchange(port, *([head + body + body] if together else [head, body, body]))
    assert [(each["method"], each["length"]) for _, each in answers] == [
        ("POST", len(body)),
        ("GET", 0),
    ]
    assert "upgrade" not in answers[0][1]["names"]


def test_chunked_request_keeps_the_connection(port):
    answers = exchange(port, CHUNKED + b"3\r\nabc\r\n0\r\n\r\n" + GET + LAST)
    assert [each["length"] for _, each in answers] == [3, 0]


TOO_MUCH = {
    "target": (414, b"GET /" + b"a" * 8192 + b" HTTP/1.1\r\nHost: a\r\n\r\n"),
    "one header": (431, GET + b"X: " + b"a" * 65_536 + b"\r\n\r\n"),
    "many headers": (431, GET + b"X: a\r\n" * 1000 + b"\r\n"),
    "head without end": (431, GET + b"X: " + b"a" * 40_000),
    "head of many headers": (431, GET + (b"X: " + b"a" * 1000 + b"\r\n") * 50 + b"\r\n"),
}


@pytest.mark.parametrize(("status", "request_bytes"), TOO_MUCH.values(), ids=TOO_MUCH)
@pytest.mark.parametrize("cut", [100, 1_000_000])
def test_large_head_is_refused(port, status, request_bytes, cut):
    cuts = range(0, len(request_bytes), cut)
    assert_refused(exchange(port, *(request_bytes[at : at + cut] for at in cuts)), status)


def test_large_head_within_the_limits_and_a_large_body_are_served(port):
    target = b"/" + b"a" * 8191
    head = b"POST " + target + b" HTTP/1.1\r\nHost: a\r\n" + (b"X: " + b"a" * 400 + b"\r\n") * 50
    head += b"Content-Length: 200000\r\n" + LAST
    [(status, seen)] = exchange(port, head + b"b" * 200_000)
    assert (status, seen["length"], len(seen["path"])) == (200, 200_000, 8192)


def test_pipelined_requests_are_answered_in_order(port):
    slow = GET.replace(b"/ ", b"/sleep/0.1 ") + b"\r\n"
    answers = exchange(port, slow + POST + b"Content-Length: 2\r\n\r\nab" + GET + LAST)
    assert [(each["path"], each["method"]) for _, each in answers] == [
        ("/sleep/0.1", "GET"),
        ("/", "POST"),
        ("/", "GET"),
    ]


@pytest.mark.parametrize("broken", [b"\0", CHUNKED + b"x\r\n", GET + b"Host: b\r\n\r\n"])
def test_refusal_waits_for_the_answers_before_it(port, broken):
    slow = GET.replace(b"/ ", b"/sleep/0.1 ") + b"\r\n"
    answers = exchange(port, slow + GET + b"\r\n" + broken)
    assert [status for status, _ in answers] == [200, 200, 400]


def test_pipeline_has_an_end():
    with serving(Limits(pipelined=4)) as port:
        answers = exchange(
            port, (GET.replace(b"/ ", b"/sleep/0.1 ") + b"\r\n") + (GET + b"\r\n") * 1000
        )
    assert [status for status, _ in answers] == [200] * 5 + [400]


def test_kept_connection_serves_again(port):
    with connect(port) as client:
        for path in (b"/", b"/early", b"/"):
            client.sendall(POST.replace(b"/ ", path + b" ") + b"Content-Length: 3\r\n\r\nabc")
            assert read_answer(client).status == 200


def repeat_for_seconds(seconds: float, act, *arguments) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        act(*arguments)


def dribble(client: socket.socket, byte: bytes) -> list[tuple[int, dict]]:
    """Send a byte every 50 ms until an answer comes."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        client.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            client.recv(1, socket.MSG_PEEK)
            break
        client.sendall(byte)
    client.settimeout(5)
    return read_answers(client)


def test_slow_head_is_refused():
    with serving(Limits(head_seconds=0.3)) as port:
        assert_refused(exchange(port), 408)
        with connect(port) as client:
            client.sendall(GET + b"X: ")
            assert_refused(dribble(client, b"a"), 408)
        with connect(port) as client:
            client.sendall(GET + b"\r\n")
            assert read_answer(client).status == 200
            client.sendall(GET + b"X: ")
            assert_refused(dribble(client, b"a"), 408)


def test_slow_body_is_refused_but_a_slow_application_is_not():
    with serving(Limits(body_seconds=0.3)) as port:
        with connect(port) as client:
            client.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
            assert client.recv(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
            assert_refused(dribble(client, b"a"), 408)
        late = POST.replace(b"/ ", b"/late ") + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n"
        slow = GET.replace(b"/ ", b"/sleep/0.6 ") + LAST
        with connect(port) as client, client.makefile("rb") as stream:
            client.sendall(late)
            assert stream.read().startswith(b"HTTP/1.1 408 ")
            assert [status for status, _ in exchange(port, slow)] == [200]
        with connect(port) as client:  # answered already: a second answer would be a lie
            client.sendall(POST.replace(b"/ ", b"/early ") + b"Content-Length: 1000\r\n\r\n")
            assert [status for status, _ in read_answers(client)] == [200]


def test_idle_connection_is_closed_without_a_word():
    with serving(Limits(idle_seconds=0.3, head_seconds=60)) as port, connect(port) as client:
        client.sendall(GET + b"\r\n")
        assert read_answer(client).status == 200
        assert client.recv(1) == b""


def test_client_that_reads_nothing_is_dropped():
    with serving(Limits(body_seconds=0.3)) as port, connect(port) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(GET.replace(b"/ ", b"/large ") + b"\r\n")
        with pytest.raises(ConnectionError):
            repeat_for_seconds(2, client.sendall, b"\r\n")


def test_connections_over_the_limit_get_503():
    with serving(Limits(connections=3)) as port:
        held = [connect(port) for _ in range(3)]
        for client in held:
            client.sendall(GET + b"\r\n")
            assert read_answer(client).status == 200
        refused = exchange(port)
        assert_refused(refused, 503)
        assert refused[0][1]["headers"]["retry-after"] == "1"
        crowd = [connect(port) for _ in range(20)]  # none of whom takes the answer
        assert crowd[-1].recv(1) == b""
        for client in [*held, *crowd]:
            client.close()
        deadline = time.monotonic() + 5
        while (status := exchange(port, GET + LAST)[0][0]) == 503 and time.monotonic() < deadline:
            pass
        assert status == 200


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GE",
        GET,
        CHUNKED + b"3\r\na",
        POST + b"Content-Length: 9\r\n\r\na",
        GET + b"\r\n",
        (GET + b"\r\n") * 3,
    ],
)
def test_vanishing_client_leaves_no_trace(port, sent, reset):
    client = connect(port)
    client.sendall(sent.replace(b"GET / ", b"GET /sleep/0.1 "))
    if reset:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert exchange(port, GET.replace(b"/ ", b"/sleep/0.1 ") + LAST)[0][0] == 200


@pytest.fixture(scope="module")
def tls_files(tmp_path_factory) -> TlsFiles:
    folder: Path = tmp_path_factory.mktemp("tls")
    files = TlsFiles(folder / "certificate.pem", folder / "key.pem")
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "watchword test")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - SECOND)
        .not_valid_after(now + 3600 * SECOND)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.private_key.write_bytes(key.private_bytes(*pem, serialization.NoEncryption()))
    return files


def test_tls_serves_and_refuses_as_plain_http_does(tls_files):
    trust = ssl.create_default_context(cafile=str(tls_files.certificate))
    with serving(Limits(head_seconds=0.5), tls=tls_files) as port:
        for data, status in ((GET + LAST, 200), (GET + b"Host: b\r\n\r\n", 400), (b"", 408)):
            client = trust.wrap_socket(connect(port), server_hostname="127.0.0.1")
            client.sendall(data)
            [(got, answer)] = read_answers(client)
            assert (got, answer.get("scheme", "https")) == (status, "https")


def test_tls_drops_old_versions_and_other_protocols(tls_files):
    assert tls_context(tls_files).minimum_version == ssl.TLSVersion.TLSv1_2
    with serving(Limits(head_seconds=0.3), tls=tls_files) as port:
        for sent in (b"", GET + b"\r\n"):
            with connect(port) as client:
                client.sendall(sent)
                with contextlib.suppress(ConnectionError):
                    assert b"HTTP" not in client.recv(100)


@pytest.mark.parametrize("content", [None, "not a key"])
def test_unusable_certificate_is_said_in_a_line(tmp_path, content):
    files = TlsFiles(tmp_path / "certificate.pem", tmp_path / "key.pem")
    if content:
        files.certificate.write_text(content)
        files.private_key.write_text(content)
    options = {"drain": SECOND, "grace": SECOND, "tls": files, "on_drain": lambda: None}
    with pytest.raises(ListenError, match=r"certificate\.pem with the key .*key\.pem: ") as caught:
        asyncio.run(serve(app, bind(["127.0.0.1:0"]), **options))
    assert "\n" not in str(caught.value)


def test_failing_start_up_is_raised(caplog):
    async def failing(scope, receive, send):
        del scope
        await receive()
        await send({"type": "lifespan.startup.failed", "message": ""})

    options = {"drain": SECOND, "grace": SECOND, "on_drain": lambda: None}
    with pytest.raises(StartUpError):
        asyncio.run(serve(failing, bind(["127.0.0.1:0"]), **options))
    caplog.clear()


CHILD = """
import asyncio, sys, time, uvloop
from datetime import timedelta
from service.http.listening import bind
from service.http.server import serve

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        print("starting", flush=True)
        await asyncio.sleep(float(sys.argv[1]))
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        return
    print("asked", flush=True)
    if scope["path"] == "/stall":
        time.sleep(1)
    while (message := await receive()).get("more_body"):
        pass
    if message["type"] == "http.request":
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body"})

sockets = bind(["127.0.0.1:0"])
port = sockets[0].getsockname()[1]
asyncio.Runner(loop_factory=uvloop.new_event_loop).run(serve(
    app, sockets,
    drain=timedelta(seconds=float(sys.argv[2])), grace=timedelta(seconds=float(sys.argv[3])),
    on_ready=lambda: print("ready", port, flush=True),
    on_drain=lambda: print("draining", flush=True),
))
print("stopped", flush=True)
"""


@contextlib.contextmanager
def child(*, start: float = 0, drain: float, grace: float) -> Iterator[subprocess.Popen]:
    command = [sys.executable, "-W", "error", "-c", CHILD, str(start), str(drain), str(grace)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, cwd=ROOT, text=True) as process:
        try:
            assert process.stdout.readline() == "starting\n"
            yield process
        finally:
            process.kill()


def child_port(process: subprocess.Popen) -> int:
    word, port = process.stdout.readline().split()
    assert word == "ready"
    return int(port)


def begin_request(process: subprocess.Popen, port: int) -> socket.socket:
    client = connect(port)
    client.sendall(POST + b"Content-Length: 2\r\n\r\na")
    assert process.stdout.readline() == "asked\n"
    return client


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_drains_then_finishes_what_is_in_flight(number):
    with child(drain=0.5, grace=10) as process:
        port = child_port(process)
        with connect(port) as idle, begin_request(process, port) as waiting:
            process.send_signal(number)
            assert process.stdout.readline() == "draining\n"
            with connect(port) as newcomer:
                newcomer.sendall(GET + b"\r\n")
                answer = read_answer(newcomer)
                assert (answer.status, answer.headers["connection"]) == (204, "close")
            assert idle.recv(1) == b""
            with pytest.raises(ConnectionRefusedError):
                connect(port)
            waiting.sendall(b"b")
            assert read_answer(waiting).status == 204
        output, errors = process.communicate(timeout=5)
        assert (output, errors, process.returncode) == ("asked\nstopped\n", "", 0)


def test_second_signal_skips_the_drain():
    with child(drain=60, grace=10) as process:
        child_port(process)
        process.terminate()
        assert process.stdout.readline() == "draining\n"
        process.terminate()
        assert process.communicate(timeout=5) == ("stopped\n", "")
        assert process.returncode == 0


def test_grace_has_an_end():
    with child(drain=0, grace=0.3) as process, begin_request(process, child_port(process)):
        process.terminate()
        output, errors = process.communicate(timeout=5)
        assert (output, process.returncode) == ("draining\nstopped\n", 0)
        assert "timeout graceful shutdown exceeded" in errors


def test_signal_during_start_up_ends_it():
    with child(start=60, drain=60, grace=60) as process:
        process.terminate()
        assert process.communicate(timeout=5) == ("stopped\n", "")


def test_taken_port_is_said_in_a_line():
    [taken] = bind(["127.0.0.1:0"])
    with taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            bind(["127.0.0.1:0", f"127.0.0.1:{port}"])
    assert str(caught.value) == (
        f"port {port} on 127.0.0.1 is taken by another process; "
        "choose another with WATCHWORD_LISTEN or --port"
    )


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8000",
        ":8000",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:x",
        "127.0.0.1:65536",
        "127.1:8000",
        "localhost:8000",
        "192.0.2.1:0",
        "::1:8000",
        "[::1]",
        "[127.0.0.1]:8000",
    ],
)
def test_bad_address_is_said_in_a_line(address):
    with pytest.raises(ListenError) as caught:
        bind([address])
    assert "WATCHWORD_LISTEN" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_families_share_a_port():
    first = bind(["0.0.0.0:0"])
    port = first[0].getsockname()[1]
    second = bind([f"[::]:{port}"], ipv6_optional=True)
    for each in (*first, *second):
        each.close()


def test_absent_ipv6_loopback_can_be_left_out(monkeypatch):
    really = listening._listening

    def without_ipv6(host, port):
        if host.version == 6:
            raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL))
        return really(host, port)

    monkeypatch.setattr(listening, "_listening", without_ipv6)
    [only] = bind(["127.0.0.1:0", "[::1]:0"], ipv6_optional=True)
    only.close()
    with pytest.raises(ListenError, match="::1 is not an address of this machine"):
        bind(["127.0.0.1:0", "[::1]:0"])
