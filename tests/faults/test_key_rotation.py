"""Keys that rotate under load, and one that is killed: three pods, eight verifiers. JWKS-4, JWKS-6.

Time is scaled: a minute is a twentieth of a second, so that whoever caches the key set for 20
minutes does so for a second, and an hour is 3 s: so long a key is published before it signs.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from watchword_verifier import SyncVerifier, VerifierError

from tests.conftest import AUDIENCE
from tests.faults.failover_support import Pod
from tests.faults.processes import Deployment, free_url, open_deployment, until
from tests.faults.verifiers import make_verifier

pytestmark = pytest.mark.slow

ROTATIONS = 10
TIMES = {
    "WATCHWORD_KEY_ROTATION": "3s",
    "WATCHWORD_KEY_PUBLICATION": "3s",
    "WATCHWORD_KEY_RETIREMENT": "4s",
    "WATCHWORD_JWKS_MAX_AGE": "1s",
}
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
ALGORITHMS = ["RS256", "ES256"]
# How long a token is used: ten scaled minutes.
TOKEN_SECONDS = 0.5

Verify = Callable[[str], object]


class RotatingSite(Deployment):
    """A deployment whose keys live for seconds; pods may have clocks of their own."""

    clock = ""

    def environment(self, database_url: str) -> dict[str, str]:
        faked = {"LD_PRELOAD": str(FAKETIME), "FAKETIME": self.clock, "DONT_FAKE_MONOTONIC": "1"}
        own_clock = faked if self.clock else {}
        return {**super().environment(database_url), **TIMES, **own_clock}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RotatingSite]:
    """PostgreSQL, Redis and master keys; no pod so far. Our verifier's minutes are scaled, too."""
    monkeypatch.setattr("watchword_verifier._key_set._MIN_AGE", 0.5)
    with open_deployment(tmp_path, RotatingSite) as site:
        site.run(site.database_url, "migrate")
        yield site


class CachingVerifier:
    """As Envoy and Istio do: fetches the key set every so often, and never because of a token."""

    def __init__(self, issuer: str, seconds: float) -> None:
        self._url = f"{issuer}/.well-known/jwks.json"
        self._seconds = seconds
        self._fetched = float("-inf")
        self._keys: dict[str, Any] = {}

    def verify(self, token: str) -> object:
        if time.monotonic() - self._fetched >= self._seconds:
            answer = httpx.get(self._url, timeout=5).raise_for_status().json()
            self._keys = {key["kid"]: jwt.PyJWK(key).key for key in answer["keys"]}
            self._fetched = time.monotonic()
        kid = jwt.get_unverified_header(token)["kid"]
        return jwt.decode(
            token, self._keys[kid], algorithms=ALGORITHMS, audience=AUDIENCE, leeway=35
        )


def fetching_verifier(issuer: str) -> Verify:
    """PyJWKClient: caches, and asks again at an unknown kid."""
    keys = jwt.PyJWKClient(f"{issuer}/.well-known/jwks.json", lifespan=1)

    def verify(token: str) -> object:
        key = keys.get_signing_key_from_jwt(token).key
        return jwt.decode(token, key, algorithms=ALGORITHMS, audience=AUDIENCE, leeway=35)

    return verify


@dataclass(slots=True)
class Traffic:
    """Tokens issued by every pod in turn, and used by every verifier, at once and a while later.

    The clients' turns are others than the pods', so that each gets tokens from each. `kids`: of
    the keys that signed with RS256.
    """

    pods: list[Pod]
    client: tuple[str, str]
    es256_client: tuple[str, str]
    verifiers: dict[str, Verify]
    kids: list[str] = field(default_factory=list)
    es256_kids: set[str] = field(default_factory=set)
    verified: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        recent: list[tuple[float, str]] = []
        clients = itertools.cycle([self.client, self.es256_client])
        while not self.stop.is_set():
            for pod in self.pods:
                token = pod.token(next(clients))
                self._note_kid(**jwt.get_unverified_header(token))
                recent.append((time.monotonic(), token))
                self._use(token)
            while recent and (age := time.monotonic() - recent[0][0]) > TOKEN_SECONDS:
                _, token = recent.pop(0)
                if age < 2 * TOKEN_SECONDS:  # else this machine stood still, and it is over
                    self._use(token)
            time.sleep(0.03)

    def saw(self, rotations: int) -> bool:
        """Whether enough was verified, by so many keys of RS256, and half as many of ES256."""
        kids = len(self.kids) > rotations and len(self.es256_kids) > rotations // 2
        return kids and self.verified > 300 + 70 * rotations

    def _note_kid(self, kid: str, alg: str, **_: object) -> None:
        if alg == "ES256":
            self.es256_kids.add(kid)
        elif kid not in self.kids:
            self.kids.append(kid)

    def _use(self, token: str) -> None:
        for name, verify in self.verifiers.items():
            try:
                verify(token)
            except (VerifierError, jwt.PyJWTError, KeyError) as error:
                self.failed.append((name, repr(error)))
            else:
                self.verified += 1


def open_verifiers(site: RotatingSite, stack: ExitStack) -> dict[str, Verify]:
    """Eight, of four kinds."""
    ours: dict[str, SyncVerifier] = {
        "ours, by Redis": make_verifier(site),
        "ours, over HTTP": make_verifier(site, revocations=None),
    }
    for each in ours.values():
        stack.enter_context(each)
    return {
        **{name: each.verify for name, each in ours.items()},
        "PyJWKClient": fetching_verifier(site.issuer),
        "PyJWKClient, another": fetching_verifier(site.issuer),
        "5 minutes": CachingVerifier(site.issuer, 0.25).verify,
        "5 minutes, another": CachingVerifier(site.issuer, 0.25).verify,
        "20 minutes": CachingVerifier(site.issuer, 1.0).verify,
        "20 minutes, another": CachingVerifier(site.issuer, 1.0).verify,
    }


@pytest.mark.parametrize(
    "clock",
    [
        "",
        pytest.param(
            "+30s",
            marks=pytest.mark.skipif(not FAKETIME.exists(), reason="faketime is not installed"),
        ),
    ],
    ids=["clocks agree", "one pod's clock is 30 s off"],
)
def test_ten_rotations_fail_no_verification_and_a_killed_key_no_other_token(
    site: RotatingSite, clock: str
) -> None:
    rotations = 1 if clock else ROTATIONS
    pods = site.start_pods(2)
    site.clock = clock
    pods.append(site.start_pod(url=free_url()))
    site.clock = ""
    until(pods[-1].is_ready)
    client = site.make_client(site.database_url, "orders")
    es256_client = site.make_client(site.database_url, "billing")
    site.run(site.database_url, "clients", "change", "billing", "--signing-alg", "ES256")
    with ExitStack() as stack:
        traffic = Traffic(pods, client, es256_client, open_verifiers(site, stack))
        thread = threading.Thread(target=traffic.run)
        thread.start()
        try:
            until(lambda: traffic.saw(rotations) or not thread.is_alive(), 90)
            assert traffic.failed == []
            kill(site, traffic)
        finally:
            traffic.stop.set()
            thread.join()
    assert traffic.saw(rotations), os.linesep.join(map(str, traffic.failed[:5]))


def kill(site: RotatingSite, traffic: Traffic) -> None:
    """Kill the key that signs: its tokens die within a second, and no other's."""
    by_redis, by_http = (traffic.verifiers[name] for name in ("ours, by Redis", "ours, over HTTP"))
    token = traffic.pods[0].token(traffic.client)
    victim = jwt.get_unverified_header(token)["kid"]
    site.run(site.database_url, "keys", "kill", victim)
    died = time.monotonic()
    for verify in (by_redis, by_http):
        while is_good(verify, token):
            assert time.monotonic() - died < 1.0, "still accepted a second after"
    other = traffic.pods[1].token(traffic.client)
    assert jwt.get_unverified_header(other)["kid"] != victim
    assert is_good(by_redis, other)
    assert is_good(by_http, other)
    # Of all that failed, every one was a token of the dead key.
    time.sleep(TOKEN_SECONDS)
    ours = [it for name, it in traffic.failed if name.startswith("ours")]
    assert not [it for it in ours if "Revoked" not in it and "UnknownKey" not in it]


def is_good(verify: Verify, token: str) -> bool:
    try:
        verify(token)
    except VerifierError:
        return False
    return True
