"""Sessions while Redis is away, and after an older dump was restored: nothing stays lost."""

import time
from collections.abc import Callable, Iterator

import pytest

from service.embedded.postgres import DATABASE
from service.embedded.redis import EmbeddedRedis
from tests.faults.failover_support import until
from tests.faults.honest import (
    Honest,
    Session,
    honest,
    is_refused,
    log_in,
    log_in_often,
    log_out,
    make_app,
    p99,
    present,
    revoke,
)
from tests.faults.processes import Answer, Deployment, open_deployment, subjects, tell

pytestmark = pytest.mark.slow

REASON = "SELECT revoked_reason FROM sessions WHERE id = $1"
# Where others have the processor nobody answers in 100 ms: then twice as slow as before is fine.
QUICK, SLOWER, CHANCES = 0.1, 2, 10


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two pods that are ready."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        opened.start_pods(2)
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


@pytest.fixture(scope="module")
def passwords(site: Deployment) -> dict[str, str]:
    return make_app(site, site.database_url, "alice", "bob")


@pytest.fixture
def sessions(site: Deployment, passwords: dict[str, str]) -> list[Session]:
    """Sessions that began just now; what the test before did is over."""
    site.redis_server.start()
    site.redis_server.thaw()
    site.checked()
    return log_in_often(site.pods, "alice", passwords["alice"], 12)


def log_in_for(site: Deployment, password: str, seconds: float) -> list[Answer]:
    """Logins, one after the other, at both pods in turn."""
    answers: list[Answer] = []
    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        log_in(site.pods[len(answers) % 2], "bob", password)
        answers.append(Answer("login", 200, time.monotonic() - began, began, None))
        time.sleep(0.1)
    return answers


Change = Callable[[EmbeddedRedis], None]


@pytest.mark.parametrize(
    ("strike", "mend"),
    [(EmbeddedRedis.kill, EmbeddedRedis.start), (EmbeddedRedis.freeze, EmbeddedRedis.thaw)],
    ids=["dead", "frozen"],
)
def test_refreshes_and_logins_go_on_without_redis(
    site: Deployment,
    sessions: list[Session],
    passwords: dict[str, str],
    strike: Change,
    mend: Change,
) -> None:
    ended, going = sessions[:4], sessions[4:]
    with honest([pod.url for pod in site.pods], going) as load:
        limits = [max(QUICK, SLOWER * it) for it in speeds(site, load, passwords, "Redis there")]
        strike(site.redis_server)
        for number, session in enumerate(ended):
            (revoke, log_out)[number % 2](site.pods[number // 2], session)
        assert all(is_refused(site.pods, session) for session in ended)
        chances = (speeds(site, load, passwords, "without Redis") for _ in range(CHANCES))
        assert any(it[0] <= limits[0] and it[1] <= limits[1] for it in chances)
        mend(site.redis_server)
        until(lambda: {str(it.id) for it in ended} <= set(subjects(site.checked(), "sid")))
        load.all_go_on()
    assert {it.status for it in load.answers} == {200}
    keys = [f"{{ww}}:feed:sid:{session.id}" for session in ended]
    assert site.redis.mget(keys) == ["1"] * 4


def speeds(
    site: Deployment, load: Honest, passwords: dict[str, str], what: str
) -> tuple[float, float]:
    """The p99 of refreshes and of logins, both under way for two seconds."""
    began = time.monotonic()
    logins = log_in_for(site, passwords["bob"], 2)
    refreshes = load.since(began)
    tell(f"{what}, refreshes", refreshes)
    tell(f"{what}, logins", logins)
    return p99(refreshes), p99(logins)


def test_an_older_dump_logs_nobody_out_and_forgets_no_end(
    site: Deployment, sessions: list[Session], passwords: dict[str, str]
) -> None:
    server, dump = site.servers[0], site.folder / "dump"
    early, ended, going = sessions[0], sessions[1:3], sessions[3:]
    revoke(site.pods[0], early)
    with honest([pod.url for pod in site.pods], going) as load:
        server.run_client("pg_dump", ["-Fc", "-f", str(dump), DATABASE])
        load.all_go_on()
        revoke(site.pods[0], ended[0])
        log_out(site.pods[1], ended[1])
        late = log_in(site.pods[0], "bob", passwords["bob"])
        until(lambda: {str(it.id) for it in ended} <= set(subjects(site.checked(), "sid")))
        began, epoch = time.monotonic(), site.heartbeat()["epoch"]
        whole = ["--clean", "--single-transaction"]
        server.run_client("pg_restore", [*whole, "-d", DATABASE, str(dump)])
        load.all_go_on()
        until(lambda: site.heartbeat()["epoch"] > epoch)
    tell("pg_restore of an older dump", load.since(began))
    assert {it.status for it in load.since(began)} <= {200, 503}
    assert all(is_refused(site.pods, session) for session in (early, *ended, late))
    reasons = [site.query(REASON, session.id) for session in (early, *ended, late)]
    assert reasons == ["revoked_by_client", *["taken_back_from_feed"] * 2, None]
    facts = subjects(site.checked(), "sid")
    assert {str(session.id) for session in (early, *ended)} <= set(facts)
    healed = "SELECT count(DISTINCT session_id) FROM audit_events WHERE event = 'refresh_healed'"
    assert site.query(healed) == len(going)
    assert present(site.pods[0], going[0].strings[0]).status_code == 400  # a thief, caught at once
    assert is_refused(site.pods, going[0])
    assert site.query(REASON, going[0].id) == "refresh_reuse"
