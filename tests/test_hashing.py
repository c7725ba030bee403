"""Hashing of passwords: off the loop, bounded, polite, and alike for nobody (PW-4 to PW-6)."""

import asyncio
import base64
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from datetime import timedelta

import argon2
import pytest
from structlog.testing import capture_logs

from service.hashing import HashingBusy, PasswordHasher, Verification
from tests.conftest import until

pytestmark = pytest.mark.anyio

RIGHT = Verification(right=True, needs_rehash=False)
WRONG = Verification(right=False, needs_rehash=False)
PASSWORD = "four words and more"
CHEAP = {"memory_kib": 8, "passes": 1}


@pytest.fixture
async def hasher() -> AsyncIterator[PasswordHasher]:
    """Two hashes at a time, three more in the queue."""
    hasher = PasswordHasher(**CHEAP, parallel=2, waiting=3)
    yield hasher
    hasher.close()


class Gate:
    """Holds every verification until it is opened, and remembers what was verified."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.begun: list[str] = []
        self.priorities: set[int] = set()
        self.threads: set[int] = set()

    def verify(self, stored: str, password: bytes) -> bool:
        self.begun.append(stored)
        self.threads.add(threading.get_ident())
        if sys.platform == "linux":
            self.priorities.add(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        assert self.opened.wait(20)
        raise argon2.exceptions.VerifyMismatchError


@pytest.fixture
def gate(hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate()
    monkeypatch.setattr(argon2.PasswordHasher, "verify", lambda _, *args: gate.verify(*args))
    yield gate
    gate.opened.set()


async def begin(hasher: PasswordHasher, times: int, stored: str | None = "x") -> list[asyncio.Task]:
    """Several verifications that have reached the pool."""
    before = hasher.running_now + hasher.waiting_now
    tasks = [asyncio.ensure_future(hasher.verify(stored, PASSWORD)) for _ in range(times)]
    await until(lambda: hasher.running_now + hasher.waiting_now == before + times)
    await until(lambda: hasher.running_now == 2)
    return tasks


async def refused(call: Awaitable[object]) -> HashingBusy:
    """The refusal of a call, which comes at once."""
    with pytest.raises(HashingBusy) as busy:
        await asyncio.wait_for(call, 5)
    return busy.value


async def test_the_right_password_verifies_and_a_wrong_one_does_not(hasher: PasswordHasher) -> None:
    stored = await hasher.hash(PASSWORD)
    assert await hasher.verify(stored, PASSWORD) == RIGHT
    assert await hasher.verify(stored, f"{PASSWORD} ") == WRONG
    assert await hasher.verify(stored, "") == WRONG


async def test_the_whole_of_a_long_password_counts(hasher: PasswordHasher) -> None:
    """PW-1: nothing is cut off."""
    stored = await hasher.hash("\U0001f600" * 255 + "a")
    assert await hasher.verify(stored, "\U0001f600" * 255 + "b") == WRONG


def parts(stored: str) -> tuple[list[str], list[int]]:
    """What a hash says of its making; the lengths of its salt and its tag."""
    _, *words, salt, tag = stored.split("$")
    return words, [len(base64.b64decode(text + "==")) for text in (salt, tag)]


async def test_hashes_are_argon2id_of_the_given_parameters() -> None:
    """PW-4."""
    for arguments, said in (({}, "m=19456,t=2,p=1"), ({**CHEAP, "lanes": 1}, "m=8,t=1,p=1")):
        hasher = PasswordHasher(**arguments)
        made = await hasher.hash(PASSWORD)
        hasher.close()
        assert parts(made) == (["argon2id", "v=19", said], [16, 32])


async def test_equal_passwords_have_different_hashes(hasher: PasswordHasher) -> None:
    """PW-4: each has its own salt."""
    assert await hasher.hash(PASSWORD) != await hasher.hash(PASSWORD)


@pytest.mark.parametrize(
    "other",
    [
        {"memory_cost": 16},
        {"time_cost": 2},
        {"parallelism": 2, "memory_cost": 16},
        {"hash_len": 16},
        {"salt_len": 8},
        {"type": argon2.Type.I},
    ],
)
async def test_a_hash_of_other_parameters_verifies_and_asks_to_be_renewed(
    hasher: PasswordHasher, other: dict
) -> None:
    """PW-5."""
    as_ours = {"memory_cost": 8, "time_cost": 1, "parallelism": 1, "hash_len": 32, "salt_len": 16}
    stored = argon2.PasswordHasher(**{**as_ours, **other}).hash(PASSWORD)
    assert await hasher.verify(stored, PASSWORD) == Verification(right=True, needs_rehash=True)
    assert await hasher.verify(stored, "wrong") == WRONG


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each hash that argon2 was asked to verify against."""
    hashes: list[str] = []
    genuine = argon2.PasswordHasher.verify

    def verify(self: argon2.PasswordHasher, stored: str, password: bytes) -> bool:
        hashes.append(stored)
        return genuine(self, stored, password)

    monkeypatch.setattr(argon2.PasswordHasher, "verify", verify)
    return hashes


async def test_an_unknown_user_costs_one_verification_of_the_same_parameters(
    hasher: PasswordHasher, verified: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """LOGIN-10."""
    known = await hasher.hash(PASSWORD)
    monkeypatch.setattr(argon2.PasswordHasher, "hash", None)
    with capture_logs() as logs:
        assert await hasher.verify(None, PASSWORD) == WRONG
        assert await hasher.verify(None, "") == WRONG
    assert logs == []
    assert len(verified) == 2
    assert {str(parts(stored)) for stored in verified} == {str(parts(known))}


async def test_nobodys_password_is_random(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[bytes] = []
    monkeypatch.setattr(argon2.PasswordHasher, "hash", lambda _, text: hashed.append(text) or "x")
    for _ in range(2):
        PasswordHasher(**CHEAP).close()
    assert len(set(hashed)) == 2
    assert min(map(len, hashed)) >= 16


SALT_AND_TAG = f"{'c2FsdA' * 2}$dGFn{'dGFn' * 9}"


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "hunter2-hunter2-hunter2",
        "gar\u00dfage",
        "$2b$12$" + "a" * 53,
        f"$argon2id$v=19$m=8,t=1$p=1${SALT_AND_TAG}",
        f"$argon2id$v=19$m=0,t=1,p=1${SALT_AND_TAG}",
        "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$",
        "$argon2id$",
    ],
)
async def test_a_hash_that_cannot_be_read_is_wrong_and_an_alarm_without_secrets(
    hasher: PasswordHasher, stored: str
) -> None:
    with capture_logs() as logs:
        assert await hasher.verify(stored, PASSWORD) == WRONG
    (line,) = logs
    assert (line["event"], line["log_level"]) == ("stored_password_hash_unusable", "error")
    assert set(line) == {"event", "log_level", "error"}
    assert PASSWORD not in str(line)
    assert not stored or stored not in str(line)


async def test_a_hash_whose_work_fails_is_wrong_and_an_alarm(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> bool:
        raise argon2.exceptions.VerificationError(f"no memory for {PASSWORD}")

    monkeypatch.setattr(argon2.PasswordHasher, "verify", fail)
    with capture_logs() as logs:
        assert await hasher.verify("x", PASSWORD) == WRONG
    assert [line["error"] for line in logs] == ["VerificationError"]
    assert PASSWORD not in str(logs)


async def test_the_event_loop_goes_on_while_passwords_are_hashed(
    hasher: PasswordHasher, gate: Gate
) -> None:
    """PW-6."""
    tasks = await begin(hasher, 2)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
    assert threading.get_ident() not in gate.threads
    gate.opened.set()
    assert await asyncio.gather(*tasks) == [WRONG, WRONG]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority of their own")
async def test_threads_that_hash_have_the_lowest_priority_and_no_other_has(
    hasher: PasswordHasher, gate: Gate
) -> None:
    own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    tasks = await begin(hasher, 2)
    gate.opened.set()
    await asyncio.gather(*tasks)
    assert gate.priorities == {19}
    assert len(gate.threads) == 2
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own < 19


async def test_a_system_that_refuses_the_priority_still_hashes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", refuse, raising=False)
    hasher = PasswordHasher(**CHEAP)
    assert await hasher.verify(await hasher.hash(PASSWORD), PASSWORD) == RIGHT
    hasher.close()


KINDS: dict[str, Callable[[PasswordHasher], Awaitable[object]]] = {
    "known": lambda hasher: hasher.verify("x", PASSWORD),
    "unknown": lambda hasher: hasher.verify(None, PASSWORD),
    "hash": lambda hasher: hasher.hash(PASSWORD),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_beyond_the_queue_everyone_is_told_to_come_back(
    hasher: PasswordHasher, gate: Gate, kind: str
) -> None:
    """PW-6: unknown users too."""
    assert (hasher.running_now, hasher.waiting_now) == (0, 0)
    tasks = await begin(hasher, 5)
    assert (hasher.running_now, hasher.waiting_now) == (2, 3)
    assert (await refused(KINDS[kind](hasher))).retry_after >= timedelta(seconds=1)
    assert len(gate.begun) == 2
    gate.opened.set()
    assert await asyncio.gather(*tasks) == [WRONG] * 5
    assert (hasher.running_now, hasher.waiting_now) == (0, 0)
    assert await hasher.verify("x", PASSWORD) == WRONG


async def test_unknown_users_take_places_as_known_ones_do(
    hasher: PasswordHasher, gate: Gate
) -> None:
    """PW-6."""
    tasks = await begin(hasher, 5, stored=None)
    await refused(hasher.verify("x", PASSWORD))
    gate.opened.set()
    await asyncio.gather(*tasks)


async def test_who_is_cancelled_while_waiting_frees_its_place_and_is_not_hashed(
    hasher: PasswordHasher, gate: Gate
) -> None:
    running = await begin(hasher, 2)
    waiting = await begin(hasher, 3, stored="cancelled")
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    assert all(task.cancelled() for task in waiting)
    assert (hasher.running_now, hasher.waiting_now) == (2, 0)
    later = await begin(hasher, 3, stored="later")
    await refused(hasher.verify("x", PASSWORD))
    gate.opened.set()
    assert await asyncio.gather(*running, *later) == [WRONG] * 5
    assert sorted(gate.begun) == ["later"] * 3 + ["x"] * 2


async def test_who_is_cancelled_while_hashed_keeps_its_place_until_the_end(
    hasher: PasswordHasher, gate: Gate
) -> None:
    """Memory is bounded by what runs, whoever still waits for it."""
    running = await begin(hasher, 2)
    waiting = await begin(hasher, 3)
    for task in running:
        task.cancel()
    await asyncio.wait(running)
    assert (hasher.running_now, hasher.waiting_now) == (2, 3)
    await refused(hasher.verify("x", PASSWORD))
    gate.opened.set()
    assert await asyncio.gather(*waiting) == [WRONG] * 3
    await until(lambda: hasher.running_now == 0)
    assert await hasher.verify("x", PASSWORD) == WRONG


async def test_closing_waits_for_nobody_and_tells_who_waits_to_come_back(
    hasher: PasswordHasher, gate: Gate
) -> None:
    tasks = await begin(hasher, 4)
    hasher.close()
    answers = await asyncio.gather(*tasks[2:], return_exceptions=True)
    assert [type(answer) for answer in answers] == [HashingBusy] * 2
    await refused(hasher.verify("x", PASSWORD))
    assert len(gate.begun) == 2
    gate.opened.set()
    assert await asyncio.gather(*tasks[:2]) == [WRONG] * 2


async def test_who_is_cancelled_at_the_close_stays_cancelled(
    hasher: PasswordHasher, gate: Gate
) -> None:
    tasks = await begin(hasher, 3)
    tasks[2].cancel()
    hasher.close()
    await asyncio.wait(tasks[2:])
    assert tasks[2].cancelled()
    gate.opened.set()
    await asyncio.gather(*tasks[:2])
