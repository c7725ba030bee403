"""Pods and PostgreSQL are killed in the middle of refreshes: no honest client is logged out."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace

import asyncpg
import pytest

from tests.faults.failover_support import until
from tests.faults.honest import (
    Honest,
    Session,
    alive,
    honest,
    is_refused,
    let_commits_sleep,
    log_in,
    log_in_often,
    log_out,
    make_app,
    present,
    read,
    read_strings,
    revoke,
)
from tests.faults.processes import Deployment, metric, open_deployment, subjects, tell

pytestmark = [pytest.mark.slow, pytest.mark.timed]

LIFE = "SELECT id FROM database_life"
SESSION = "SELECT revoked_reason FROM sessions WHERE id = $1"
EVENTS = "SELECT count(*) FROM audit_events WHERE event = $1"
GENERATION = "SELECT generation FROM sessions WHERE id = $1"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two pods that are ready, over a PostgreSQL whose crashes lose rotations."""
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        opened.run(opened.database_url, "migrate")
        let_commits_sleep(opened.servers[0])
        opened.start_pods(2)
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


@pytest.fixture(scope="module")
def passwords(site: Deployment) -> dict[str, str]:
    return make_app(site, site.database_url, "alice")


@pytest.fixture
def sessions(site: Deployment, passwords: dict[str, str]) -> list[Session]:
    """Sessions that began just now; what the test before did is over."""
    site.servers[0].start()
    site.redis_server.start()
    site.checked()
    return log_in_often(alive(site), "alice", passwords["alice"], 14)


@pytest.fixture
def session(site: Deployment, passwords: dict[str, str]) -> Session:
    """One session that began just now."""
    site.checked()
    return log_in(alive(site)[0], "alice", passwords["alice"])


def urls(site: Deployment) -> list[str]:
    return [pod.url for pod in alive(site)]


def test_killed_pods_cost_nobody_a_session(site: Deployment, sessions: list[Session]) -> None:
    retried = site.query(EVENTS, "refresh_retried")
    with honest(urls(site), sessions, losing=0.05) as load:
        for victim, survivor in (alive(site), alive(site)[::-1]):
            began = time.monotonic()
            victim.process.kill()
            victim.process.wait()
            load.all_go_on()
            answers = load.since(began)
            tell("a pod is killed", answers)
            assert {it.status for it in answers if it.kind == survivor.url} == {200}
            assert 0 in {it.status for it in answers if it.kind == victim.url}
            fresh = site.start_pod(url=victim.url)
            until(fresh.is_ready)
            load.all_go_on()
    assert load.lost > 0
    assert site.query(EVENTS, "refresh_retried") > retried
    assert behind(site, sessions) <= {0, 1}  # one whose last answer was lost


def behind(site: Deployment, sessions: list[Session]) -> set[int]:
    """By how many generations clients are behind the database."""
    strings = read_strings(site)
    held = {session: read(strings, session.token).generation for session in sessions}
    return {site.query(GENERATION, session.id) - held[session] for session in sessions}


def test_lost_rotations_heal_and_what_was_revoked_stays_revoked(
    site: Deployment, sessions: list[Session]
) -> None:
    calm, ending, going = sessions[0], sessions[1:4], sessions[4:]
    ended: list[Session] = []
    epoch = site.query("SELECT epoch::text FROM feed")
    with honest(urls(site), going, pause=0.05) as load:
        for strike, end in zip(STRIKES, (revoke, log_out, revoke), strict=True):
            ended.append(ending.pop())
            end(alive(site)[0], ended[-1])
            time.sleep(0.5)
            life, healed = site.query(LIFE), site.query(EVENTS, "refresh_healed")
            began = time.monotonic()
            strike(site, load, calm)
            load.all_go_on()
            tell(strike.__name__, load.since(began))
            assert {it.status for it in load.since(began)} <= {200, 503}
            assert {it.retry_after for it in load.since(began) if it.status == 503} == {"1"}
            assert site.query(LIFE) != life
            assert site.query(EVENTS, "refresh_healed") > healed
            assert all(is_refused(alive(site), session) for session in ended)
    assert site.query("SELECT epoch::text FROM feed") == epoch
    assert behind(site, going) == {0}


def kill_a_backend(site: Deployment, _: Honest, __: Session) -> None:
    """PostgreSQL then restarts by itself, without what its buffers held."""
    victim = """
        SELECT pid FROM pg_stat_activity
        WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() LIMIT 1
    """
    os.kill(site.query(victim), signal.SIGKILL)
    until(lambda: lives(site))


def kill_all(site: Deployment, _: Honest, __: Session) -> None:
    site.servers[0].kill()
    site.servers[0].start()
    until(lambda: lives(site))


def kill_all_and_redis(site: Deployment, load: Honest, calm: Session) -> None:
    """Whether a session was revoked in the lost time, nobody can say until Redis is back."""
    site.redis_server.kill()
    kill_all(site, load, calm)
    until(lambda: present(alive(site)[0], calm.token).status_code == 200)  # it lost nothing
    began = time.monotonic()
    time.sleep(1.5)
    tell("PostgreSQL is back, Redis is not", load.since(began))
    assert 503 in {it.status for it in load.since(began)}
    load.nobody_was_logged_out()
    site.redis_server.start()


STRIKES = (kill_a_backend, kill_all, kill_all_and_redis)


def lives(site: Deployment) -> bool:
    with suppress(asyncpg.PostgresError, OSError):
        return site.query(LIFE) is not None
    return False


def test_a_string_that_no_loss_explains_ends_the_session_and_raises_an_alarm(
    site: Deployment, session: Session
) -> None:
    """Who has the master key and one old string can write the newest."""
    pod = alive(site)[0]
    session.go_on(pod, times=2)
    strings, counted = read_strings(site), 'watchword_refreshes_total{verdict="impossible"}'
    token, before = read(strings, session.strings[0]), metric(pod, counted)
    forged = strings.write(replace(token, generation=5))
    answer = present(pod, forged)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert is_refused(alive(site), session)
    assert site.query(SESSION, session.id) == "refresh_impossible"
    assert metric(pod, counted) == before + 1
    found = "SELECT generation || ' ' || (detail->>'stored_generation') FROM audit_events"
    found += " WHERE event = 'refresh_impossible' AND session_id = $1"
    assert site.query(found, session.id) == "5 2"
    lines = {line["session_id"]: line["level"] for line in pod.lines("refresh_impossible")}
    assert lines == {str(session.id): "error"}
    until(lambda: str(session.id) in subjects(site.checked(), "sid"))


def test_a_frozen_postgresql_costs_nobody_a_session(
    site: Deployment, sessions: list[Session]
) -> None:
    with honest(urls(site), sessions) as load:
        site.servers[0].freeze()
        began = time.monotonic()
        time.sleep(4)
        site.servers[0].thaw()
        load.all_go_on()
    answers = load.since(began)
    tell("PostgreSQL is frozen for 4 s", answers)
    assert {it.status for it in answers} == {200, 503}
    assert {it.retry_after for it in answers if it.status == 503} == {"1"}
    assert max(it.seconds for it in answers) < 5
    assert behind(site, sessions) == {0}


def test_a_row_that_is_locked_for_long_is_told_and_spends_nothing(
    site: Deployment, session: Session
) -> None:
    pod = alive(site)[0]
    session.go_on(pod)
    with locked(site, session, seconds=0.25):  # one that is locked shortly is tried again
        session.go_on(pod)
    with locked(site, session, seconds=0.8):
        answer = present(pod, session.token)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["error"] == "temporarily_unavailable"
    assert behind(site, [session]) == {0}
    session.go_on(pod)
    assert len(session.strings) == 4


@contextmanager
def locked(site: Deployment, session: Session, *, seconds: float) -> Iterator[None]:
    """Somebody else locks the session's row for a time."""
    held = threading.Event()

    async def hold() -> None:
        connection = await asyncpg.connect(site.database_url)
        async with connection.transaction():
            await connection.execute("SELECT FROM sessions WHERE id = $1 FOR UPDATE", session.id)
            held.set()
            await asyncio.sleep(seconds)
        await connection.close()

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(asyncio.run, hold())
        assert held.wait(5)
        yield
        holding.result()
