"""watchword serve, told to stop while followers of the feed wait: nobody waits for them."""

import json
import signal
import socket
import time
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.cli.pods import serve
from tests.faults.failover_support import Pod, free_port, until


@pytest.fixture
def stopping(environment: Mapping[str, str], tmp_path: Path) -> Iterator[Pod]:
    """A pod of the test's own that drains for two seconds, ready."""
    mine = {
        **environment,
        "WATCHWORD_LISTEN": f"127.0.0.1:{free_port()}",
        "WATCHWORD_DRAIN": "2s",
    }
    with serve(mine, tmp_path) as pod:
        until(pod.is_ready)
        yield pod


def follow(pod: Pod) -> socket.socket:
    """A long poll under way, by a follower that has everything."""
    beat = pod.http.get("/revocations", params={"wait": 0}).json()["heartbeat"]
    claims = beat.split(".")[1]  # unproven, which is not what this is about
    place = json.loads(urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
    address = pod.url.removeprefix("http://")
    peer = socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), 10)
    target = f"/revocations?epoch={place['epoch']}&after={place['head']}"
    peer.sendall(f"GET {target} HTTP/1.1\r\nHost: {address}\r\n\r\n".encode())
    return peer


def waiting(pod: Pod) -> float:
    name = "watchword_feed_followers "
    lines = pod.http.get("/metrics").text.splitlines()
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def test_a_follower_that_closes_its_connection_waits_no_more(stopping: Pod) -> None:
    peers = [follow(stopping) for _ in range(3)]
    until(lambda: waiting(stopping) == 3)
    for peer in peers:
        peer.close()
    until(lambda: waiting(stopping) == 0, seconds=5)


def test_followers_are_sent_away_when_the_drain_begins(
    stopping: Pod,
) -> None:
    peers = [follow(stopping) for _ in range(3)]
    until(lambda: waiting(stopping) == 3)
    time.sleep(1)
    stopping.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    for peer in peers:
        with peer:
            answer = b"".join(iter(lambda peer=peer: peer.recv(65536), b""))
            assert answer.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" in answer.lower()
    assert time.monotonic() - began < 1
    with follow(stopping) as late:
        answer = late.recv(65536)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert stopping.process.wait(10) == 0
    assert time.monotonic() - began < 5
    assert stopping.failures() == []
