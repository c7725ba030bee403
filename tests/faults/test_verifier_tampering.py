"""Somebody who writes to Redis: noticed, refused, and no revoked token lives longer for it.

ATK-107, DIST-8. Each attack is made on a copy of the feed, where no pod mends it; each meets one
verifier that has Redis alone, and one with the issuer's HTTP feed in reserve.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest
from redis import Redis

from service.embedded.redis import EmbeddedRedis
from service.keys.sign import sign
from service.keys.signer import PrivateKey
from tests.faults.processes import Client, Deployment, open_deployment
from tests.faults.verifiers import (
    SLACK,
    STALENESS,
    Tampered,
    Watching,
    make_verifier,
    repeating,
    watching,
)

pytestmark = pytest.mark.slow

Attack = Callable[[Tampered], Callable[[], None]]


def hide_entries(it: Tampered) -> Callable[[], None]:
    """Heartbeats go on; the entries that they name are held back."""
    kept = it.rows()
    return lambda: (it.write(kept), it.beat())[1]


def delete_one(it: Tampered) -> Callable[[], None]:
    """The first new entry is missing, those after it are there."""
    known = len(it.rows())

    def run() -> None:
        rows = it.rows()
        it.write(rows[:known] + rows[known + 1 :])
        it.beat()

    return run


def forge_an_entry(it: Tampered) -> Callable[[], None]:
    """An entry by another key takes the place of the next one."""
    kept, stranger = it.rows(), PrivateKey.generate()

    def run() -> None:
        number = int(kept[-1][0].split("-")[0]) + 1 if kept else 1
        claims = {"iss": "", "epoch": "", "n": number, "prev": "", "facts": []}
        forged = sign(stranger, "revocation-feed+jwt", claims)
        it.write([*kept, (f"{number}-0", {"jws": forged})])
        it.beat()

    return run


def reorder(it: Tampered) -> Callable[[], None]:
    """The last entries stand in each other's places."""

    def run() -> None:
        rows = it.rows()
        if len(rows) >= 2:
            (one, first), (two, second) = rows[-2:]
            it.write([*rows[:-2], (one, second), (two, first)])
        it.beat()

    return run


def put_the_old_stream_back(it: Tampered) -> Callable[[], None]:
    """Stream and heartbeat of a moment ago, again and again."""
    rows, heartbeat = it.rows(), it.source.get("{ww}:feed:heartbeat")

    def run() -> None:
        it.write(rows)
        it.target.set(it.heartbeat_key, heartbeat or "")

    return run


def replay_slower_and_slower(it: Tampered) -> Callable[[], None]:
    """Heartbeats as they were recorded, one for each three that are made; the entries are kept."""
    rows, began = it.rows(), time.monotonic()
    known = len(it.recorded)

    def run() -> None:
        it.write(rows)
        shown = it.recorded[: known + int((time.monotonic() - began) / 3)]
        it.beat()
        it.target.set(it.heartbeat_key, shown[-1])

    return run


def delete_everything(it: Tampered) -> Callable[[], None]:
    return lambda: it.target.delete(it.heartbeat_key, it.stream_key)


def another_type(it: Tampered) -> Callable[[], None]:
    """A list stands where the heartbeat belongs, and no UTF-8 where the stream does."""

    def run() -> None:
        it.target.delete(it.heartbeat_key, it.stream_key)
        it.target.rpush(it.heartbeat_key, "a")
        it.target.set(it.stream_key, b"\xff\xfe")

    return run


ATTACKS: dict[str, Attack] = {
    it.__name__: it
    for it in (
        hide_entries,
        delete_one,
        forge_an_entry,
        reorder,
        put_the_old_stream_back,
        replay_slower_and_slower,
        delete_everything,
        another_type,
    )
}
NOTICED = {"delete_one", "forge_an_entry", "reorder", "another_type"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        opened.start_pods(1)
        yield opened


@pytest.fixture(scope="module")
def client(site: Deployment) -> Client:
    return site.make_client(site.database_url, "orders")


@contextmanager
def attacked(site: Deployment, redis: EmbeddedRedis) -> Iterator[dict[str, Tampered]]:
    """A copy for each attack, honest so far."""
    with Redis.from_url(redis.url, decode_responses=True) as target:
        copies = {name: Tampered(site.redis, target, name) for name in ATTACKS}
        for copy in copies.values():
            copy.copy()
        yield copies


def test_no_attack_keeps_a_revoked_token_alive(
    site: Deployment, client: Client, redis_server: EmbeddedRedis
) -> None:
    pod = site.pods[0]
    for _ in range(3):  # so that there is something to delete and reorder
        pod.revoke(client, pod.token(client))
    site.checked()
    with attacked(site, redis_server) as copies, ExitStack() as stack:
        honest = stack.enter_context(ExitStack())
        honest.enter_context(
            repeating(lambda: [copy.copy() for copy in copies.values()], seconds=0.05)
        )
        verifiers = {
            f"{name}, {'with' if reserve else 'without'} reserve": make_verifier(
                site, revocations=redis_server.url, redis_prefix=name, reserve=reserve
            )
            for name in ATTACKS
            for reserve in (False, True)
        }
        watch = stack.enter_context(watching(verifiers, pod, client))
        watch.watch(1)
        honest.close()
        for name, attack in ATTACKS.items():
            stack.enter_context(repeating(attack(copies[name]), seconds=0.05))
        for _ in range(2):
            pod.revoke(client, pod.token(client))
        pod.revoke(client, watch.revoked)
        acknowledged = time.monotonic()
        pod.revoke(client, pod.token(client))
        watch.watch(STALENESS.total_seconds() + 4)
        judge(watch, acknowledged)


def judge(watch: Watching, acknowledged: float) -> None:
    limit = STALENESS.total_seconds() + SLACK
    for name, verifier in watch.verifiers.items():
        attack, _, reserve = name.partition(", ")
        last = watch.last_accepted(name, acknowledged)
        assert last < limit, f"{name}: accepted {last:.1f} s after the revocation"
        if reserve == "with reserve":
            assert watch.judged(name) == {"good"}, name
        else:
            assert watch.judged(name) == {"good", "RevocationsStale"}, name
        if attack in NOTICED:
            assert verifier.status.faults["redis"] > 0, name
