"""The synchronous twin: from any thread, and in each process anew."""

import json
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from uuid import uuid4

import pytest
from watchword_verifier import (
    InsufficientScope,
    Malformed,
    Revoked,
    SyncVerifier,
    UnknownKey,
)

from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.conftest import AUDIENCE
from tests.verifier.conftest import LivePod, Options


@pytest.fixture
def verifier(options: Options):
    with SyncVerifier(**options) as opened:
        assert opened.ready
        yield opened


def test_tokens_are_verified_and_refused(verifier: SyncVerifier, pod: LivePod) -> None:
    client = pod.make_client()
    token = pod.token(client)
    assert verifier.verify(token, scopes=["orders:read"]).client_id == client.id
    with pytest.raises(InsufficientScope):
        verifier.verify(token, scopes=["orders:delete"])
    with pytest.raises(Malformed):
        verifier.verify("a.b.c")
    pod.revoke(client, token)
    deadline = time.monotonic() + 10
    while _is_good(verifier, token):
        assert time.monotonic() < deadline
    assert verifier.staleness is not None
    assert verifier.status.tokens["InsufficientScope"] == 1


def _is_good(verifier: SyncVerifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except Revoked:
        return False
    return True


def test_an_unknown_key_is_asked_for(verifier: SyncVerifier, pod: LivePod) -> None:
    now = int(time.time())
    claims = {"iss": pod.url, "aud": AUDIENCE, "sub": "a", "client_id": "a", "scope": "a"}
    claims |= {"iat": now, "exp": now + 60, "jti": str(uuid4())}
    with pytest.raises(UnknownKey):
        verifier.verify(sign(PrivateKey.generate(), "at+jwt", claims))


def test_many_threads_share_one(verifier: SyncVerifier, pod: LivePod) -> None:
    tokens = [pod.token() for _ in range(4)]
    failures: list[Exception] = []

    def work(token: str) -> None:
        try:
            for _ in range(500):
                verifier.verify(token)
        except Exception as error:  # noqa: BLE001 (told below)
            failures.append(error)

    threads = [threading.Thread(target=work, args=(token,)) for token in tokens * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_closing_stops_its_thread(options: Options) -> None:
    before = threading.active_count()
    verifier = SyncVerifier(**options)
    assert threading.active_count() == before
    verifier.start()
    assert "watchword-verifier" in {thread.name for thread in threading.enumerate()}
    verifier.close()
    verifier.close()
    assert "watchword-verifier" not in {thread.name for thread in threading.enumerate()}


def test_a_server_may_fork_after_it_was_used(
    options: Options, pod: LivePod, tmp_path: Path
) -> None:
    """As gunicorn does: each process starts one of its own."""
    program = textwrap.dedent(
        """
        import json, os, sys
        from watchword_verifier import SyncVerifier
        verifier = SyncVerifier(**json.loads(sys.argv[1]))
        print(verifier.verify(sys.argv[2]).client_id, flush=True)
        if os.fork() == 0:
            print(verifier.verify(sys.argv[2]).client_id, verifier.status.ready, flush=True)
            os._exit(0)
        os.wait()
        print(verifier.verify(sys.argv[2]).client_id, flush=True)
        verifier.close()
        """
    )
    client = pod.make_client()
    said = subprocess.run(
        [sys.executable, "-c", program, json.dumps(options), pod.token(client)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=60,
    )
    assert said.stdout.splitlines() == [client.id, f"{client.id} True", client.id]


def test_a_fork_while_another_thread_starts_it_is_no_trap(tmp_path: Path) -> None:
    """What that thread held at the fork, nobody in the child would ever give back."""
    program = textwrap.dedent(
        """
        import os, sys, threading, time
        from datetime import timedelta
        from watchword_verifier import KeysUnavailable, SyncVerifier
        verifier = SyncVerifier(
            issuer="http://127.0.0.1:9", audience="a", start_timeout=timedelta(seconds=1)
        )
        threading.Thread(target=verifier.start).start()
        while not verifier._locks[os.getpid()].locked():
            pass
        if os.fork() == 0:
            try:
                verifier.verify("a.b.c")
            except KeysUnavailable:
                print("judged", flush=True)
            os._exit(0)
        os.wait()
        verifier.close()
        """
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=30,
    )
    assert said.stdout == "judged\n"


def test_one_that_cannot_start_leaves_no_thread_behind(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    verifier, before = SyncVerifier(**options), threading.active_count()
    for _ in range(3):
        with pytest.raises(ImportError, match="watchword-verifier\\[redis\\]"):
            verifier.verify("a.b.c")
    assert threading.active_count() == before
