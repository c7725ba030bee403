"""A standby that lacks the last writes takes over: sessions heal, and what was ended stays so."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.faults.failover_support import Pod, address_of_all, catch_up, cut, free_port, until
from tests.faults.honest import (
    Honest,
    Session,
    honest,
    is_refused,
    log_in_often,
    log_out,
    make_app,
    present,
    read,
    read_strings,
    revoke,
)
from tests.faults.processes import Deployment, free_url, metric, open_deployment, subjects, tell

pytestmark = pytest.mark.slow

REASON = "SELECT revoked_reason FROM sessions WHERE id = $1"
VERSION = "SELECT claims_version FROM sessions WHERE id = $1"
GENERATION = "SELECT generation FROM sessions WHERE id = $1"
HEALED = "SELECT count(DISTINCT session_id) FROM audit_events WHERE event = 'refresh_healed'"


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with open_deployment(tmp_path_factory.mktemp("site")) as opened:
        yield opened
        assert [line for pod in opened.pods for line in pod.failures()] == []


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Sessions by what becomes of them; all but the last begin before the standby is cut off."""

    going: list[Session]
    sleeping: list[Session]
    ended_early: list[Session]
    ended: dict[str, Session]
    disabled: list[Session]
    changed: list[Session]
    late: list[Session]


def test_a_failover_that_lost_rotations_ends_and_sessions(site: Deployment) -> None:
    first, port = site.servers[0], free_port()
    url = address_of_all(first.password, [first.port, port])
    site.run(first.url(), "migrate")
    pods = [site.start_pod(url, url=address) for address in (site.issuer, free_url())]
    second = site.start_standby(first, port)
    until(lambda: all(pod.is_ready() for pod in pods))
    passwords = make_app(site, url, "alice", "mallory", "carol")
    people = begin(pods, passwords)
    catch_up(first)
    with honest([pod.url for pod in pods], [*people.going, *people.changed]) as load:
        cut(second)
        lose(site, url, pods, people, passwords)
        load.all_go_on()
        fail_over(site, load)
    stays_ended(site, pods, people)
    goes_on(site, people)
    a_thief_is_caught(site, pods, people)


def begin(pods: list[Pod], passwords: dict[str, str]) -> People:
    alice = log_in_often(pods, "alice", passwords["alice"], 17)
    people = People(
        going=alice[:8],
        sleeping=alice[8:12],
        ended_early=alice[12:14],
        ended={way: alice.pop() for way in WAYS},
        disabled=log_in_often(pods, "mallory", passwords["mallory"], 2),
        changed=log_in_often(pods, "carol", passwords["carol"], 2),
        late=[],
    )
    for session in [*alice, *people.ended.values()]:
        session.go_on(pods[0], times=2)
    revoke(pods[0], people.ended_early[0])
    log_out(pods[1], people.ended_early[1])
    return people


def end_by_a_thief(pod: Pod, session: Session) -> None:
    assert present(pod, session.strings[0]).status_code == 400


WAYS: dict[str, Callable[[Pod, Session], None]] = {
    "revoke": revoke,
    "logout": log_out,
    "reuse": end_by_a_thief,
}


def lose(
    site: Deployment, url: str, pods: list[Pod], people: People, passwords: dict[str, str]
) -> None:
    """What the standby never hears of, but the feed."""
    for session in [*people.sleeping, *people.ended.values(), *people.disabled]:
        session.go_on(pods[1], times=4)
    for number, way in enumerate(WAYS):
        WAYS[way](pods[number % 2], people.ended[way])
    with ThreadPoolExecutor(2) as pool:
        commands = ("disable", "mallory"), ("set-roles", "carol", "auditor")
        list(pool.map(lambda command: site.run(url, "users", *command), commands))
    people.late.extend(log_in_often(pods, "alice", passwords["alice"], 3))
    people.late[0].go_on(pods[0], times=2)
    revoke(pods[0], people.late[1])
    ended = [*people.ended_early, *people.ended.values(), *people.disabled, people.late[1]]
    found = site.checked()
    assert {str(session.id) for session in ended} <= set(subjects(found, "sid"))
    assert {str(it.id) for it in people.changed} <= set(subjects(found, "stale"))


def fail_over(site: Deployment, load: Honest) -> None:
    """The primary dies; the standby takes over in the middle of refreshes."""
    first, second = site.servers
    epoch = site.heartbeat()["epoch"]
    began = time.monotonic()
    first.kill()
    second.promote()
    site.servers.reverse()  # what is asked from here on is the new primary
    promoted = time.monotonic()
    load.all_go_on()
    back = time.monotonic()
    until(lambda: site.heartbeat()["epoch"] > epoch)
    time.sleep(1)
    load.all_go_on()
    tell("without a primary", load.since(began, until=promoted))
    tell("promoted", load.since(promoted, until=back))
    tell("afterwards", load.since(back))
    assert {it.status for it in load.since(began)} == {200, 503}
    assert {it.retry_after for it in load.since(began) if it.status == 503} == {"1"}
    assert {it.status for it in load.since(back)} == {200}
    assert back - promoted < 10


def stays_ended(site: Deployment, pods: list[Pod], people: People) -> None:
    ended = [*people.ended.values(), *people.disabled]
    for session in [*people.ended_early, *ended]:
        assert is_refused(pods, session)
    early = {site.query(REASON, session.id) for session in people.ended_early}
    assert not early & {None, "taken_back_from_feed"}  # the standby knew
    assert {site.query(REASON, it.id) for it in ended} == {"taken_back_from_feed"}
    # Who logged in in the lost seconds has to log in again.
    assert [is_refused(pods, it) for it in people.late] == [True] * 3
    found = site.checked()
    known = {str(session.id) for session in [*people.ended_early, *ended, people.late[1]]}
    assert known <= set(subjects(found, "sid"))


def goes_on(site: Deployment, people: People) -> None:
    strings = read_strings(site)
    for session in [*people.going, *people.changed]:
        assert site.query(GENERATION, session.id) == read(strings, session.token).generation
    assert site.query(HEALED) >= len([*people.going, *people.changed])
    # The roles themselves were lost with the user's row; what asks for them anew never falls.
    assert [site.query(VERSION, it.id) for it in people.changed] == [1, 1]
    assert [session.claims["cv"] for session in people.changed] == [1, 1]


def a_thief_is_caught(site: Deployment, pods: list[Pod], people: People) -> None:
    """Spent strings of sessions that the database has as of generation 2; the newest is 6."""
    caught, first, second, third = people.sleeping
    # The client came first, and its session healed: from then on each spent string is known.
    caught.go_on(pods[0])
    assert present(pods[1], caught.strings[4]).status_code == 400
    assert is_refused(pods, caught)
    # A string that even this database knows to be spent.
    assert present(pods[1], first.strings[0]).status_code == 400
    assert is_refused(pods, first)
    # The database lost the record of the spending: once it counts as the newest, and no more.
    for session, spent in ((second, 2), (third, 4)):
        counted = metric(pods[0], 'watchword_refreshes_total{verdict="impossible"}')
        stolen = present(pods[1], session.strings[spent])
        assert stolen.status_code == 200
        assert present(pods[0], session.token).status_code == 400
        assert metric(pods[0], 'watchword_refreshes_total{verdict="impossible"}') == counted + 1
        assert present(pods[1], stolen.json()["refresh_token"]).status_code == 400
    reasons = [site.query(REASON, session.id) for session in people.sleeping]
    assert reasons == ["refresh_reuse"] * 2 + ["refresh_impossible"] * 2
    until(lambda: {str(it.id) for it in people.sleeping} <= set(subjects(site.checked(), "sid")))
