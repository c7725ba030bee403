"""Redis dies, is flushed, frozen or tampered with: nobody waits, and nothing stays lost."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
from redis import Redis

from service.oauth.revocation import FACT_TTL
from tests.faults.failover_support import HEARTBEAT, Pod
from tests.faults.processes import (
    Client,
    Deployment,
    Load,
    jti,
    metric,
    open_deployment,
    statuses,
    steady_load,
    subjects,
    tell,
    until,
)

pytestmark = [pytest.mark.slow, pytest.mark.timed]

FINE = {"token": {200}, "introspect": {200}, "revoke": {200}}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two pods that are ready."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        opened.start_pods(2)
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


@pytest.fixture(scope="module")
def client(site: Deployment) -> Client:
    return site.make_client(site.database_url, "orders")


@pytest.fixture(autouse=True)
def mended(site: Deployment) -> None:
    """What the test before did is over."""
    site.redis_server.start()
    site.checked()


def all_fine(load: Load, began: float) -> None:
    """No request since then failed for Redis' sake, nor waited for it."""
    until(lambda: set(statuses(load.since(began))) == set(Load.KINDS))
    answers = load.since(began)
    found = statuses(answers)
    assert found.pop("failure") <= {401, 429}
    assert found == FINE
    assert max(answer.seconds for answer in answers) < 1


def test_requests_go_on_while_redis_is_dead_and_its_feed_is_whole_afterwards(
    site: Deployment, client: Client
) -> None:
    with steady_load(site.pods, client) as load:
        began = time.monotonic()
        time.sleep(3)
        tell("Redis there", load.since(began))
        site.redis_server.kill()
        began = time.monotonic()
        time.sleep(6)
        tell("Redis dead", load.since(began))
        all_fine(load, began)
        assert 401 in {answer.status for answer in load.since(began, "failure")}
        assert site.pods[0].http.get("/readyz").json()["degraded"] == ["redis"]
        site.redis_server.start()
        back = time.monotonic()
        until(lambda: site.redis.get(HEARTBEAT))
        time.sleep(2)
        all_fine(load, back)
    everything_is_there(site, load)
    assert site.pods[0].http.get("/readyz").json()["degraded"] == []


def everything_is_there(site: Deployment, load: Load) -> None:
    """Every revocation is in the stream, once, and among the look-up keys."""
    until(lambda: not site.query("SELECT count(*) FROM revocations WHERE number IS NULL"))
    facts = subjects(site.checked())
    assert set(load.revoked) <= set(facts)
    assert len(facts) == len(set(facts))
    assert set(site.redis.mget([f"{{ww}}:feed:jti:{it}" for it in load.revoked])) == {"1"}


def test_requests_go_on_while_redis_is_frozen(site: Deployment, client: Client) -> None:
    with steady_load(site.pods, client) as load:
        site.redis_server.freeze()
        began = time.monotonic()
        time.sleep(6)
        tell("Redis frozen", load.since(began, *FINE))
        tell("Redis frozen, failed authentications", load.since(began, "failure"))
        all_fine(load, began)
        site.redis_server.thaw()
        time.sleep(2)
        all_fine(load, began)
    everything_is_there(site, load)


def test_a_flush_is_mended_within_seconds(site: Deployment, client: Client) -> None:
    before = site.check()
    with steady_load(site.pods, client) as load:
        began = time.monotonic()
        site.redis.flushall()
        until(lambda: site.redis.get(HEARTBEAT), seconds=5)
        all_fine(load, began)
    everything_is_there(site, load)
    after = site.check()
    assert isinstance(before, dict)
    assert isinstance(after, dict)
    assert after["epoch"] == before["epoch"]
    assert after["facts"][: len(before["facts"])] == before["facts"]


def stream(site: Deployment, prefix: str = "ww") -> str:
    epoch = site.query("SELECT epoch::text FROM feed")
    return f"{{{prefix}}}:feed:{epoch}:entries"


def delete_an_entry(redis: Redis, _: str, stream: str) -> None:
    redis.xdel(stream, redis.xrange(stream)[1][0])


def delete_the_last_entry(redis: Redis, _: str, stream: str) -> None:
    redis.xdel(stream, redis.xrevrange(stream, count=1)[0][0])


def delete_the_stream(redis: Redis, _: str, stream: str) -> None:
    redis.delete(stream)


def repeat_an_entry(redis: Redis, _: str, stream: str) -> None:
    """Under the next number, with a signature that is right."""
    last, fields = redis.xrevrange(stream, count=1)[0]
    redis.xadd(stream, fields, id=f"{int(last.split('-')[0]) + 1}-0")


def exchange_two_entries(redis: Redis, _: str, stream: str) -> None:
    rows = redis.xrange(stream)
    redis.delete(stream)
    for (id_, _), (_, fields) in zip(rows, [*rows[:-2], rows[-1], rows[-2]], strict=True):
        redis.xadd(stream, fields, id=id_)


def break_the_heartbeat(redis: Redis, heartbeat: str, _: str) -> None:
    redis.set(heartbeat, os.urandom(64))


def put_an_entry_in_its_place(redis: Redis, heartbeat: str, stream: str) -> None:
    redis.set(heartbeat, redis.xrange(stream)[0][1]["jws"])


Tamper = Callable[[Redis, str, str], None]
TAMPERS: dict[Tamper, str] = {
    delete_an_entry: "tampered",
    delete_the_last_entry: "tampered",
    delete_the_stream: "behind",
    repeat_an_entry: "tampered",
    exchange_two_entries: "tampered",
    break_the_heartbeat: "heartbeat",
    put_an_entry_in_its_place: "heartbeat",
}


@pytest.fixture
def revoked(site: Deployment, client: Client) -> None:
    """The stream has several entries, and a heartbeat over them."""
    for pod in site.pods * 2:
        head = site.query("SELECT head FROM feed")
        pod.revoke(client, pod.token(client))
        until(lambda head=head: site.query("SELECT head FROM feed") > head)
    site.checked()


@pytest.mark.parametrize("tamper", TAMPERS)
def test_the_documented_check_finds_what_was_tampered_with(
    site: Deployment, revoked: None, tamper: Tamper
) -> None:
    """On a copy of the feed that no pod mends."""
    heartbeat, prefix = site.redis.get(HEARTBEAT), f"copy-{tamper.__name__}"
    copied = f"{{{prefix}}}:feed:heartbeat", stream(site, prefix)
    for id_, fields in site.redis.xrange(stream(site)):
        site.redis.xadd(copied[1], fields, id=id_)
    site.redis.set(copied[0], heartbeat)
    assert isinstance(site.check(prefix), dict)
    tamper(site.redis, *copied)
    assert isinstance(site.check(prefix), str)


@pytest.mark.parametrize("tamper", TAMPERS)
def test_what_a_writer_to_redis_did_is_mended_and_counted(
    site: Deployment, revoked: None, tamper: Tamper
) -> None:
    cause = TAMPERS[tamper]
    before = repairs(site.pods, cause)
    tamper(site.redis, HEARTBEAT, stream(site))
    until(lambda: repairs(site.pods, cause) > before, seconds=10)
    site.checked(seconds=10)
    assert cause in {line["cause"] for pod in site.pods for line in pod.lines("feed_mended")}


def repairs(pods: list[Pod], cause: str) -> float:
    return sum(metric(pod, f'watchword_feed_repairs_total{{cause="{cause}"}}') for pod in pods)


def test_what_expired_is_trimmed_and_the_feed_goes_on(site: Deployment, client: Client) -> None:
    pod = site.pods[0]
    pod.revoke(client, pod.token(client))
    site.checked()
    site.query("UPDATE revocations SET expires_at = expires_at - $1::interval", FACT_TTL)
    site.query("UPDATE feed_entries SET expires_at = expires_at - $1::interval", FACT_TTL)
    until(lambda: floor(site) == site.query("SELECT head + 1 FROM feed"), seconds=10)
    assert site.redis.xlen(stream(site)) == 0
    site.redis.flushall()
    until(lambda: site.redis.get(HEARTBEAT), seconds=10)
    assert site.checked()["facts"] == []
    token = pod.token(client)
    pod.revoke(client, token)
    until(lambda: site.redis.xlen(stream(site)) == 1, seconds=5)
    assert subjects(site.checked()) == [jti(token)]


def floor(site: Deployment) -> int:
    return site.heartbeat().get("floor", 0)
